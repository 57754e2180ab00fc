"""What is done to a table between runs: what they left behind is dropped, many parts become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rowkeeper.destinations.mergetree import sealing
from rowkeeper.destinations.mergetree.health import MEND
from rowkeeper.destinations.mergetree.names import Companion
from rowkeeper.destinations.mergetree.types import literal
from rowkeeper.errors import DatabaseError, StagingDamaged
from rowkeeper.protocols import Crowd, Leftover
from rowkeeper.resilience.failpoints import failpoint

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession

UNDO = "undo"
OF_A_RUN = ("staging", "next", "fenced", "fenced_next", "losers", "uncut")  # others are backups', or nobody's for long


def leftovers(table: TableSession) -> Sequence[Leftover]:
    """The temporary tables, by run. Bytes are those of parts: what they share with other tables by hard links too."""
    rows = table.statements.ask(
        f"SELECT name, coalesce(total_bytes, 0) FROM system.tables WHERE database = {literal(table.names.database)} "
        f"AND startsWith(name, {literal(table.names.table + '__rk_')}) ORDER BY name"
    )
    found = ((Companion.parse(str(name)), int(size)) for name, size in rows)
    return sorted(
        (
            Leftover(each.run, "undo" if each.kind == UNDO else "staging", each.name, size)
            for each, size in found
            if each is not None and each.kind in (*OF_A_RUN, UNDO)
        ),
        key=lambda each: (each.run, each.name),
    )


def clear(table: TableSession, leftover: Leftover) -> None:
    """Drops one of them."""
    table.statements.do(table.ddl.drop(table.names.quoted(leftover.name)))
    failpoint("upkeep.after_clear")


def crowds(table: TableSession, pieces_max: int) -> Sequence[Crowd]:
    """The partitions of the live table in more parts than that, those with the most first."""
    rows = table.statements.ask(
        f"SELECT partition_id, count() AS parts, sum(bytes_on_disk) FROM system.parts WHERE {_active(table)} "
        f"GROUP BY partition_id HAVING parts > {pieces_max:d} ORDER BY parts DESC, partition_id"
    )
    return [Crowd(str(partition), int(parts), int(size)) for partition, parts, size in rows]


def merge(table: TableSession, crowd: Crowd) -> None:
    """Merges the parts of a partition into one, and reads that back from disk: chDB acknowledges failed writes.

    Raises StagingDamaged. ClickHouse keeps the former parts for some minutes more.
    """
    partition = f"PARTITION ID {literal(crowd.partition)}"
    failpoint("upkeep.before_merge")
    table.statements.do(f"OPTIMIZE TABLE {table.names.live} {partition} FINAL")
    failpoint("upkeep.after_merge")
    table.engine.sync()
    own = f"{_active(table)} AND partition_id = {literal(crowd.partition)}"
    for (part,) in table.statements.ask(f"SELECT name FROM system.parts WHERE {own} ORDER BY name"):
        try:
            sealing.check_files(table, f"{table.names.live} PART {literal(str(part))}")
        except StagingDamaged as error:
            raise StagingDamaged(f"a merged part of {table.names.live} is damaged on disk", hint=MEND) from error
        except DatabaseError as error:
            if error.context.get("clickhouse") != "NO_SUCH_DATA_PART":  # merged once more, in the background
                raise


def _active(table: TableSession) -> str:
    return f"active AND database = {literal(table.names.database)} AND table = {literal(table.names.table)}"

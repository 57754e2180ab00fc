"""The rows of a table that stands still, fetched in pieces: for backups of tables whose files we cannot reach.

A piece is what some parts hold, or a stretch of one part, in ClickHouse's own format (Native), with the hidden columns.
It is fetched whole or not at all. Parts, and the places of rows in them, are a replica's own, so that all of it is
asked of one (`Engine.staying`); and they are the same at the end as at the beginning, or nothing of it is taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from rowkeeper.batch import ROW_ID, Fingerprint
from rowkeeper.destinations.mergetree.layout import HASH, RUN, Columns, columns_of, row_hash
from rowkeeper.destinations.mergetree.names import bare
from rowkeeper.destinations.mergetree.types import identifier, literal
from rowkeeper.errors import TableMoved

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession

PIECE_BYTES = 32 << 20  # as the engine has them in memory, by the average of the part
PIECE_PARTS = 500
NOBODYS = 0  # the run of rows that no run brought
HIDDEN_COLUMNS = (RUN, ROW_ID, HASH)


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """How a table is made, as far as its rows depend on it.

    Attributes:
        columns: without the hidden ones.
        sorting_key, partition_key: as ClickHouse has them; empty where there is none.
    """

    columns: Columns
    sorting_key: str
    partition_key: str


def shape_of(table: TableSession, name: str) -> Shape:
    """The shape of a table of this table's database, by its quoted name."""
    columns = columns_of(table.statements, table.names.database, bare(name))
    keys = f"SELECT sorting_key, partition_key FROM system.tables WHERE {_is('name', table, name)}"
    sorting, partition = table.statements.ask(keys)[0]
    return Shape(columns, str(sorting), str(partition))


def held_by_run(table: TableSession, name: str, columns: Columns) -> dict[int, Fingerprint]:
    """What a table holds, by the run that brought it.

    Rows are known by the hashes that were stored with them; those that no run brought have none, and are hashed now.
    """
    held = {}
    for run, count, total in table.statements.ask(f"SELECT {RUN}, count(), sum({HASH}) FROM {name} GROUP BY 1"):
        if int(run) == NOBODYS:
            hashed = f"SELECT sum({row_hash(columns)}) FROM {name} WHERE {RUN} = {NOBODYS}"
            total = table.statements.number(hashed)  # noqa: PLW2901 - the sum that stands for them
        held[int(run)] = Fingerprint(int(count), int(total))
    return dict(sorted(held.items()))


def among(runs: Collection[int], all_runs: Collection[int]) -> str:
    """A condition that rows of these runs meet, and of all those that there are no others.

    Neighbours are named by their ends, so that it is short also for very many.
    """
    stretches: list[list[int]] = []
    before = False
    for run in sorted(all_runs):
        if run in runs:
            if before:
                stretches[-1][1] = run
            else:
                stretches.append([run, run])
        before = run in runs
    if len(runs) == len(all_runs):
        return "1"
    return "(" + (" OR ".join(f"{RUN} BETWEEN {low} AND {high}" for low, high in stretches) or "0") + ")"


def pieces(table: TableSession, name: str, columns: Columns, condition: str) -> Iterator[bytes]:
    """Fetches the rows that meet a condition on their run. To be used in `engine.staying`.

    Raises TableMoved if the table did not stand still meanwhile; DatabaseError.
    """
    before = _parts(table, name)
    selected = ", ".join([*(identifier(column) for column, _ in columns), *HIDDEN_COLUMNS])
    for place in _places(table, name, condition, before):
        yield table.statements.native(f"SELECT {selected} FROM {name} WHERE {condition} AND {place}")
    if _parts(table, name) != before:
        raise TableMoved(
            f"{name} of {table.destination.target} was changed while its rows were fetched",
            hint="nobody but Rowkeeper may change its tables; make the backup again",
        )


def _parts(table: TableSession, name: str) -> dict[str, float]:
    """The parts of a table, and how many bytes a row of each has in memory."""
    rows = table.statements.ask(
        f"SELECT name, data_uncompressed_bytes / greatest(rows, 1) FROM system.parts "
        f"WHERE active AND {_is('table', table, name)} ORDER BY partition_id, min_block_number"
    )
    return {str(part): float(size) for part, size in rows}


def _places(table: TableSession, name: str, condition: str, parts: dict[str, float]) -> Iterator[str]:
    """Conditions for the pieces: some small parts, or a stretch of a large one."""
    found = {
        str(part): (int(count), int(first), int(last))
        for part, count, first, last in table.statements.ask(
            f"SELECT _part, count(), min(_part_offset), max(_part_offset) FROM {name} WHERE {condition} GROUP BY 1"
        )
    }
    together: list[str] = []
    size = 0.0
    for part, row_bytes in parts.items():
        count, first, last = found.get(part, (0, 0, -1))
        if not count:
            continue
        if count * row_bytes >= PIECE_BYTES:
            yield from _stretches(part, first, last, max(1, int(PIECE_BYTES / row_bytes)))
            continue
        if together and (size + count * row_bytes > PIECE_BYTES or len(together) == PIECE_PARTS):
            yield _in(together)
            together, size = [], 0.0
        together.append(part)
        size += count * row_bytes
    if together:
        yield _in(together)


def _stretches(part: str, first: int, last: int, rows: int) -> Iterator[str]:
    for low in range(first, last + 1, rows):
        yield f"_part = {literal(part)} AND _part_offset BETWEEN {low} AND {min(low + rows - 1, last)}"


def _in(parts: list[str]) -> str:
    return f"_part IN ({', '.join(map(literal, parts))})"


def _is(column: str, table: TableSession, name: str) -> str:
    return f"database = {literal(table.names.database)} AND {column} = {literal(bare(name))}"

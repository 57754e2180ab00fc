"""What a backup asks of a table: that it stand still for a moment, and what was kept of its former states."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rowkeeper.destinations.mergetree.layout import engine_of
from rowkeeper.destinations.mergetree.names import bare
from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.destinations.mergetree.types import literal


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A table that goes into a backup.

    Attributes:
        table: its quoted name now.
        called: its quoted name in the backup.
    """

    table: str
    called: str


def save(table: TableSession, run: int) -> Part:
    """Makes a table of the live one's parts (hard links) that nobody changes, until `forget_saved`."""
    saved = table.names.saved(run)
    table.statements.do(table.ddl.drop(saved))
    if table.ddl.layout.clones:
        table.clone(saved, table.names.live)
        table.statements.do(table.ddl.stop_merges(saved))
    else:  # a server forgets `stop_merges` when it is started anew, and may merge before it is told
        table.catch_up(table.names.live)
        still = engine_of(table.statements, table.names) + table.ddl.still
        table.statements.do(table.ddl.create_as(saved, table.names.live, engine=still))
        table.statements.do(table.ddl.attach_all(saved, table.names.live))
    return Part(saved, table.names.live)


def kept(table: TableSession) -> dict[int, Part]:
    """The former states that are kept: the run that took rows out of each, and the table."""
    return {each.run: Part(table.names.kept(each.run), table.names.kept(each.run)) for each in table.companions("kept")}


def forget(table: TableSession, parts: Sequence[Part]) -> None:
    """Drops tables that were saved or kept."""
    for part in parts:
        table.statements.do(table.ddl.drop(part.table))


def forget_saved(table: TableSession) -> None:
    """Drops what a backup that died has left."""
    for each in table.companions("saved"):
        table.statements.do(table.ddl.drop(table.names.quoted(each.name)))


def back_up(table: TableSession, parts: Sequence[Part], to: str, base: str | None) -> None:
    """ClickHouse's own backup, below the engine's folder for backups.

    Files of encrypted disks stay encrypted, and equal ones are stored once. What the base has is not stored; of it only
    its own description is read (`.backup`).

    Args:
        table: any table of the engine: whose connection is used.
        to: the backup's name.
        base: the name of the one before.

    Raises DiskFull, EngineDied, DatabaseError.
    """
    named = ", ".join(f"TABLE {part.table} AS {part.called}" for part in parts)
    settings = ["decrypt_files_from_encrypted_disks = 0"]
    settings += [f"base_backup = File({literal(base)})"] if base is not None else []
    table.statements.do(f"BACKUP {named} TO File({literal(to)}) SETTINGS {', '.join(settings)}")


def name_of(part: Part) -> str:
    """What a table is called in a backup, without database and quotes."""
    return bare(part.called)

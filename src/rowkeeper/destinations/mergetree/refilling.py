"""A table made anew of rows out of a backup, beside the live one, and put in its place.

    refilling    is filled, and proved by whoever fills it
    restored     a clone of it, with the commit record from the start, as a publish makes its next table
    EXCHANGE     the live table and the restored one
    aside        the former live table, which nobody but a person removes

Until the exchange nothing of it is seen, and all of it can be dropped at any time. The exchange may be asked for any
number of times: the comment of a table says whether it is the one that was restored, or the one that it replaced.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from rowkeeper.destinations.mergetree import layout
from rowkeeper.destinations.mergetree.exporting import HIDDEN_COLUMNS, Shape, among
from rowkeeper.destinations.mergetree.layout import Columns, columns_of
from rowkeeper.destinations.mergetree.names import bare
from rowkeeper.destinations.mergetree.publishing import comment_of, commit_record
from rowkeeper.destinations.mergetree.replicas import wait_for_replicas
from rowkeeper.destinations.mergetree.types import identifier
from rowkeeper.errors import BooksDiffer, DatabaseError, StagingDamaged
from rowkeeper.protocols import CommitRecord
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.resilience.outcomes import Happened

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession

OF_THE_PAST = ("staging", "next", "fenced", "fenced_next", "losers", "uncut", "undo", "refilling")


def make(table: TableSession, shape: Shape, like: str | None = None) -> None:
    """Makes the empty table that is to be filled: the table of this session.

    Args:
        like: a table whose indexes, projections and settings it gets, if that has the same columns.
    """
    table.ensure_database()
    table.statements.do(table.ddl.drop(table.names.live))
    if like is not None and columns_of(table.statements, table.names.database, bare(like)) == shape.columns:
        table.statements.do(table.ddl.create_as(table.names.live, like))
        return
    names = [name for name, _ in shape.columns]
    definition = layout.definition(
        shape.columns,
        (shape.sorting_key,) if shape.sorting_key else (),
        shape.partition_key or None,
        {name: codec for name, codec in table.destination.codecs.items() if name in names},
        table.ddl.layout,
    )
    table.statements.do(table.ddl.create(table.names.live, definition))
    table.check_written(table.names.live)


def fill(table: TableSession, data: bytes, columns: Columns, runs: Collection[int], of: Collection[int]) -> None:
    """Inserts those rows of a piece that are of these runs.

    Args:
        data: as `exporting.pieces` gives it.
        columns: of the table that it is of.
        of: all runs that the piece may have rows of.

    Raises DatabaseError, also where nobody can tell whether the rows came to be there.
    """
    structure = ", ".join(
        [*(f"{identifier(name)} {kind}" for name, kind in columns), *(f"{name} UInt64" for name in HIDDEN_COLUMNS)]
    )
    names = ", ".join([*(identifier(name) for name, _ in columns), *HIDDEN_COLUMNS])
    name = table.names.live
    before = table.rows(name)

    def nothing_came() -> Happened[None] | None:
        """Which rows are to come only the engine knows; so all that can be told is that none did."""
        table.statements.stop(table.run)
        if table.rows(name) != before:
            raise DatabaseError(
                f"{name} has some rows of an insert that was not answered",
                hint="give the command again: it starts over",
            )
        return None

    with table.engine.native_as_source(data, structure) as source:
        into = f"INSERT INTO {name} ({names}) SELECT {names} FROM {source.sql}"
        table.statements.do(f"{into} WHERE {among(runs, of)}{source.ending}", nothing_came, source.data)


def complete(table: TableSession, run: int, token: int, record: CommitRecord) -> None:
    """Makes of what was filled and proved the table that is to be live, with its commit record."""
    filled, restored = table.names.refilling(run, token), table.names.restored(run, token)
    table.statements.do(table.ddl.drop(restored))
    table.clone(restored, filled, comment_of(record))
    if table.rows(restored) != table.rows(filled):
        raise StagingDamaged(f"{restored} lost some of the rows that were restored", hint="give the command again")
    table.statements.do(table.ddl.drop(filled))
    table.engine.sync()
    wait_for_replicas(table, bare(restored))


def put_in_place(table: TableSession, run: int, token: int, second: int, *, there: bool) -> str:
    """Takes the step, if it was not taken yet, and fences off whoever worked with the table before. Returns the name of
    the former table, empty if there was none.

    Args:
        run, token: by which the restored table is named.
        second: by which the former one is named afterwards.
        there: whether there is to be a table; otherwise the live one is set aside only.
    """
    fence(table)
    restored = table.names.restored(run, token)
    if there:
        record = _own_record(table, bare(restored), run, token)
        if record is not None:  # not taken yet
            _exchange(table, restored, record)
        failpoint("restore.after_exchange")
        former = restored
    else:
        former = table.names.live
    aside = table.names.aside(run, second)
    if table.exists(bare(former)):
        table.statements.do(table.ddl.rename(former, aside))
        failpoint("restore.after_table_aside")
    table.engine.sync()
    return f"{table.names.database}.{bare(aside)}" if table.exists(bare(aside)) else ""


def _exchange(table: TableSession, restored: str, record: CommitRecord) -> None:
    live = table.names.live
    if not table.exists(table.names.table):
        table.statements.do(
            table.ddl.rename(restored, live), lambda: Happened(None) if table.exists(table.names.table) else None
        )
        return

    def exchanged() -> Happened[None] | None:
        table.statements.stop(record.run)
        return Happened(None) if _own_record(table, table.names.table, record.run, record.token) == record else None

    table.statements.do(table.ddl.exchange(live, restored), exchanged)


def _own_record(table: TableSession, name: str, run: int, token: int) -> CommitRecord | None:
    """The commit record of a table, if it is the one of this run and token: what it replaced may have any comment."""
    try:
        record = commit_record(table, name)
    except BooksDiffer:
        return None
    return record if record is not None and (record.run, record.token) == (run, token) else None


def fence(table: TableSession) -> None:
    """What runs have staged is dropped, and so is the undo: a process of before finds its tables gone."""
    for companion in table.companions(*OF_THE_PAST):
        if companion.run:
            table.statements.stop(companion.run)
        table.statements.do(table.ddl.drop(table.names.quoted(companion.name)))


def drop_unfinished(table: TableSession, second: int, spared: Collection[tuple[int, int]]) -> None:
    """What a restore that died has left: what it was filling goes, and a former live table is set aside.

    Args:
        spared: run and token of what waits for its place.
    """
    for companion in table.companions("refilling", "restored"):
        if (companion.run, companion.token) in spared:
            continue
        name = table.names.quoted(companion.name)
        own = _own_record(table, companion.name, companion.run, companion.token) is not None
        if companion.kind == "refilling" or own:
            table.statements.do(table.ddl.drop(name))
        else:
            table.statements.do(table.ddl.rename(name, table.names.aside(companion.run, second)))

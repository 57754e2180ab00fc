"""The staging area: a table beside the live one, into which batches go as they come, each in a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.batch import ROW_BITS, ROW_ID
from rowkeeper.destinations.relational import layout
from rowkeeper.destinations.relational.dialect import HASH, Columns, Cursor
from rowkeeper.destinations.relational.names import identifier
from rowkeeper.destinations.relational.statements import number_of, rows_of
from rowkeeper.errors import LeaseLost, RowsUnfit
from rowkeeper.protocols import Leftover, StagedRows
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.resilience.outcomes import Happened

if TYPE_CHECKING:
    from rowkeeper.destinations.relational.session import DatabaseSession

PARTITION = f"({ROW_ID} >> {ROW_BITS})"
ROW_NUMBER = f"({ROW_ID} & {(1 << ROW_BITS) - 1})"


def open_area(table: DatabaseSession, run: int, token: int) -> None:
    """Makes an empty staging area; one that a dead process left under another token is dropped."""
    drop(table, run)
    table.enter(run, token)

    def work(cursor: Cursor) -> Columns:
        fence(table, cursor)
        columns = _columns(table, cursor)
        name = table.names.staging(run, token)
        cursor.execute(f"DROP TABLE IF EXISTS {name}")
        cursor.execute(layout.create(table.dialect, name, columns))
        return columns

    table.columns = table.statements.read(work)
    failpoint("stage.after_create")


def fence(table: DatabaseSession, cursor: Cursor) -> None:
    """Notes our token with the table, so that older ones can publish nothing any more.

    Raises LeaseLost if a newer one was there.
    """
    cursor.execute(
        f"UPDATE {table.names.commits} SET fence = {table.token} WHERE target = {table.own} AND fence <= {table.token}"
    )
    if not cursor.rowcount and number_of(
        cursor, f"SELECT count(*) FROM {table.names.commits} WHERE target = {table.own}"
    ):
        raise LeaseLost(
            f"another process took over {table.names.table} of {table.statements.place}", hint="see rowkeeper runs"
        )


def _columns(table: DatabaseSession, cursor: Cursor) -> Columns:
    """Those of the table, new optional ones of the contract, and whatever earlier publishes added."""
    there = layout.table_columns(table, cursor, table.names.table)
    asked = layout.contract_columns(table.dialect, table.schema) if table.schema is not None else ()
    known = dict(there)
    return there + tuple(column for column in asked if column[0] not in known)


def evolve(table: DatabaseSession, asked: Columns) -> Columns:
    """Adds columns to the staging area."""
    name = table.names.staging(table.run, table.token)

    def work(cursor: Cursor) -> Columns:
        there = dict(_staged_columns(table, cursor))
        for column, kind in asked:
            if column not in there:
                cursor.execute(f"ALTER TABLE {name} ADD COLUMN {identifier(column)} {kind}")
        return _staged_columns(table, cursor)

    table.columns = table.statements.read(work)
    failpoint("stage.after_evolve")
    return table.columns


def _staged_columns(table: DatabaseSession, cursor: Cursor) -> Columns:
    return layout.table_columns(table, cursor, bare(table.names.staging(table.run, table.token)))


def bare(name: str) -> str:
    """A table's name without schema and quotes."""
    return name.partition('"."')[2].removesuffix('"')


def insert(table: DatabaseSession, rows: pa.Table) -> None:
    """Hands a batch over, in one transaction. The database hashes each row as it takes it.

    Raises RowsUnfit, before anything is sent, if a value is none that its column can hold.
    """
    _refuse_unfit(table, rows)
    name, kinds = table.names.staging(table.run, table.token), dict(table.columns)
    first = pc.min(rows.column(ROW_ID)).as_py()
    failpoint("stage.before_insert")

    def arrived(cursor: Cursor) -> Happened[None] | None:
        """A batch comes whole or not at all; its first row tells which."""
        there = number_of(cursor, f"SELECT count(*) FROM {name} WHERE {ROW_ID} = {first}")
        return Happened(None) if there else None

    if rows.num_rows:
        table.statements.write(lambda cursor: table.dialect.insert(cursor, name, table.run, rows, kinds), arrived)
    failpoint("stage.after_insert")


def _refuse_unfit(table: DatabaseSession, rows: pa.Table) -> None:
    for field in rows.schema:
        places, why = ((), "") if field.name == ROW_ID else table.dialect.unfit(field, rows.column(field.name))
        if places:
            raise RowsUnfit(
                f"{len(places):,} rows have a value in {field.name} that cannot be stored: {why}",
                hint="let the contract refuse such values, or the transform take them out",
                context={"column": field.name},
            )


def resume(table: DatabaseSession, run: int, token: int, staged: Sequence[StagedRows]) -> bool:
    """Takes over a dead run's staging area under our token, keeping exactly the rows that are recorded."""
    table.enter(run, token)

    def work(cursor: Cursor) -> bool | None:
        table.dialect.stop(cursor, table.mark_of(run))
        fence(table, cursor)
        areas = table.companions(cursor, "staging", "fenced", run=run)
        table.drop(cursor, "losers", run=run)
        if not areas:
            return None if not any(each.rows for each in staged) else False
        newest = areas[-1]
        for other in areas[:-1]:
            cursor.execute(f"DROP TABLE IF EXISTS {table.names.quoted(other.name)}")
        name = table.names.staging(run, token)
        if newest.name != bare(name):
            cursor.execute(table.dialect.rename(table.names.schema, newest.name, bare(name)))
        table.columns = _staged_columns(table, cursor)
        _take_out_unknown(cursor, name, staged)
        return _holds(table, cursor, name, staged)

    whole = table.statements.read(work)
    failpoint("stage_resume.after_rename")
    if whole is None:
        open_area(table, run, token)
        return True
    if not whole:
        drop(table, run)
    return whole


def _take_out_unknown(cursor: Cursor, name: str, staged: Sequence[StagedRows]) -> None:
    """Rows of batches that were inserted, but not noted in the ledger before the process died."""
    known = " OR ".join(
        f"({PARTITION} = {each.partition_ordinal} AND {ROW_NUMBER} < {each.next_row})" for each in staged
    )
    cursor.execute(f"DELETE FROM {name}" + (f" WHERE NOT ({known})" if known else ""))


def _holds(table: DatabaseSession, cursor: Cursor, name: str, staged: Sequence[StagedRows]) -> bool:
    """Whether it has all of them, as they were sent."""
    changed = f"CASE WHEN {HASH} <> {table.dialect.row_hash(table.columns)} THEN 1 ELSE 0 END"
    found = rows_of(cursor, f"SELECT {PARTITION}, count(*), sum({changed}) FROM {name} GROUP BY 1")
    counts = {int(ordinal): int(count) for ordinal, count, _ in found}
    expected = {each.partition_ordinal: each.rows for each in staged if each.rows}
    return counts == expected and not any(int(damaged) for _, _, damaged in found)


def withdraw(table: DatabaseSession, partition_ordinal: int) -> None:
    """Takes out the rows of a partition that failed. What is left of them, `resume` takes out by the ledger."""
    name = table.names.staging(table.run, table.token)
    table.statements.read(
        lambda cursor: cursor.execute(f"DELETE FROM {name} WHERE {PARTITION} = {partition_ordinal}") and None
    )
    failpoint("stage.after_withdraw")


def drop(table: DatabaseSession, run: int) -> None:
    """Drops every temporary table of a run but its undo, after what it left running was stopped."""

    def work(cursor: Cursor) -> None:
        if table.companions(cursor, "staging", "fenced", "losers", run=run):
            table.dialect.stop(cursor, table.mark_of(run))
            table.drop(cursor, "staging", "fenced", "losers", run=run)

    table.statements.read(work)
    failpoint("stage_drop.after_drop")


def leftovers(table: DatabaseSession, cursor: Cursor) -> Sequence[Leftover]:
    """The temporary tables of all runs, by run."""
    found = table.companions(cursor, "staging", "fenced", "losers", "undo")
    return sorted(
        (Leftover(each.run, "undo" if each.kind == "undo" else "staging", each.name) for each in found),
        key=lambda each: (each.run, each.name),
    )


def clear(table: DatabaseSession, leftover: Leftover) -> None:
    """Drops one of them."""
    name = table.names.quoted(leftover.name)
    table.statements.read(lambda cursor: cursor.execute(f"DROP TABLE IF EXISTS {name}") and None)
    failpoint("upkeep.after_clear")

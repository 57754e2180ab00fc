"""The staging area: a table like the live one, into which batches go as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from rowkeeper.batch import ROW_BITS, ROW_ID
from rowkeeper.destinations.mergetree import layout
from rowkeeper.destinations.mergetree.arriving import arrived
from rowkeeper.destinations.mergetree.layout import HASH, RUN, columns_of, contract_columns, row_hash
from rowkeeper.destinations.mergetree.names import Companion, bare
from rowkeeper.destinations.mergetree.statements import refused
from rowkeeper.destinations.mergetree.types import identifier, literal
from rowkeeper.errors import DatabaseError, EngineMemory
from rowkeeper.protocols import StagedRows
from rowkeeper.resilience.failpoints import failpoint

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession

# A staging area may have far more parts than a table that is read: each batch makes at least one per partition. What
# would be too many is merged before it is published.
PARTS_MAX = 100_000
PARTS_MERGED_ABOVE = 1_000
# Merging in the background took a third of the engine's time while a run was loading. It goes on in the live table, and
# here if the parts become many (with PARTITION BY they do at once).
INSERTS_UNMERGED = 200
HALVINGS = 5  # of an insert for which the engine has not enough memory: 32 pieces
PARTITION = f"bitShiftRight({ROW_ID}, {ROW_BITS})"
ROW_NUMBER = f"bitAnd({ROW_ID}, {(1 << ROW_BITS) - 1})"


def open_area(table: TableSession, run: int, token: int) -> None:
    """Makes an empty staging area; one that a dead process left under another token is dropped."""
    drop(table, run)
    _enter(table, run, token)
    name = table.names.staging(run, token)
    engine = layout.engine_of(table.statements, table.names)
    engine += f", parts_to_throw_insert = {PARTS_MAX}, parts_to_delay_insert = {PARTS_MAX}"
    table.statements.do(table.ddl.create_as(name, table.names.live, engine=engine))
    if not table.destination.partition_by:
        table.statements.do(table.ddl.stop_merges(name))
    table.inserts = 0
    failpoint("stage.after_create")
    _add_contract_columns(table, name)
    table.check_written(name)
    table.columns = table.staged_columns()


def _enter(table: TableSession, run: int, token: int) -> None:
    table.run, table.token = run, token
    table.statements.run = run


def _add_contract_columns(table: TableSession, name: str) -> None:
    """New optional fields of the contract, and columns that an earlier publish added, are in every staging area."""
    if table.schema is None:
        return
    there = dict(columns_of(table.statements, table.names.database, table.names.table))
    for column, kind in contract_columns(table.schema, table.destination.low_cardinality):
        if column not in there:
            table.add_column(name, column, kind)


def insert(table: TableSession, rows: pa.Table) -> None:
    """Hands a batch over. The engine hashes each row as it takes it, before anything is written."""
    kinds = dict(table.columns)
    given = [name for name in rows.column_names if name != ROW_ID]
    structure = ", ".join(f"{identifier(name)} {kinds[name]}" for name in given) + f", {ROW_ID} UInt64"
    hashed = row_hash(tuple((name, kinds[name]) for name in given))
    columns = ", ".join(identifier(name) for name in given)
    into = (
        f"INSERT INTO {table.names.staging(table.run, table.token)} ({columns}, {RUN}, {ROW_ID}, {HASH}) "
        f"SELECT {columns}, {table.run}, {ROW_ID}, {hashed} FROM "
    )
    failpoint("stage.before_insert")
    _insert_in_pieces(table, rows, into, structure)
    failpoint("stage.after_insert")
    table.inserts += 1
    if table.inserts == INSERTS_UNMERGED:
        table.statements.do(table.ddl.start_merges(table.names.staging(table.run, table.token)))
    if table.destination.partition_by:
        merge_parts(table)


def _insert_in_pieces(table: TableSession, rows: pa.Table, into: str, structure: str, halvings: int = HALVINGS) -> None:
    """Inserts rows at once; in halves, and those in halves, where the engine has not the memory for all of them.

    Raises EngineMemory if it has not enough for the smallest piece either.
    """
    try:
        with table.engine.rows_as_source(rows, structure) as source:
            table.statements.do(into + source.sql, happened=lambda: arrived(table, rows), data=source.data)
    except EngineMemory:
        if not halvings or rows.num_rows < 2:
            raise
        if arrived(table, rows) is not None:  # of an insert that was refused there may be blocks
            return
        half = rows.num_rows // 2
        for piece in (rows.slice(0, half), rows.slice(half)):
            _insert_in_pieces(table, piece, into, structure, halvings - 1)


def merge_parts(table: TableSession) -> None:
    """Keeps the number of parts below what a table that is read may have."""
    name = table.names.staging(table.run, table.token)
    unquoted = bare(name)
    parts = table.statements.number(
        f"SELECT count() FROM system.parts WHERE active AND database = {literal(table.names.database)} "
        f"AND table = {literal(unquoted)}"
    )
    partitions = table.statements.number(
        f"SELECT uniqExact(partition_id) FROM system.parts WHERE active "
        f"AND database = {literal(table.names.database)} AND table = {literal(unquoted)}"
    )
    if parts > PARTS_MERGED_ABOVE + partitions:
        table.statements.do(f"OPTIMIZE TABLE {name} FINAL")


def resume(table: TableSession, run: int, token: int, staged: Sequence[StagedRows]) -> bool:
    """Takes over the staging area of a dead run.

    1. What the dead run's process left running in the engine is stopped.
    2. The area is cloned under the new token and the old one dropped: an insert that a zombie still sends goes
       nowhere. Of several areas the oldest is the one that is complete; better is one from before duplicates were
       taken out, if all of it is there.
    3. Rows that the ledger does not know are taken out; the others must all be there, as they were sent.
    """
    table.statements.stop(run)
    areas = table.companions("staging", "fenced", run=run)
    table.catch_up(*(table.names.quoted(each.name) for each in (*areas, *table.companions("uncut", run=run))))
    best = _uncut(table, run, staged) or next(iter(areas), None)
    if best is None:
        if any(each.rows for each in staged):
            return False
        open_area(table, run, token)
        return True
    _enter(table, run, token)
    for other in areas:
        if other != best:
            table.statements.do(table.ddl.drop(table.names.quoted(other.name)))
    try:
        whole = _move_in(table, table.names.quoted(best.name), staged)
    except DatabaseError as error:
        if not refused(error):
            raise
        whole = False  # a part that the engine cannot even load
    if not whole:
        drop(table, run)
    return whole


def _move_in(table: TableSession, former: str, staged: Sequence[StagedRows]) -> bool:
    """Makes the former area this token's own. False if it does not hold what it should."""
    name = table.names.staging(table.run, table.token)
    table.clone(name, former)
    table.check_written(name)
    failpoint("stage_resume.after_clone")
    table.statements.do(f"DROP TABLE {former}")
    failpoint("stage_resume.after_drop")
    table.columns = table.staged_columns()
    _take_out_unknown(table, name, staged)
    return _holds(table, name, staged)


def _uncut(table: TableSession, run: int, staged: Sequence[StagedRows]) -> Companion | None:
    """The staging area as it was before duplicates were taken out, unless its making was cut short."""
    expected = sum(each.rows for each in staged)
    for found in table.companions("uncut", run=run):
        if table.rows(table.names.quoted(found.name)) == expected:
            return found
    return None


def _take_out_unknown(table: TableSession, name: str, staged: Sequence[StagedRows]) -> None:
    """Rows of batches that were inserted, but not noted in the ledger before the process died."""
    ordinals = ", ".join(str(each.partition_ordinal) for each in staged)
    ends = ", ".join(str(each.next_row) for each in staged)
    known = f"transform({PARTITION}, [{ordinals}]::Array(UInt64), [{ends}]::Array(UInt64), 0::UInt64)"
    unknown = f"{ROW_NUMBER} >= {known}" if staged else "1"
    if table.statements.number(f"SELECT count() FROM {name} WHERE {unknown}"):
        table.statements.do(table.ddl.delete(name, unknown))
        failpoint("stage_resume.after_delete")


def _holds(table: TableSession, name: str, staged: Sequence[StagedRows]) -> bool:
    found = table.statements.ask(
        f"SELECT {PARTITION}, count(), countIf({HASH} != {row_hash(table.columns)}) FROM {name} GROUP BY 1"
    )
    counts = {int(ordinal): int(count) for ordinal, count, _ in found}
    expected = {each.partition_ordinal: each.rows for each in staged if each.rows}
    return counts == expected and not any(changed for _, _, changed in found)


def withdraw(table: TableSession, partition_ordinal: int) -> None:
    """Takes out the rows of a partition that failed. What is left of them, `resume` takes out by the ledger."""
    name = table.names.staging(table.run, table.token)
    own = f"{PARTITION} = {partition_ordinal}"
    if table.statements.number(f"SELECT count() FROM {name} WHERE {own}"):
        take_rows_out(table, own)
        failpoint("stage.after_withdraw")


def take_rows_out(table: TableSession, condition: str) -> None:
    """Deletes rows of the staging area. A DELETE waits for ever where merges are stopped."""
    name = table.names.staging(table.run, table.token)
    table.statements.do(table.ddl.start_merges(name))
    table.statements.do(table.ddl.delete(name, condition))


def drop(table: TableSession, run: int) -> None:
    """Drops every temporary table of a run but its undo, after what it left running was stopped."""
    companions = table.companions("staging", "next", "fenced", "fenced_next", "losers", "uncut", run=run)
    if companions:
        table.statements.stop(run)
    for companion in companions:
        table.statements.do(table.ddl.drop(table.names.quoted(companion.name)))
        failpoint("stage_drop.after_drop")

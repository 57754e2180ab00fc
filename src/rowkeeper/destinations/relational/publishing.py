"""The publish: one transaction, in which rows and commit record change together. Its COMMIT is the commit point.

1  the table's line in `_rowkeeper_commits` is locked, and its fence looked at: who lost the lease stops here
2  other writers are kept out of the table; readers read it as it was
3  columns that are new are added
4  rows that go are copied to the undo table, and deleted
5  the staged rows are added, duplicates left out, and counted
6  the commit record is written, the staging area dropped
7  COMMIT
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rowkeeper.batch import ROW_ID, Fingerprint
from rowkeeper.destinations.relational import layout
from rowkeeper.destinations.relational.dialect import HASH, RUN, Cursor
from rowkeeper.destinations.relational.duplicates import kept, removals
from rowkeeper.destinations.relational.names import COMMITS, identifier, literal
from rowkeeper.destinations.relational.sealing import removed_by_run
from rowkeeper.destinations.relational.staging import bare
from rowkeeper.destinations.relational.statements import number_of, rows_of
from rowkeeper.errors import BooksDiffer, ForeignWriter, LeaseLost, StagingDamaged
from rowkeeper.protocols import Change, CommitRecord
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.resilience.outcomes import Happened

if TYPE_CHECKING:
    from rowkeeper.destinations.relational.session import DatabaseSession


def commit_record(table: DatabaseSession, cursor: Cursor) -> CommitRecord | None:
    """Who published last; None for a table that is not there, or that no run has published to."""
    there = table.dialect.tables(cursor, table.names.schema)
    if COMMITS not in there or table.names.table not in there:
        return None
    rows = rows_of(
        cursor, f"SELECT ledger, run, token, fingerprint FROM {table.names.commits} WHERE target = {table.own}"
    )
    if not rows or rows[0][1] is None:
        return None
    ledger, run, token, fingerprint = rows[0]
    try:
        return CommitRecord(str(ledger), int(run), int(token), Fingerprint.parse(str(fingerprint)))
    except ValueError as error:
        raise BooksDiffer(
            f"the commit record of {table.names.table} in {COMMITS} is none",
            hint="somebody changed it; restore the table and it from a backup",
        ) from error


def publish(table: DatabaseSession, record: CommitRecord, change: Change) -> None:
    """Makes the staged rows visible, with the change and the commit record, in one transaction.

    Raises:
        LeaseLost: somebody else took over.
        ForeignWriter: rows that were to be replaced are others than those that the seal saw; nothing is published.
    """

    def work(cursor: Cursor) -> None:
        _lock(table, cursor, record)
        failpoint("publish.after_lock")
        if change.reverse is not None:
            _reverse(table, cursor, change.reverse)
        else:
            _add(table, cursor, record, change)
        failpoint("publish.after_rows")
        cursor.execute(
            f"UPDATE {table.names.commits} SET ledger = {literal(record.ledger_id)}, run = {record.run}, "
            f"token = {record.token}, fingerprint = {literal(str(record.fingerprint))} WHERE target = {table.own}"
        )
        table.drop(cursor, "staging", "fenced", "losers", run=record.run)
        failpoint("publish.before_commit")

    def happened(cursor: Cursor) -> Happened[None] | None:
        table.dialect.stop(cursor, table.mark_of(record.run))
        found = commit_record(table, cursor)
        return Happened(None) if found is not None and found.run == record.run else None

    table.statements.write(work, happened)
    failpoint("publish.after_commit")


def _lock(table: DatabaseSession, cursor: Cursor, record: CommitRecord) -> None:
    """Raises LeaseLost if a newer token was here, or our staging area is gone."""
    cursor.execute(f"UPDATE {table.names.commits} SET fence = fence WHERE target = {table.own}")  # locks the line
    rows = rows_of(cursor, f"SELECT fence FROM {table.names.commits} WHERE target = {table.own}")
    there = layout.exists(table, cursor, bare(table.names.staging(table.run, table.token)))
    if not rows or int(rows[0][0]) > record.token or not there:
        raise LeaseLost(
            f"another process took over {table.names.table} of {table.statements.place}; nothing was published",
            hint="see rowkeeper runs",
        )
    table.dialect.lock(cursor, table.names.live)


def _add(table: DatabaseSession, cursor: Cursor, record: CommitRecord, change: Change) -> None:
    names, staging = table.names, table.names.staging(table.run, table.token)
    there = dict(layout.table_columns(table, cursor, names.table))
    for column, kind in table.columns:
        if column not in there:
            cursor.execute(f"ALTER TABLE {names.live} ADD COLUMN {identifier(column)} {kind}")
    table.drop(cursor, "undo")
    _move_out(table, cursor, record.run, removals(table, change))
    columns = ", ".join([*(identifier(name) for name, _ in table.columns), RUN, ROW_ID, HASH])
    expected = number_of(cursor, f"SELECT count(*) FROM {staging} WHERE {kept(table)}")
    cursor.execute(f"INSERT INTO {names.live} ({columns}) SELECT {columns} FROM {staging} WHERE {kept(table)}")
    if cursor.rowcount != expected:
        raise StagingDamaged(
            f"of {expected} staged rows of run {record.run}, {cursor.rowcount} came to the table",
            hint="nothing was published; a trigger or a rule on the table may drop rows",
        )


def _move_out(table: DatabaseSession, cursor: Cursor, run: int, conditions: Sequence[str]) -> None:
    """Rows that go are kept in the undo table, which is made also where none go: it says that there is a way back."""
    names, undo = table.names, table.names.undo(run)
    columns = layout.table_columns(table, cursor, names.table)
    cursor.execute(layout.create(table.dialect, undo, columns))
    _check_same(table, removed_by_run(table, cursor, conditions))
    listed = ", ".join([*(identifier(name) for name, _ in columns), RUN, ROW_ID, HASH])
    for condition in conditions:
        cursor.execute(f"INSERT INTO {undo} ({listed}) SELECT {listed} FROM {names.live} WHERE {condition}")
        kept_rows = cursor.rowcount
        cursor.execute(f"DELETE FROM {names.live} WHERE {condition}")
        if cursor.rowcount != kept_rows:
            raise ForeignWriter(
                f"{kept_rows} rows of {names.table} were to go and {cursor.rowcount} went",
                hint="nothing was published; see to triggers and rules on the table",
            )


def _check_same(table: DatabaseSession, going: Mapping[int, Fingerprint]) -> None:
    """Of rows that no run brought any number may go. Of others those that the books will say."""
    if table.removed is None:
        return
    expected = {run: held for run, held in table.removed.items() if run}
    found = {run: held for run, held in going.items() if run}
    if found != expected:
        raise ForeignWriter(
            f"another writer changed rows of {table.names.table} while run {table.run} was being published",
            hint="nothing was published; run again, and see that nobody else changes what Rowkeeper loaded",
        )


def undo_kept(table: DatabaseSession, cursor: Cursor, run: int) -> bool:
    """Whether this run is the last, and the rows that it took away are kept."""
    record = commit_record(table, cursor)
    return record is not None and record.run == run and bool(table.companions(cursor, "undo", run=run))


def _reverse(table: DatabaseSession, cursor: Cursor, run: int) -> None:
    """The table without a run, and with the rows that it took away, where they are kept."""
    back = undo_kept(table, cursor, run)
    cursor.execute(f"DELETE FROM {table.names.live} WHERE {RUN} = {run}")
    if back:
        undo = table.names.undo(run)
        columns = layout.table_columns(table, cursor, bare(undo))
        listed = ", ".join([*(identifier(name) for name, _ in columns), RUN, ROW_ID, HASH])
        cursor.execute(f"INSERT INTO {table.names.live} ({listed}) SELECT {listed} FROM {undo}")
    table.drop(cursor, "undo")


def settle(table: DatabaseSession, run: int) -> bool:
    """After a crash: whether the run was published. What could still publish it is taken away first.

    What its process left running is ended; the commits' line is locked, so that a publish under way is over, one way or
    the other; its staging area is renamed, so that a zombie finds nothing to publish.
    """

    def work(cursor: Cursor) -> bool:
        table.dialect.stop(cursor, table.mark_of(run))
        if not layout.exists(table, cursor, COMMITS):
            return False
        cursor.execute(f"UPDATE {table.names.commits} SET fence = fence WHERE target = {table.own}")
        record = commit_record(table, cursor)
        published = record is not None and record.run == run
        if published:
            table.drop(cursor, "staging", "fenced", "losers", run=run)
            return True
        areas = table.companions(cursor, "staging", "fenced", run=run)
        for other in areas[:-1]:
            cursor.execute(f"DROP TABLE IF EXISTS {table.names.quoted(other.name)}")
        if areas and areas[-1].kind == "staging":
            cursor.execute(table.dialect.rename(table.names.schema, areas[-1].name, table.names.fenced(run)))
        return False

    published = table.statements.read(work)
    failpoint("settle.after_fence")
    return published

"""The publish: clone, change, attach, comment, sync, exchange. The exchange is the commit point."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.mergetree import sealing
from rowkeeper.destinations.mergetree.duplicates import removals
from rowkeeper.destinations.mergetree.layout import RUN, columns_of
from rowkeeper.destinations.mergetree.names import bare
from rowkeeper.destinations.mergetree.replicas import wait_for_replicas
from rowkeeper.destinations.mergetree.statements import refused
from rowkeeper.destinations.mergetree.types import literal
from rowkeeper.errors import BooksDiffer, DatabaseError, ForeignWriter, StagingDamaged
from rowkeeper.protocols import Change, CommitRecord
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.resilience.outcomes import Happened

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession

COMMENT = "rowkeeper"
ATTEMPTS = 5


def commit_record(table: TableSession, name: str) -> CommitRecord | None:
    """The commit record in a table's comment; None if there is no such table or no such comment."""
    rows = table.statements.ask(
        f"SELECT comment FROM system.tables WHERE database = {literal(table.names.database)} AND name = {literal(name)}"
    )
    if not rows or not rows[0][0]:
        return None
    try:
        document = json.loads(rows[0][0])[COMMENT]
        return CommitRecord(
            document["ledger"], document["run"], document["token"], Fingerprint.parse(document["fingerprint"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BooksDiffer(
            f"the comment of {table.names.live} is not a commit record",
            hint="somebody changed it; restore the table from a backup",
        ) from error


def comment_of(record: CommitRecord) -> str:
    """A commit record as the comment of its table."""
    return json.dumps(
        {
            COMMENT: {
                "ledger": record.ledger_id,
                "run": record.run,
                "token": record.token,
                "fingerprint": str(record.fingerprint),
            }
        }
    )


def publish(table: TableSession, record: CommitRecord, change: Change) -> None:
    """Makes the staged rows visible, with the change, in one step that survives a power cut.

    1. `next` is a clone of the live table (hard links), with the commit record as its comment from the start: chDB
       does not notice when the altering of a comment fails on the disk.
    2. It is changed, and the staged parts are attached.
    3. All of it is made durable, and every replica that is up has it.
    4. EXCHANGE: the commit point. The former table is kept as the run's undo.
    5. The exchange is made durable before anybody is told.

    Raises IntegrityError if somebody else wrote to the table meanwhile, again and again.
    """
    table.statements.run = record.run
    next_name = f"{table.names.table}__rk_next_{record.run}_{record.token}"
    for _ in range(ATTEMPTS):
        parts = _build(table, record, change, table.names.quoted(next_name))
        table.engine.sync()
        wait_for_replicas(table, next_name)
        failpoint("publish.before_exchange")
        if _parts(table, table.names.table) == parts:
            table.statements.do(
                table.ddl.exchange(table.names.live, table.names.quoted(next_name)),
                happened=lambda: _exchanged(table, record),
            )
            break
    else:
        raise ForeignWriter(
            f"another writer kept changing {table.names.live} while run {record.run} was being published",
            hint="nothing was published; see that only Rowkeeper writes to this table",
        )
    failpoint("publish.after_exchange")
    _keep_undo(table, record.run, table.names.quoted(next_name))
    table.engine.sync()
    failpoint("publish.after_sync")
    _clear(table, record.run)


def _exchanged(table: TableSession, record: CommitRecord) -> Happened[None] | None:
    """Whether an exchange that was not answered took effect; None if it did not, and cannot any more.

    1. If it is still under way it is stopped, or waited for where it cannot be.
    2. Then the live table says whose it is.
    """
    table.statements.stop(record.run)
    return Happened(None) if table.commit_record() == record else None


def _build(table: TableSession, record: CommitRecord, change: Change, next_table: str) -> list[str]:
    """Makes the table that will be live; returns the parts of the live table that it was made from."""
    do, names = table.statements.do, table.names
    do(table.ddl.drop(next_table))
    failpoint("publish.before_clone")
    table.catch_up(names.live)
    parts = _parts(table, names.table)
    comment = comment_of(record)
    if change.reverse is not None:
        _keep_former(table, record.run)
        _build_reversed(table, change.reverse, next_table, comment)
    else:
        staging = names.staging(table.run, table.token)
        if change.drop_all:
            do(table.ddl.create_as(next_table, names.live, comment=comment))
        else:
            table.clone(next_table, names.live, comment)
        failpoint("publish.after_clone")
        for column, kind in table.columns:
            if column not in dict(columns_of(table.statements, names.database, names.table)):
                table.add_column(next_table, column, kind)
        removed = [] if change.drop_all else removals(table, change)
        if change.drop_all or removed:
            _keep_former(table, record.run)
        _delete(table, next_table, removed)
        expected = table.rows(next_table) + table.rows(staging)
        _attach(table, record.run, next_table, staging)
        failpoint("publish.after_attach")
        if table.rows(next_table) != expected:
            raise StagingDamaged(
                f"attaching the staged rows of run {record.run} lost some of them",
                hint="nothing was published; run the pipeline again",
            )
    table.check_written(next_table)
    return parts


def _attach(table: TableSession, run: int, next_table: str, staging: str) -> None:
    """Attaches the staged parts. Some files of a part are in no checksum, and are read here for the first time."""
    try:
        table.statements.do(table.ddl.attach_all(next_table, staging))
    except DatabaseError as error:
        if not refused(error):
            raise
        raise StagingDamaged(f"what run {run} wrote is damaged on disk", hint=sealing.MENDING) from error


def _delete(table: TableSession, name: str, conditions: Sequence[str]) -> None:
    """Takes rows out of `next`, and checks on disk the parts that this wrote: chDB acknowledges failed writes."""
    if not conditions:
        return
    before = _part_names(table, name)
    for condition in conditions:
        table.statements.do(table.ddl.delete(name, condition))
        failpoint("publish.after_deletes")
    for part in sorted(_part_names(table, name, "has_lightweight_delete") - before):
        try:
            sealing.check_files(table, f"{name} PART {literal(part)}")
        except DatabaseError as error:
            if error.context.get("clickhouse") != "NO_SUCH_DATA_PART":
                raise
            # A merge in the background has taken its place, and had to read all of it.


def _part_names(table: TableSession, name: str, condition: str = "1") -> set[str]:
    rows = table.statements.ask(
        f"SELECT name FROM system.parts WHERE active AND {condition} "
        f"AND database = {literal(table.names.database)} AND table = {literal(bare(name))}"
    )
    return {str(part) for (part,) in rows}


def _build_reversed(table: TableSession, run: int, next_table: str, comment: str) -> None:
    """The table without a run: as it was before, where that is kept; otherwise without the run's rows.

    The staging area of a rollback is empty. It is asked for once `next` is there: a zombie whose area was fenced stops
    here, and one that comes further finds its `next` fenced.
    """
    names = table.names
    undo = undo_kept(table, run)
    table.clone(next_table, names.undo(run) if undo else names.live, comment)
    failpoint("publish.after_clone")
    table.rows(names.staging(table.run, table.token))
    if not undo:
        _delete(table, next_table, [f"{RUN} = {run}"])


def undo_kept(table: TableSession, run: int) -> bool:
    """Whether this run was the last, its undo is kept, and going back would lose no row of another writer."""
    record = table.commit_record()
    if record is None or record.run != run or not table.companions("undo", run=run):
        return False
    foreign = [
        table.statements.number(f"SELECT count() FROM {name} WHERE {RUN} = 0")
        for name in (table.names.live, table.names.undo(run))
    ]
    return foreign[0] == foreign[1]


def _parts(table: TableSession, name: str) -> list[str]:
    """What a table is made of, told so that merging parts in the background does not change it."""
    rows = table.statements.ask(
        "SELECT partition_id, max(max_block_number), max(data_version), sum(rows) FROM system.parts "
        f"WHERE active AND database = {literal(table.names.database)} AND table = {literal(name)} "
        "GROUP BY partition_id ORDER BY partition_id"
    )
    return [str(tuple(row)) for row in rows]


def _keep_undo(table: TableSession, run: int, former: str) -> None:
    """The former table under the name of the run that took its place; exactly one is kept."""
    table.statements.do(table.ddl.rename(former, table.names.undo(run)))
    failpoint("publish.after_undo")
    for companion in table.companions("undo"):
        if companion.run != run:
            table.statements.do(table.ddl.drop(table.names.quoted(companion.name)))


def _keep_former(table: TableSession, run: int) -> None:
    """Where backups are set up: the table as it was before this run takes rows out of it, until a backup has it.

    It is made of hard links, and its parts are never merged: in a backup they are those that the live table has, or
    had. What a run leaves here that was not published after all is taken away by the next backup.
    """
    if table.keeps_former:
        kept = table.names.kept(run)
        table.statements.do(table.ddl.drop(kept))
        table.clone(kept, table.names.live)
        failpoint("publish.after_keep")
        table.statements.do(table.ddl.hold_still(kept))


def _clear(table: TableSession, run: int) -> None:
    for companion in table.companions("staging", "fenced", "losers", "uncut", "kept"):
        if companion.run == run if companion.kind != "kept" else not table.keeps_former:
            table.statements.do(table.ddl.drop(table.names.quoted(companion.name)))
    failpoint("publish.after_clear")


def settle(table: TableSession, run: int) -> bool:
    """After a crash: whether the run was published. What could still publish it is taken away first.

    1. What its process left running in the engine is stopped.
    2. Its staging area is renamed: a zombie can attach nothing any more.
    3. Its next table is renamed: a zombie can exchange nothing any more.
    4. Only then the live table is asked. If it names the run, `next` is the former table, which is its undo.
    """
    table.statements.stop(run)
    for area in table.companions("staging", run=run)[:1]:
        if not table.companions("fenced", run=run):
            table.statements.do(table.ddl.rename(table.names.quoted(area.name), table.names.fenced(run)))
    failpoint("settle.after_fence")
    for following in table.companions("next", run=run)[:1]:
        table.statements.do(table.ddl.drop(table.names.fenced_next(run)))
        table.statements.do(table.ddl.rename(table.names.quoted(following.name), table.names.fenced_next(run)))
    failpoint("settle.after_fence_next")
    record = table.commit_record()
    published = record is not None and record.run == run
    if published:
        for former in table.companions("fenced_next", run=run):
            _keep_undo(table, run, table.names.quoted(former.name))
        table.engine.sync()
        failpoint("settle.after_sync")
        _clear(table, run)
    else:
        table.statements.do(table.ddl.drop(table.names.fenced_next(run)))
    return published

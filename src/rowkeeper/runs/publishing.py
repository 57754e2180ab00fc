"""The end of a run: seal, prepare, publish, record. Loads, replays and rollbacks all end here.

The order is the proof of exactly once:

    seal      what was staged is read back from disk and fits what was sent
    prepare   the ledger holds account and postings: all that is needed to finish, should this process die
    publish   the destination changes in one step, and says itself by which run
    record    the ledger learns of it

Dying before prepare leaves a run to resume; between prepare and record, the destination is asked whether it was
published (see `reconcile`), and the ledger follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rowkeeper.batch import Account, Fingerprint
from rowkeeper.errors import IntegrityError
from rowkeeper.ledger import BatchRecord, RunPartition, RunRecord
from rowkeeper.logs import about, logger
from rowkeeper.protocols import Change, CommitRecord, Sealed
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.boundary import crossing
from rowkeeper.runs.hold import Hold
from rowkeeper.runs.interrupt import uninterrupted
from rowkeeper.runs.protecting import clear_columns
from rowkeeper.runs.refusals import forget_refusals, note_refusals
from rowkeeper.runs.rejects import rejects_of_duplicates, sealed_apart
from rowkeeper.runs.room import check_room
from rowkeeper.runs.staging import staged_rows
from rowkeeper.runs.tidying import tidy

DUPLICATES_PER_FILE = 50_000

log = logger("run")


def change_of(run: RunRecord) -> Change:
    """What publishing this run does besides adding rows, as the ledger holds it."""
    return Change(drop_all=run.replaces_all, drop_rows=run.drop_rows, reverse=run.reverses)


def finish_load(held: Hold, run: RunRecord, columns: Sequence[tuple[str, str]]) -> RunRecord:
    """Takes a wholly staged run from seal to record."""
    partitions, batches = held.ledger.partitions(run.run), held.ledger.batches(run.run)
    held.tell(run.pipeline, "seal")
    _check_room(held)
    duplicates = list(_seal_duplicates(held, run, partitions))
    failpoint("run.after_duplicates")
    sealed = held.session.seal(staged_rows(batches, partitions), change_of(run))
    failpoint("run.after_seal")
    _check_room(held)
    with uninterrupted():
        prepared = held.ledger.prepare_run(
            held.lease,
            run.run,
            accounts=_accounts(partitions, batches, duplicates, sealed),
            fingerprints=dict(sealed.by_partition),
            postings=sealed.postings,
            columns=columns,
            duplicates=duplicates,
        )
        failpoint("run.after_prepare")
        return publish_and_record(held, prepared)


def _check_room(held: Hold) -> None:
    """Raises DiskFull while the run can still be gone on with: neither seal nor publish should end in its midst."""
    check_room(held.workspace.site.home, 0, held.workspace.settings.disk_free_min)


def publish_and_record(held: Hold, run: RunRecord) -> RunRecord:
    """Publishes a prepared run and tells the ledger."""
    ledger = held.ledger
    books = sum(ledger.balance(run.target).values(), Fingerprint())
    books = sum((posting.change for posting in ledger.postings(run.run)), books)
    with about(run=run.run):
        held.tell(run.pipeline, "publish")
        with crossing(held.workspace.folder.path, held.target):
            held.session.publish(CommitRecord(ledger.id, run.run, held.lease.token, books), change_of(run))
            failpoint("run.after_publish")
            note_refusals(held, run)
            held.tell(run.pipeline, "record")
            recorded = ledger.record_published(held.lease, run.run, seconds=held.seconds)
        forget_refusals(held, run.run)
        tidy(held, run.run)
    counts = {name: count for name, count in recorded.account.as_dict().items() if count}
    log.info("run published", run=run.run, pipeline=run.pipeline, kind=run.kind.value, seconds=held.seconds, **counts)
    return recorded


def _accounts(
    partitions: Sequence[RunPartition],
    batches: Sequence[BatchRecord],
    duplicates: Sequence[BatchRecord],
    sealed: Sealed,
) -> dict[int, Account]:
    """Each partition's account: reads and rejects as noted while staging, commits as found on disk."""
    accounts = {}
    for partition in partitions:
        ordinal = partition.ordinal
        own = [batch for batch in batches if batch.partition_ordinal == ordinal]
        set_aside = sum(each.quarantined for each in duplicates if each.partition_ordinal == ordinal)
        account = Account(
            read=sum(batch.next_row - batch.first_row for batch in own),
            committed=sealed.by_partition.get(ordinal, Fingerprint()).rows,
            quarantined=sum(batch.quarantined for batch in own) + set_aside,
            duplicate=sealed.duplicates.get(ordinal, 0) - set_aside + sum(batch.duplicate for batch in own),
            filtered=sum(batch.filtered for batch in own),
        )
        if not account.balanced:
            raise IntegrityError(
                f"the account of {partition.partition.key} does not balance: {account.as_dict()}",
                hint="nothing was published; rowkeeper doctor says more",
            )
        accounts[ordinal] = account
    return accounts


def _seal_duplicates(held: Hold, run: RunRecord, partitions: Sequence[RunPartition]) -> Iterator[BatchRecord]:
    """Seals away the duplicates that go to quarantine."""
    keys = {each.ordinal: each.partition.key for each in partitions}
    clear, keysets = clear_columns(run), held.workspace.keysets
    return sealed_apart(
        held.workspace.quarantine,
        run.run,
        "duplicates",
        held.session.duplicate_rows(change_of(run)),
        file_rows=DUPLICATES_PER_FILE,
        rejects_of=lambda rows: rejects_of_duplicates(rows, keys, clear, keysets),
    )

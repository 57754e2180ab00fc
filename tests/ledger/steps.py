"""The steps of a run by themselves, without a destination: what tests of the ledger write into it."""

from __future__ import annotations

from datetime import UTC, datetime

from rowkeeper.batch import Account, Fingerprint, Partition
from rowkeeper.ledger import BatchRecord, Lease, Ledger, RunKind, RunRecord
from rowkeeper.protocols import Posting

TARGET = "clickhouse:test/t"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def start(ledger: Ledger, lease: Lease, files: int = 1, kind: RunKind = RunKind.LOAD, **more: object) -> RunRecord:
    partitions = [(Partition(f"f{number}", "i"), False) for number in range(files)]
    given = {"target": TARGET, "partitions": partitions, "replaces_all": False, "drop_rows": (), **more}
    return ledger.start_run(
        lease,
        pipeline="p",
        kind=kind,
        definition="d",
        source={},
        destination={"kind": "clickhouse"},
        **given,  # type: ignore[arg-type]
    )


def batch(run: int, first: int, end: int, ordinal: int = 0) -> BatchRecord:
    return BatchRecord(run, ordinal, first, end, end - first, 0, 0, None, None, {}, NOW)


def publish(ledger: Ledger, lease: Lease, rows: int, hash_sum: int = 7, **more: object) -> int:
    run = start(ledger, lease, **more).run
    ledger.note_batch(lease, batch(run, 0, rows), partition_complete=True)
    mark = Fingerprint(rows, hash_sum)
    ledger.prepare_run(
        lease,
        run,
        accounts={0: Account(read=rows, committed=rows)},
        fingerprints={0: mark},
        postings=[Posting(run, mark)],
        columns=[("a", "Int64")],
    )
    ledger.record_published(lease, run, seconds=1.0)
    return run


def take_back(ledger: Ledger, lease: Lease, number: int) -> None:
    entry = start(ledger, lease, files=0, kind=RunKind.ROLLBACK, reverses=number).run
    reverse = [Posting(each.about_run, -each.change) for each in ledger.postings(number)]
    ledger.prepare_run(lease, entry, accounts={}, fingerprints={}, postings=reverse, columns=[("a", "Int64")])
    ledger.record_published(lease, entry, seconds=0.1)

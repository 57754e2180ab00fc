"""Rows that the other side refused while a run was published: they go to quarantine, and the account says so.

An API is told row by row, and cannot be asked beforehand. So the account that was prepared counts all of them as
committed, and is amended between publish and record: from sealed files that are there first, in one step of the ledger,
which leaves the same behind however often it is done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby, islice

from rowkeeper.batch import Fingerprint, partition_ordinal
from rowkeeper.ledger import BatchRecord, RunRecord
from rowkeeper.logs import logger
from rowkeeper.protocols import RefusedRow, Refusing
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.hold import Hold
from rowkeeper.runs.protecting import SOURCE_KEY, clear_columns
from rowkeeper.runs.rejects import rejects_of_refused, seal_rejects

ROWS_PER_FILE = 10_000

log = logger("run")


def note_refusals(held: Hold, run: RunRecord) -> None:
    """Sets aside what was refused of a run that is published and not recorded yet."""
    if not isinstance(held.session, Refusing):
        return
    partitions = held.ledger.partitions(run.run)
    refused = list(_sealed(held, held.session, run, {each.ordinal: each.partition.key for each in partitions}))
    failpoint("run.after_refusals")
    if not refused:
        return
    delivered = held.session.delivered(run.run)
    accounts = {}
    for partition in partitions:
        account = partition.account
        committed = delivered.by_partition.get(partition.ordinal, Fingerprint()).rows
        quarantined = account.quarantined + account.committed - committed
        accounts[partition.ordinal] = dataclasses.replace(account, committed=committed, quarantined=quarantined)
    held.ledger.amend_run(
        held.lease,
        run.run,
        accounts=accounts,
        fingerprints=dict(delivered.by_partition),
        postings=delivered.postings,
        refused=refused,
    )
    failpoint("run.after_amend")
    log.warning("rows were refused by the destination", run=run.run, refused=sum(each.quarantined for each in refused))


def forget_refusals(held: Hold, run: int) -> None:
    """Lets the destination drop what it kept until all was recorded."""
    if isinstance(held.session, Refusing):
        held.session.forget(run)


def _sealed(held: Hold, session: Refusing, run: RunRecord, keys: dict[int, str]) -> Iterator[BatchRecord]:
    """Quarantine files of a bounded size, each named after its first row."""
    for ordinal, group in groupby(session.refused_rows(run.run), key=lambda row: partition_ordinal(row.row_id)):
        for rows in _chunks(group):
            protects = bool(run.source.get(SOURCE_KEY))
            rejects = rejects_of_refused(rows, keys, clear_columns(run), held.workspace.keysets, protects=protects)
            name = f"{run.run}/refused-{rows[0].row_id}.sealed"
            digest = seal_rejects(held.workspace.quarantine, name, rejects)
            yield BatchRecord(
                run=run.run,
                partition_ordinal=ordinal,
                first_row=0,
                next_row=0,
                staged=0,
                quarantined=len(rows),
                filtered=0,
                quarantine_file=name,
                quarantine_sha256=digest,
                reasons=rejects.reasons,
                staged_at=datetime.now(UTC),
            )


def _chunks(rows: Iterator[RefusedRow]) -> Iterator[list[RefusedRow]]:
    while chunk := list(islice(rows, ROWS_PER_FILE)):
        yield chunk

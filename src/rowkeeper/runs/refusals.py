"""Rows that the other side refused while a run was published: they go to quarantine, and the account says so.

An API is told row by row, and cannot be asked beforehand. So the account that was prepared counts all of them as
committed, and is amended between publish and record: from sealed files that are there first, in one step of the ledger,
which leaves the same behind however often it is done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from rowkeeper.batch import Fingerprint
from rowkeeper.ledger import BatchRecord, RunRecord
from rowkeeper.logs import logger
from rowkeeper.protocols import Refusing
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.hold import Hold
from rowkeeper.runs.protecting import SOURCE_KEY, clear_columns
from rowkeeper.runs.rejects import rejects_of_refused, sealed_apart

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
    clear, keysets, protects = clear_columns(run), held.workspace.keysets, bool(run.source.get(SOURCE_KEY))
    return sealed_apart(
        held.workspace.quarantine,
        run.run,
        "refused",
        session.refused_rows(run.run),
        file_rows=ROWS_PER_FILE,
        rejects_of=lambda rows: rejects_of_refused(rows, keys, clear, keysets, protects=protects),
    )

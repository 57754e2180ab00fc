"""The ledger's steps of a run whose rows go to the spool first."""

from __future__ import annotations

import dataclasses

import pytest

from rowkeeper.batch import Account, Fingerprint, Partition
from rowkeeper.errors import IntegrityError, LeaseError
from rowkeeper.ledger import Lease, Ledger, RunRecord, RunStatus
from tests.ledger.steps import NOW, TARGET, batch, publish, start
from tests.ledger.test_ledger import Clock, clock, ledger

__all__ = ["clock", "ledger"]

ERROR = {"type": "died"}


def spool(ledger: Ledger, lease: Lease, *files: str, instead_of: int | None = None, whole: bool = False) -> RunRecord:
    """Begins a run over files of these names."""
    return ledger.start_in_spool(
        lease,
        instead_of=instead_of,
        pipeline="p",
        target=TARGET,
        definition="d",
        source={},
        destination={"kind": "clickhouse"},
        partitions=[(Partition(name, "i"), False) for name in files],
        replaces_all=whole,
        gates=(),
        failed={},
        degraded=["the run was spooled"],
    )


def filled(ledger: Ledger, lease: Lease, *files: str, whole: bool = False) -> RunRecord:
    run = spool(ledger, lease, *files, whole=whole)
    for ordinal in range(len(files)):
        ledger.note_batch(lease, batch(run.run, 0, 5, ordinal), partition_complete=True)
    return ledger.note_spooled(lease, run.run)


def test_a_run_waits_with_its_account_and_is_half_read_until_then(ledger: Ledger):
    """Spooled when all of it was read, not before; one that died on the way goes on."""
    lease = ledger.acquire_lease(TARGET, 60)
    run = spool(ledger, lease, "a", "b").run
    noted = dataclasses.replace(batch(run, 0, 7), staged=4, quarantined=2, filtered=1, spool_file="f", spool_sha256="s")
    ledger.note_batch(lease, noted, partition_complete=True)
    with pytest.raises(IntegrityError):
        ledger.note_spooled(lease, run)
    ledger.interrupt_run(lease, run, ERROR)
    assert ledger.run(run).status is RunStatus.INTERRUPTED
    assert ledger.spoken_for("p", TARGET) == {}
    ledger.resume_run(lease, run)
    ledger.note_partition_complete(lease, run, 1)
    record = ledger.note_spooled(lease, run)
    account = Account(read=7, committed=4, quarantined=2, filtered=1)
    assert (record.status, record.account, record.in_spool) == (RunStatus.SPOOLED, account, True)
    assert [part.account for part in ledger.partitions(run)] == [account, Account()]
    assert ledger.batches(run) == [noted]
    assert set(ledger.spoken_for("p", TARGET)) == {"a", "b"}
    assert ledger.loaded("p", TARGET) == {}


def test_a_run_of_which_every_file_failed_does_not_wait(ledger: Ledger):
    """One file that could be read is enough, none is not: such a run is no part of the queue."""
    lease = ledger.acquire_lease(TARGET, 60)
    run = spool(ledger, lease, "a", "b").run
    for ordinal in range(2):
        ledger.note_partition_failed(lease, run, ordinal, ERROR, keeps=())
    ledger.interrupt_run(lease, run, ERROR)
    assert ledger.run(run).status is RunStatus.INTERRUPTED


def test_a_drain_that_stops_puts_the_run_back_as_it_was(ledger: Ledger):
    """Before it was prepared, after that, and after its gates held it."""
    lease = ledger.acquire_lease(TARGET, 60)
    waiting = filled(ledger, lease, "a")
    run = waiting.run
    ledger.drain_run(lease, run, gates=["g"], drop_rows=[(1, 0)])
    ledger.interrupt_run(lease, run, ERROR)
    assert ledger.run(run) == dataclasses.replace(waiting, gates=("g",), drop_rows=((1, 0),), error=ERROR)
    ledger.drain_run(lease, run, gates=[], drop_rows=[])
    ledger.prepare_run(
        lease,
        run,
        accounts={0: Account(5, 5)},
        fingerprints={0: Fingerprint(5, 1)},
        postings=[],
        columns=[("a", "Int8")],
    )
    again = ledger.reopen_run(lease, run)
    assert (again.status, again.account, again.fingerprint) == (RunStatus.SPOOLED, Account(5, 5), None)
    ledger.drain_run(lease, run, gates=[], drop_rows=[])
    ledger.note_quality(lease, run, [], None, ERROR)
    assert ledger.run(run).status is RunStatus.HELD
    assert set(ledger.spoken_for("p", TARGET)) == {"a"}
    assert ledger.drain_run(lease, run, gates=[], drop_rows=[]).status is RunStatus.STAGING


def test_one_that_is_given_up_speaks_for_nothing(ledger: Ledger):
    """Its files can be loaded again, and its rows are in no account."""
    lease = ledger.acquire_lease(TARGET, 60)
    run = filled(ledger, lease, "a").run
    ledger.fail_run(lease, run, ERROR)
    assert (ledger.run(run).status, ledger.run(run).account) == (RunStatus.FAILED, Account())
    assert ledger.spoken_for("p", TARGET) == {}
    assert ledger.spooled() == []


def test_a_run_out_of_reach_starts_over_under_its_number(ledger: Ledger):
    """What it had noted is forgotten; a run that is ended does not start over."""
    lease = ledger.acquire_lease(TARGET, 60)
    died = start(ledger, lease, files=2)
    ledger.note_batch(lease, batch(died.run, 0, 5), partition_complete=True)
    again = spool(ledger, lease, "x", instead_of=died.run)
    assert (again.run, again.in_spool, again.status) == (died.run, True, RunStatus.STAGING)
    assert ledger.batches(died.run) == []
    assert [part.partition.key for part in ledger.partitions(died.run)] == ["x"]
    with pytest.raises(IntegrityError):
        spool(ledger, lease, "x", instead_of=publish(ledger, lease, 3))


def test_what_replaces_the_table_speaks_for_all_that_came_before(ledger: Ledger):
    """In the order of the runs: published, spooled whole, spooled after that."""
    lease = ledger.acquire_lease(TARGET, 60)
    publish(ledger, lease, 3)
    assert set(ledger.spoken_for("p", TARGET)) == {"f0"}
    filled(ledger, lease, "a", "b", whole=True)
    later = filled(ledger, lease, "b").run
    found = ledger.spoken_for("p", TARGET)
    assert set(found) == {"a", "b"}
    assert found["b"].run == later


def test_who_lost_the_lease_notes_nothing(ledger: Ledger, clock: Clock):
    """Neither on the way into the spool nor out of it."""
    lease = ledger.acquire_lease(TARGET, 60)
    waiting, half = filled(ledger, lease, "a").run, spool(ledger, lease, "b").run
    clock.now = NOW.replace(year=2027)
    ledger.acquire_lease(TARGET, 60)
    for step in (
        lambda: spool(ledger, lease, "c"),
        lambda: ledger.note_spooled(lease, half),
        lambda: ledger.drain_run(lease, waiting, gates=[], drop_rows=[]),
    ):
        with pytest.raises(LeaseError):
            step()

"""History that is pruned: accounts, books and what counts as loaded stay what they would be without it."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from rowkeeper.batch import Account, Fingerprint, Partition
from rowkeeper.errors import LeaseLost, UnknownRun
from rowkeeper.ledger import BatchRecord, Lease, Ledger, RunKind, RunRecord, RunStatus
from rowkeeper.ledger.audit.listing import newest
from rowkeeper.ledger.retention import KEPT_LOADS, Limits, ranges
from rowkeeper.protocols import Posting
from tests import extent
from tests.auditing import AUDITING
from tests.ledger.steps import NOW, TARGET, publish, start, take_back

DAY = timedelta(days=1)


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    with Ledger.open(None, tmp_path, clock, auditing=AUDITING) as opened:
        yield opened


@pytest.fixture
def lease(ledger: Ledger) -> Lease:
    return ledger.acquire_lease(TARGET, 10_000 * 86_400)


def prune(ledger: Ledger, lease: Lease, clock: Clock, *, quarantine: bool = True) -> Any:
    limits = Limits(clock.now, clock.now if quarantine else None)
    old = ledger.retention.old(TARGET, limits)
    ledger.retention.remove(lease, TARGET, old)
    return old


def reject(ledger: Ledger, lease: Lease, rows: int = 2) -> int:
    """A published run of one partition with rejected rows."""
    run = start(ledger, lease).run
    batch = BatchRecord(run, 0, 0, rows, 0, rows, 0, f"{run}/a.sealed", "0" * 64, {"price: int": rows}, NOW)
    ledger.note_batch(lease, batch, partition_complete=True)
    ledger.prepare_run(
        lease,
        run,
        accounts={0: Account(read=rows, quarantined=rows)},
        fingerprints={},
        postings=[],
        columns=[("a", "Int64")],
    )
    ledger.record_published(lease, run, seconds=1.0)
    return run


def test_nothing_goes_unless_it_is_set(ledger: Ledger, lease: Lease):
    """Without limits everything is kept for ever."""
    publish(ledger, lease, 3)
    assert not ledger.retention.old(TARGET, Limits())


def test_runs_that_published_nothing_go_but_for_the_newest(ledger: Ledger, lease: Lease, clock: Clock):
    """Of a pipeline's unchanged and failed runs the last one stays, and numbers are not given again."""
    gone = [unchanged(ledger, lease) for _ in range(3)]
    failed = start(ledger, lease).run
    ledger.fail_run(lease, failed, {"code": "X"})
    newest = unchanged(ledger, lease)
    clock.now += DAY
    assert prune(ledger, lease, clock).whole == (*gone, failed)
    for number in (*gone, failed):
        with pytest.raises(UnknownRun):
            ledger.run(number)
    assert ledger.run(newest).status is RunStatus.UNCHANGED
    assert unchanged(ledger, lease) > newest


def unchanged(ledger: Ledger, lease: Lease) -> int:
    nothing: dict[str, Any] = {}
    return ledger.record_unchanged(
        lease, pipeline="p", target=TARGET, definition="d", source=nothing, destination=nothing, note=""
    ).run


def test_the_last_success_stays(ledger: Ledger, lease: Lease, clock: Clock):
    """A run that found nothing new may be the one by which alerts judge that success is absent."""
    first, last = unchanged(ledger, lease), unchanged(ledger, lease)
    failed = [start(ledger, lease).run for _ in range(2)]
    for run in failed:
        ledger.fail_run(lease, run, {"code": "X"})
    clock.now += DAY
    before = ledger.alerts.last_successes()
    assert prune(ledger, lease, clock).whole == (first, failed[0])
    assert ledger.alerts.last_successes() == before
    assert before["p"].run == last


def test_runs_that_wait_for_somebody_stay(ledger: Ledger, lease: Lease, clock: Clock):
    """A held run has an end in the ledger, and is not over."""
    run = start(ledger, lease).run
    ledger.note_quality(lease, run, [], None, {"code": "RK-2202"})
    unchanged(ledger, lease)
    clock.now += DAY
    assert not prune(ledger, lease, clock)
    assert ledger.run(run).status is RunStatus.HELD


def test_the_newest_loads_keep_their_details(ledger: Ledger, lease: Lease, clock: Clock):
    """Profiles and gates are compared with those of the last loads, however old these are."""
    loads = [publish(ledger, lease, 1) for _ in range(KEPT_LOADS + 2)]
    clock.now += DAY
    assert prune(ledger, lease, clock).details == tuple(loads[:2])
    assert [bool(ledger.batches(run)) for run in loads] == [False] * 2 + [True] * KEPT_LOADS
    assert ledger.run(loads[0]).pruned_at == clock.now


def test_partitions_stay_where_there_are_backups(ledger: Ledger, lease: Lease, clock: Clock):
    """A restore may make a run count that was taken back: then its files must be known as loaded."""
    run = publish(ledger, lease, 1)
    take_back(ledger, lease, run)
    for _ in range(KEPT_LOADS):
        publish(ledger, lease, 1)
    clock.now += DAY
    assert ledger.retention.old(TARGET, Limits(clock.now)).partitions == ((run, 0),)
    assert ledger.retention.old(TARGET, Limits(clock.now, restorable=True)).partitions == ()


def test_rejected_rows_go_and_their_counts_stay(ledger: Ledger, lease: Lease, clock: Clock):
    """Also without a limit for history."""
    run = reject(ledger, lease)
    clock.now += DAY
    ledger.retention.remove(lease, TARGET, ledger.retention.old(TARGET, Limits(quarantine=clock.now)))
    (record,) = ledger.quarantine(run)
    assert (record.quarantined, record.quarantine_file, record.reasons) == (2, None, {"price: int": 2})
    assert ledger.quarantine(run, kept=True) == []
    assert ledger.sealed_files(run) == frozenset()
    (summary,) = ledger.quarantine_summary()
    assert (summary.rows, summary.kept) == (2, False)


def test_rejected_rows_that_are_kept_keep_their_history(ledger: Ledger, lease: Lease, clock: Clock):
    """What a replay needs is there as long as there are rows to replay."""
    runs = [reject(ledger, lease) for _ in range(KEPT_LOADS + 1)]
    clock.now += DAY
    assert not prune(ledger, lease, clock, quarantine=False)
    assert len(ledger.quarantine(runs[0], kept=True)) == 1


def test_rejected_rows_that_are_being_replayed_stay(ledger: Ledger, lease: Lease, clock: Clock):
    """A replay that was interrupted goes on with the very files that it began with."""
    run = reject(ledger, lease)
    replay = start(ledger, lease, kind=RunKind.REPLAY, partitions=[(Partition(f"quarantine:{run}:a", "i"), False)]).run
    ledger.interrupt_run(lease, replay, {"code": "RK-2001"})
    clock.now += DAY
    assert not prune(ledger, lease, clock)


def test_whoever_lost_the_lease_removes_nothing(ledger: Ledger, lease: Lease, clock: Clock):
    """The fencing token is checked in the transaction that removes."""
    old = [unchanged(ledger, lease) for _ in range(2)]
    clock.now += DAY
    found = ledger.retention.old(TARGET, Limits(clock.now))
    ledger.release_lease(lease)
    ledger.acquire_lease(TARGET, 10)
    with pytest.raises(LeaseLost):
        ledger.retention.remove(lease, TARGET, found)
    assert ledger.run(old[0])


def test_what_was_removed_is_in_the_audit_trail(ledger: Ledger, lease: Lease, clock: Clock):
    """With the numbers of the runs, in the same transaction."""
    for _ in range(4):
        unchanged(ledger, lease)
    clock.now += DAY
    prune(ledger, lease, clock)
    (entry,) = newest(ledger._engine, 1)
    assert (entry.event.action, entry.event.on["runs"]) == ("history.prune", "1-3")


def test_numbers_in_short():
    """Ascending numbers as ranges."""
    assert ranges([1, 2, 3, 5, 8, 9]) == "1-3, 5, 8-9"
    assert ranges([]) == ""


# --------------------------------------------------------------------------------------------- the proof


class Twins(RuleBasedStateMachine):
    """Two ledgers with the same runs, of which one is pruned again and again: what they know stays the same.

    Loads add partitions, load changed ones anew, replace everything, fail, find nothing; runs are taken back as far as
    `runs/rollback.py` lets them. After each step both are asked all that the life of a run asks of former runs.
    """

    @initialize()
    def begin(self) -> None:
        self._opened = ExitStack()
        self.clock = Clock()
        self.pair = []
        for _ in range(2):
            home = Path(self._opened.enter_context(tempfile.TemporaryDirectory()))
            self.pair.append(self._opened.enter_context(Ledger.open(None, home, self.clock, auditing=AUDITING)))
        self.leases = [each.acquire_lease(TARGET, 10_000 * 86_400) for each in self.pair]
        self.hashes = itertools.count(1)
        self.undo: int | None = None  # the run whose undo the destination keeps

    def teardown(self) -> None:
        self._opened.close()

    @rule(keys=st.sets(st.sampled_from("abc"), min_size=1), whole=st.booleans(), rows=st.integers(0, 2))
    def load(self, keys: set[str], whole: bool, rows: int) -> None:
        """Known keys are loaded anew, in the place of what they brought before."""
        hash_sum = next(self.hashes)
        runs = [self._load(*each, sorted(keys), whole, rows, hash_sum) for each in self._both()]
        assert runs[0] == runs[1]
        self.undo = runs[0]

    def _both(self) -> list[tuple[Ledger, Lease]]:
        return list(zip(self.pair, self.leases, strict=True))

    @staticmethod
    def _load(ledger: Ledger, lease: Lease, keys: list[str], whole: bool, rows: int, hash_sum: int) -> int:
        loaded, books = ledger.loaded("p", TARGET), ledger.balance(TARGET)
        former = [loaded[key] for key in keys if key in loaded]
        # In this model a run's rows are one piece: whoever replaces one of its partitions takes all of them.
        taken = {run: held for run, held in books.items() if whole or run in {each.run for each in former}}
        run = start(
            ledger,
            lease,
            partitions=[(Partition(key, f"i{hash_sum}"), key in loaded) for key in keys],
            replaces_all=whole,
            drop_rows=[] if whole else [(each.run, each.ordinal) for each in former],
        ).run
        for ordinal in range(len(keys)):
            batch = BatchRecord(run, ordinal, 0, 3, rows, 3 - rows, 0, None, None, {}, NOW)
            ledger.note_batch(lease, batch, partition_complete=True)
        marks = {ordinal: Fingerprint(rows, hash_sum * rows) for ordinal in range(len(keys))}
        own = sum(marks.values(), Fingerprint())
        ledger.prepare_run(
            lease,
            run,
            accounts={ordinal: Account(read=3, committed=rows, quarantined=3 - rows) for ordinal in marks},
            fingerprints=marks,
            postings=[
                *(Posting(each, -held) for each, held in taken.items()),
                *([Posting(run, own)] if own != Fingerprint() else []),
            ],
            columns=[("a", "Int64")],
        )
        ledger.record_published(lease, run, seconds=1.0)
        return run

    @rule(fails=st.booleans())
    def load_nothing(self, fails: bool) -> None:
        for ledger, lease in self._both():
            if fails:
                ledger.fail_run(lease, start(ledger, lease).run, {"code": "X"})
            else:
                unchanged(ledger, lease)

    @rule(which=st.integers(0, 30))
    def take_one_back(self, which: int) -> None:
        """Of those that can be, by the rules of `runs/rollback.py`: the last with its undo, others that only added."""
        able = self._revocable(self.pair[0])
        assert able == self._revocable(self.pair[1]), "a pruned ledger lets others be taken back"
        if not able:
            return
        number = able[which % len(able)]
        for ledger, lease in self._both():
            if number == self.undo:
                take_back(ledger, lease, number)
                continue
            entry = start(ledger, lease, partitions=(), kind=RunKind.ROLLBACK, reverses=number).run
            left = ledger.balance(TARGET).get(number)
            reverse = [Posting(number, -left)] if left else []
            ledger.prepare_run(lease, entry, accounts={}, fingerprints={}, postings=reverse, columns=[("a", "Int64")])
            ledger.record_published(lease, entry, seconds=0.1)
        self.undo = None

    def _revocable(self, ledger: Ledger) -> list[int]:
        found = []
        for run in ledger.runs(limit=1000, target=TARGET):
            if run.status is RunStatus.PUBLISHED and run.kind is RunKind.LOAD:
                only_added = all(each.about_run == run.run for each in ledger.postings(run.run))
                found += [run.run] if only_added or run.run == self.undo else []
        return found

    @rule(days=st.integers(0, 3))
    def go_on(self, days: int) -> None:
        self.clock.now += days * DAY

    @rule(days=st.integers(0, 3))
    def prune_one(self, days: int) -> None:
        before = self.clock.now - days * DAY
        ledger, lease = self.pair[1], self.leases[1]
        old = ledger.retention.old(TARGET, Limits(before, before))
        ledger.retention.remove(lease, TARGET, old)
        again = ledger.retention.old(TARGET, Limits(before, before))
        assert not again, f"pruning twice removes more: {again}"

    @invariant()
    def both_know_the_same(self) -> None:
        whole, pruned = self.pair
        assert _knowledge(whole) == _knowledge(pruned)
        for run in pruned.runs(limit=1000):
            assert _account_of(whole.run(run.run)) == _account_of(run)
        assert pruned.check() == []


def _knowledge(ledger: Ledger) -> dict[str, Any]:
    last = ledger.last_published(TARGET)
    return {
        "loaded": dict(ledger.loaded("p", TARGET)),
        "spoken for": dict(ledger.spoken_for("p", TARGET)),
        "books": ledger.balance(TARGET),
        "last": None if last is None else last.run,
        "published": [run.run for run in ledger.former_loads("p", TARGET, limit=1000)],
        "columns": ledger.schema_versions(TARGET),
        "postings": {run.run: ledger.postings(run.run) for run in ledger.former_loads("p", TARGET, limit=1000)},
        "after each publish": [(each.run, each.after) for each in ledger.history.published(TARGET)],
    }


def _account_of(run: RunRecord) -> tuple[object, ...]:
    """What a run's row says for good."""
    return (run.status, run.kind, run.account, run.fingerprint, run.finished_at, run.drop_rows, run.replaces_all)


def test_a_pruned_ledger_knows_all_that_it_has_to(monkeypatch: pytest.MonkeyPatch):
    """Whatever runs were before and whenever it is pruned: the same books, loaded, and the same can be taken back."""
    monkeypatch.setattr("rowkeeper.ledger.retention.KEPT_LOADS", 1)
    run_state_machine_as_test(
        Twins,
        settings=settings(
            max_examples=extent.examples(10, 400),
            stateful_step_count=extent.examples(15, 30),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

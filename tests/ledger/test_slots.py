"""Slots in the ledger: taken down, answered once, whoever dies meanwhile; simulated with a clock of the test's own."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rowkeeper.calendars import Calendar
from rowkeeper.errors import LeaseError, LeaseHeld, SlotAnswered, UnknownSchedule
from rowkeeper.ledger import Lease, Ledger, RunKind, ScheduleRecord, SlotRecord, SlotState, Started
from rowkeeper.ledger.slots import Cause
from rowkeeper.operations.metrics.schedules import first_due
from rowkeeper.schedule import Timing, answering
from rowkeeper.schedule.due import OVERLAPPED
from tests.auditing import AUDITING
from tests.extent import examples

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAME, TARGET = "p", "a/default.p"
SOMEBODY = Started("elsewhere:0:0", 1, 0.0)
LEASE_SECONDS = 30.0


@dataclasses.dataclass
class Installation:
    """A ledger with a clock of the test's own."""

    ledger: Ledger
    now: datetime = NOON

    def declare(self, timing: Timing, name: str = NAME) -> None:
        self.ledger.schedules.declare(name, "/p.py", timing)

    def record(self, name: str = NAME) -> ScheduleRecord:
        return self.ledger.schedules.find(name)

    def slots(self, name: str = NAME) -> list[SlotRecord]:
        return self.ledger.schedules.slots(name, limit=10_000)[::-1]

    def lease(self, name: str = NAME) -> Lease:
        return self.ledger.acquire_lease(f"schedule:{name}", LEASE_SECONDS)

    def run_of(self, slot: SlotRecord) -> int:
        """A run that finds nothing new answers a slot as one that publishes does: in the transaction that notes it."""
        with answering(slot.slot, slot.pipeline, slot.number):
            return found_nothing(self.ledger, slot.pipeline)


def found_nothing(ledger: Ledger, pipeline: str = NAME) -> int:
    lease = ledger.acquire_lease(f"a/default.{pipeline}", LEASE_SECONDS)
    try:
        record = ledger.record_unchanged(
            lease, pipeline=pipeline, target=TARGET, definition="d", source={}, destination={}, note="nothing"
        )
    finally:
        ledger.release_lease(lease)
    return record.run


def published(ledger: Ledger, pipeline: str) -> int:
    """A run of nothing, published: what others come after."""
    lease = ledger.acquire_lease(f"a/default.{pipeline}", LEASE_SECONDS)
    about: dict[str, Any] = {"source": {}, "destination": {}, "partitions": [], "replaces_all": False, "drop_rows": []}
    run = ledger.start_run(
        lease, pipeline=pipeline, target=f"a/default.{pipeline}", kind=RunKind.LOAD, definition="d", **about
    )
    ledger.prepare_run(lease, run.run, accounts={}, fingerprints={}, postings=[], columns=[])
    ledger.record_published(lease, run.run, seconds=0.0)
    ledger.release_lease(lease)
    return run.run


@contextmanager
def installed(folder: Path) -> Iterator[Installation]:
    box: list[Installation] = []
    with Ledger.open(None, folder, lambda: box[0].now if box else NOON, auditing=AUDITING) as ledger:
        box.append(Installation(ledger))
        yield box[0]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path) as found:
        yield found


def test_a_slot_is_answered_in_the_transaction_that_notes_its_run(here: Installation):
    """The worker that dies before it hears of the end finds it answered, and by which run."""
    here.declare(Timing("every 1h"))
    lease = here.lease()
    here.now += HOUR
    slot = here.ledger.schedules.come_due(lease, NAME)
    assert slot is not None
    here.ledger.schedules.begin(lease, NAME, SOMEBODY, slot.number)
    run = here.run_of(slot)
    (found,) = here.slots()
    assert (found.state, found.run, found.tries, found.outcome) == (SlotState.DONE, run, 1, "unchanged")


def test_a_run_for_a_slot_that_was_answered_is_refused(here: Installation):
    """Whatever its worker knew when it began: nothing is written of it."""
    here.declare(Timing("every 1h"))
    lease = here.lease()
    here.now += HOUR
    slot = here.ledger.schedules.come_due(lease, NAME)
    assert slot is not None
    first = here.run_of(slot)
    with pytest.raises(SlotAnswered, match=f"by run {first}"):
        here.run_of(slot)
    assert [each.run for each in here.ledger.runs(limit=10)] == [first]


def test_a_run_of_another_pipeline_answers_nothing(here: Installation):
    """What a process does besides the run of its slot (a spool that it drains) is not for the slot."""
    here.declare(Timing("every 1h"))
    lease = here.lease()
    here.now += HOUR
    slot = here.ledger.schedules.come_due(lease, NAME)
    assert slot is not None
    with answering(slot.slot, NAME, slot.number):
        found_nothing(here.ledger, "other")
    assert here.slots()[0].state is SlotState.DUE


def test_a_run_that_goes_on_for_a_slot_answers_it(here: Installation):
    """One that was begun by hand, or for a slot before it."""
    here.declare(Timing("every 1h"))
    lease = here.lease()
    target = here.ledger.acquire_lease(TARGET, LEASE_SECONDS)
    about: dict[str, Any] = {"source": {}, "destination": {}, "partitions": [], "replaces_all": False, "drop_rows": []}
    run = here.ledger.start_run(target, pipeline=NAME, target=TARGET, kind=RunKind.LOAD, definition="d", **about).run
    here.now += HOUR
    slot = here.ledger.schedules.come_due(lease, NAME)
    assert slot is not None
    target = here.ledger.acquire_lease("again", LEASE_SECONDS)
    with answering(slot.slot, NAME, slot.number):
        here.ledger.resume_run(target, run)
    here.ledger.prepare_run(target, run, accounts={}, fingerprints={}, postings=[], columns=[])
    here.ledger.record_published(target, run, seconds=0.0)
    assert (here.slots()[0].state, here.slots()[0].run) == (SlotState.DONE, run)


def test_a_failed_slot_is_left_and_a_publish_of_its_run_answers_it_after_all(here: Installation):
    """What a person mends waits for nobody: the schedule goes on with the next."""
    here.declare(Timing("every 1h", catch_up="all"))
    lease = here.lease()
    here.now += 2 * HOUR
    slot = here.ledger.schedules.come_due(lease, NAME)
    assert slot is not None
    here.ledger.schedules.end(lease, NAME, "held", slot=slot.number, state=SlotState.FAILED, told="a gate", failures=1)
    assert [each.state for each in here.slots()] == [SlotState.FAILED, SlotState.DUE]
    here.run_of(slot)
    assert [each.state for each in here.slots()] == [SlotState.DONE, SlotState.DUE]


def test_a_changed_schedule_begins_now_and_gives_up_what_was_due(here: Installation):
    """Its instants are others; a changed policy leaves them as they are."""
    here.declare(Timing("every 1h", catch_up="all"))
    lease = here.lease()
    here.now += 3 * HOUR
    here.ledger.schedules.come_due(lease, NAME)
    here.declare(Timing("every 1h", catch_up="once"))
    assert [each.state for each in here.slots()] == [SlotState.DUE] * 3
    here.declare(Timing("every 2h", catch_up="once"))
    assert {each.state for each in here.slots()} == {SlotState.SKIPPED}
    assert here.record().kept_until == here.now


def test_what_came_due_meanwhile_is_passed_over_at_the_end_of_a_run(here: Installation):
    """With overlap="skip"; it stands in the ledger, with the reason."""
    here.declare(Timing("every 1h", overlap="skip"))
    lease = here.lease()
    here.now += HOUR
    slot = here.ledger.schedules.come_due(lease, NAME)
    assert slot is not None
    here.ledger.schedules.begin(lease, NAME, SOMEBODY, slot.number)
    here.now += 2.5 * HOUR
    here.ledger.schedules.end(lease, NAME, "published", slot=slot.number, state=SlotState.DONE)
    assert [(each.state, each.told) for each in here.slots()] == [
        (SlotState.DONE, ""),
        (SlotState.SKIPPED, OVERLAPPED),
    ]
    assert here.ledger.schedules.come_due(lease, NAME) is None


def test_a_worker_that_lost_its_lease_takes_nothing_down(here: Installation):
    """Another has taken over."""
    here.declare(Timing("every 1h"))
    stale = here.lease()
    here.now += HOUR
    here.lease()
    with pytest.raises(LeaseError):
        here.ledger.schedules.come_due(stale, NAME)
    assert here.slots() == []


# -------------------------------------------------------------------------------------------------- calendars

FRIDAY = datetime(2026, 12, 25, 12, tzinfo=UTC)  # Christmas
DAILY = Timing("0 6 * * *", "all", calendar=Calendar("DE", weekdays="mon-fri"))


@pytest.mark.parametrize(("catch_up", "slots"), [("all", [24, 28, 29]), ("once", [29]), ("none", [29])])
def test_nothing_is_missed_on_days_off(here: Installation, catch_up: Any, slots: list[int]):
    """Of a week with Christmas and a weekend, working days are caught up with; days off are in the next one's slot."""
    here.now = FRIDAY - 2 * 24 * HOUR
    here.declare(dataclasses.replace(DAILY, catch_up=catch_up))
    here.now = datetime(2026, 12, 29, 6, 0, 30, tzinfo=UTC)
    lease = here.lease()
    assert here.ledger.schedules.come_due(lease, NAME) is not None
    found = [each for each in here.slots() if each.state is SlotState.DUE]
    assert [each.until.day for each in found] == slots
    assert all(earlier.until == later.since for earlier, later in pairwise(here.slots()))


def test_on_a_day_off_nothing_is_due_and_no_success_is_missed(here: Installation):
    """However late it is; on the next working day it is."""
    here.now = FRIDAY - 24 * HOUR
    here.declare(DAILY)
    here.now = FRIDAY + 48 * HOUR
    lease = here.lease()
    assert here.ledger.schedules.come_due(lease, NAME) is None
    due = first_due(here.record(), here.ledger.schedules.unanswered({}).get(NAME, ()), None)
    assert due == datetime(2026, 12, 28, 6, tzinfo=UTC)


def test_a_changed_calendar_is_a_changed_schedule(here: Installation):
    """It begins now: what was due by the former one is passed over, and no instant of before comes back."""
    here.now = FRIDAY - 48 * HOUR
    here.declare(DAILY)
    here.now = FRIDAY
    here.ledger.schedules.come_due(here.lease(), NAME)
    here.declare(dataclasses.replace(DAILY, calendar=None))
    assert (here.record().kept_until, {each.state for each in here.slots()}) == (FRIDAY, {SlotState.SKIPPED})
    assert here.record().timing.calendar is None


# --------------------------------------------------------------------------------------------- after publishes


def answered(here: Installation, name: str = NAME) -> int:
    """Answers what is due, as a worker would; how many slots that was."""
    lease, count = here.lease(name), 0
    while (slot := here.ledger.schedules.come_due(lease, name)) is not None:
        here.run_of(slot)
        count += 1
    here.ledger.release_lease(lease)
    return count


def test_a_publish_makes_one_slot_and_what_found_nothing_new_none(here: Installation):
    """Once for each publish, however often anybody looks; not for those from before it was declared."""
    published(here.ledger, "up")
    here.declare(Timing(after=("up",), catch_up="all"))
    assert answered(here) == 0
    for _ in range(2):
        published(here.ledger, "up")
    found_nothing(here.ledger, "up")
    published(here.ledger, "another")
    assert here.record().fresh == {"up"}
    assert answered(here) == 2
    assert answered(here) == 0
    assert here.record().fresh == frozenset()


def test_publishes_that_came_together_are_answered_together(here: Installation):
    """By default: what is read after them has all of them."""
    here.declare(Timing(after=("up", "other")))
    for name in ("up", "other", "up"):
        published(here.ledger, name)
    assert answered(here) == 1


def test_all_must_have_published_since_where_so_declared(here: Installation):
    """With join="all": one slot, once the last of them has."""
    here.declare(Timing(after=("up", "other"), join="all"))
    published(here.ledger, "up")
    published(here.ledger, "up")
    assert (answered(here), here.record().fresh) == (0, {"up"})
    published(here.ledger, "other")
    assert answered(here) == 1
    published(here.ledger, "other")
    assert answered(here) == 0


def test_publishes_and_instants_both_make_slots(here: Installation):
    """Of a pipeline that has a schedule and comes after others."""
    here.declare(Timing("every 1h", after=("up",)))
    published(here.ledger, "up")
    here.now += HOUR
    assert answered(here) == 2
    assert sorted(each.cause for each in here.slots()) == [Cause.PUBLISH, Cause.TIME]


# ------------------------------------------------------------------------------------------ pause and resume


def test_a_pause_is_on_the_record(here: Installation):
    """Who, when, why; an entry in the trail for it and for its end; no schedule of another name is paused."""
    here.declare(Timing("every 1h"))
    here.ledger.schedules.pause(NAME, "the source is being mended")
    paused = here.record().paused
    assert paused is not None
    assert (paused.at, paused.why) == (NOON, "the source is being mended")
    here.ledger.schedules.resume(NAME)
    assert here.record().paused is None
    with pytest.raises(UnknownSchedule, match="no worker"):
        here.ledger.schedules.pause("q", "")


# ------------------------------------------------------------------------------------------ the simulation


@dataclasses.dataclass
class Acting:
    """A worker: what it believes, which may have passed."""

    lease: Lease | None = None
    slot: SlotRecord | None = None  # a run for it is under way: its process, which outlives the worker
    stopped: bool = False  # SIGSTOP: it does nothing, and knows nothing of what the others do


class Workers(RuleBasedStateMachine):
    """Several workers on one ledger, which are stopped, killed and replaced at any moment."""

    timing = Timing("every 1h", catch_up="all")

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.here = self.stack.enter_context(installed(Path(folder)))
        self.workers = [Acting() for _ in range(3)]
        self.answers: Counter[int] = Counter()
        self.publishes = 0

    @initialize(
        catch_up=st.sampled_from(["once", "all", "none"]),
        overlap=st.sampled_from(["queue", "skip"]),
        within=st.sampled_from([None, 7_200.0]),
        jitter=st.sampled_from([0.0, 600.0]),
        after=st.booleans(),
    )
    def begin(self, catch_up: Any, overlap: Any, within: Any, jitter: float, after: bool) -> None:
        self.timing = Timing("every 1h", catch_up, within, jitter, overlap, ("up",) if after else ())
        self.here.declare(self.timing)

    @rule(minutes=st.integers(1, 200))
    def time_passes(self, minutes: int) -> None:
        self.here.now += timedelta(minutes=minutes)

    @rule()
    def upstream_publishes(self) -> None:
        published(self.here.ledger, "up")
        self.publishes += 1

    @rule(who=st.integers(0, 2))
    def works(self, who: int) -> None:
        """One round of a worker: takes or renews the lease, and begins what is due."""
        worker = self.workers[who]
        if worker.stopped:
            return
        try:
            worker.lease = (
                self.here.lease() if worker.lease is None else self.here.ledger.renew_lease(worker.lease, LEASE_SECONDS)
            )
            if worker.slot is None:
                slot = self.here.ledger.schedules.come_due(worker.lease, NAME)
                if slot is not None and slot.not_before <= self.here.now:
                    worker.slot = slot
                    self.here.ledger.schedules.begin(worker.lease, NAME, SOMEBODY, slot.number)
        except LeaseHeld:
            pass
        except LeaseError:
            worker.lease = None

    @rule(who=st.integers(0, 2), notes=st.booleans())
    def run_ends(self, who: int, notes: bool) -> None:
        """Its process publishes, or is refused; the worker notes that, or died or was silent for too long."""
        worker = self.workers[who]
        slot, worker.slot = worker.slot, None
        if slot is None:
            return
        try:
            self.here.run_of(slot)
            self.answers[slot.number] += 1
        except SlotAnswered:
            pass
        if notes and worker.lease is not None and not worker.stopped:
            self._note(worker, slot, SlotState.DONE)

    @rule(who=st.integers(0, 2), failed=st.booleans())
    def run_fails(self, who: int, failed: bool) -> None:
        """By what may pass, and is tried again; or by what a person has to mend."""
        worker = self.workers[who]
        slot, worker.slot = worker.slot, None
        if slot is not None and worker.lease is not None and not worker.stopped:
            self._note(worker, slot, SlotState.FAILED if failed else SlotState.DUE)

    def _note(self, worker: Acting, slot: SlotRecord, state: SlotState) -> None:
        assert worker.lease is not None
        try:
            self.here.ledger.schedules.end(worker.lease, NAME, "ended", slot=slot.number, state=state)
        except LeaseError:
            worker.lease = None

    @rule(who=st.integers(0, 2))
    def is_killed(self, who: int) -> None:
        """Its child goes on; another worker may find its lease in force until it runs out."""
        self.workers[who].lease = None

    @rule(who=st.integers(0, 2))
    def is_stopped_or_goes_on(self, who: int) -> None:
        self.workers[who].stopped = not self.workers[who].stopped

    @invariant()
    def no_slot_is_answered_twice(self) -> None:
        assert all(count == 1 for count in self.answers.values())

    @invariant()
    def no_instant_is_lost_or_in_two_slots(self) -> None:
        found = [each for each in self.here.slots() if each.cause is Cause.TIME]
        assert all(earlier.until == later.since for earlier, later in pairwise(found))
        if found:
            assert found[-1].until == self.here.record().kept_until
            assert found[0].since == NOON

    @invariant()
    def policies_are_kept(self) -> None:
        time_slots = [each for each in self.here.slots() if each.cause is Cause.TIME]
        if self.timing.catch_up == "all":
            wanted = [each for each in time_slots if each.state is not SlotState.SKIPPED]
            assert all(each.until - each.since == HOUR for each in wanted)
        if self.timing.overlap == "queue" and self.timing.within_seconds is None and self.timing.catch_up != "none":
            assert all(each.state is not SlotState.SKIPPED for each in time_slots)
        assert all(each.state is not SlotState.SKIPPED for each in self.here.slots() if each.cause is Cause.PUBLISH)

    @precondition(lambda self: any(worker.slot is None for worker in self.workers))
    @rule()
    def all_comes_to_rest(self) -> None:
        """Everything that was stopped is gone; one worker has time: then nothing is due, and all is told of."""
        for worker in self.workers:
            if worker.slot is not None:
                self.run_ends(self.workers.index(worker), notes=False)
            worker.lease, worker.stopped = None, False
        self.here.now += timedelta(seconds=2 * LEASE_SECONDS)
        lease = self.here.lease()
        for _ in range(10_000):
            slot = self.here.ledger.schedules.come_due(lease, NAME)
            if slot is None:
                break
            self.here.now = max(self.here.now, slot.not_before)
            self.here.run_of(slot)
            self.answers[slot.number] += 1
        self.here.ledger.release_lease(lease)
        slots = self.here.slots()
        assert all(each.state is not SlotState.DUE for each in slots)
        assert {each.number for each in slots if each.state is SlotState.DONE} == set(self.answers)
        publishes = [each for each in slots if each.cause is Cause.PUBLISH and each.state is not SlotState.SKIPPED]
        if self.timing.after and self.timing.catch_up == "all":
            assert len(publishes) == self.publishes
        assert bool(publishes) == bool(self.timing.after and self.publishes)

    def teardown(self) -> None:
        self.stack.close()


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(
    max_examples=examples(5, 60),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

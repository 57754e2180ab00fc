"""Slots and alerts that are pruned: what is decided afterwards is what would have been decided without it."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import func, select

from rowkeeper.errors import SlotAnswered
from rowkeeper.ledger import Lease, RunKind, SlotRecord, SlotState
from rowkeeper.ledger.alerts import LEASE, Alert, Notice, Severity, Standing, Step
from rowkeeper.ledger.answered import Steps, in_steps
from rowkeeper.ledger.audit.listing import newest
from rowkeeper.ledger.backfills import backfill_lease
from rowkeeper.ledger.schema import alert_deliveries, alert_notices, alert_silences, alerts, answered_instants, slots
from rowkeeper.ledger.slots import Cause
from rowkeeper.operations.alerts.conditions.success import NoSuccess
from rowkeeper.operations.alerts.declaring import Declared, Watchdog
from rowkeeper.operations.alerts.looking import decided
from rowkeeper.operations.alerts.machine import Looked
from rowkeeper.operations.alerts.receivers.webhook import Webhook
from rowkeeper.operations.alerts.route import Escalation, Route
from rowkeeper.operations.alerts.rule import Finding, Rule
from rowkeeper.operations.metrics.schedules import first_due
from rowkeeper.schedule import Due, Schedule, Timing, answering
from tests.extent import examples
from tests.ledger.test_slots import (
    HOUR,
    LEASE_SECONDS,
    NAME,
    NOON,
    SOMEBODY,
    TARGET,
    Installation,
    found_nothing,
    installed,
    published,
)

DAY = timedelta(days=1)
FOR_EVER = 10_000 * 86_400.0


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path) as found:
        yield found


def count(here: Installation, table: Any) -> int:
    with here.ledger._engine.connect() as connection:
        connection.info["writes"] = ""
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def prune(here: Installation, before: datetime | None = None) -> int:
    """Slots of the pipeline that ended before then, or by now; how many went."""
    before = before or here.now + timedelta(microseconds=1)
    gone = here.ledger.pruning.slots(before).get(NAME, 0)
    slots_before = count(here, slots)
    here.ledger.pruning.remove_slots(NAME, before)
    assert slots_before - count(here, slots) == gone, "what is told is what is done"
    assert here.ledger.pruning.slots(before) == {}
    return gone


def answer_all(here: Installation, state: SlotState = SlotState.DONE) -> list[SlotRecord]:
    """What is due, by a worker that comes to this end with each of them."""
    lease, ended = here.lease(), []
    while (slot := here.ledger.schedules.come_due(lease, NAME)) is not None:
        here.ledger.schedules.begin(lease, NAME, SOMEBODY, slot.number)
        if state is SlotState.DONE:
            here.run_of(slot)
        here.ledger.schedules.end(lease, NAME, "ended", slot=slot.number, state=state)
        ended.append(slot)
    here.ledger.release_lease(lease)
    return ended


def ask(here: Installation, since: datetime, until: datetime) -> list[SlotRecord]:
    """A backfill of a range of hours asks what is to be filled."""
    with_begin = [since, *Schedule.parse("every 1h").between(since, until)]
    dues = [Due(begin, end, here.now) for begin, end in itertools.pairwise(with_begin)]
    lease = here.ledger.acquire_lease(backfill_lease(NAME), LEASE_SECONDS)
    found = here.ledger.backfills.ask(lease, NAME, dues)
    here.ledger.release_lease(lease)
    return [each for each in found if each.state is SlotState.DUE]


# ------------------------------------------------------------------------------------------------------- slots


def test_slots_that_ended_long_ago_go_and_the_last_one_stays(here: Installation):
    """The one that `schedule list` shows, and all that did not end before then."""
    here.declare(Timing("every 1h", catch_up="all"))
    here.now += 5 * HOUR
    answer_all(here)
    between = here.now
    here.now += 3 * HOUR
    answer_all(here)
    assert prune(here, between + timedelta(seconds=1)) == 5
    assert prune(here) == 2
    assert [each.number for each in here.slots()] == [here.record().slot]


def test_what_was_answered_is_not_filled_again_after_its_slot_is_gone(here: Installation):
    """However it was pruned, in one piece or in several; what failed is filled."""
    here.declare(Timing("every 1h", catch_up="all"))
    for hours, state in ((3, SlotState.DONE), (2, SlotState.FAILED), (4, SlotState.DONE)):
        here.now += hours * HOUR
        answer_all(here, state)
        prune(here)
    assert [each.until for each in ask(here, NOON, here.now)] == [NOON + 4 * HOUR, NOON + 5 * HOUR]
    assert count(here, answered_instants) == 2


def test_what_failed_since_the_last_success_stays(here: Installation):
    """By it the absence of success is judged; after the next success it goes."""
    here.declare(Timing("every 1h", catch_up="all"))
    here.now += 3 * HOUR
    answer_all(here, SlotState.FAILED)
    assert prune(here) == 0
    (first,) = here.ledger.schedules.unanswered({})[NAME]
    assert first.until == NOON + HOUR
    here.now += HOUR
    answer_all(here)
    assert prune(here) == 3


def test_a_slot_that_a_held_run_is_for_stays(here: Installation):
    """Whoever goes on with that run answers it after all."""
    here.declare(Timing("every 1h", catch_up="all"))
    here.now += HOUR
    lease = here.lease()
    slot = here.ledger.schedules.come_due(lease, NAME)
    assert slot is not None
    target = here.ledger.acquire_lease(TARGET, FOR_EVER)
    about: dict[str, Any] = {"source": {}, "destination": {}, "partitions": [], "replaces_all": False, "drop_rows": []}
    with answering(slot.slot, NAME, slot.number):
        run = here.ledger.start_run(target, pipeline=NAME, target=TARGET, kind=RunKind.LOAD, definition="d", **about)
    here.ledger.note_quality(target, run.run, [], None, {"code": "RK-2202"})
    here.ledger.release_lease(target)
    here.ledger.schedules.end(lease, NAME, "held", slot=slot.number, state=SlotState.FAILED)
    here.ledger.release_lease(lease)
    here.now += HOUR
    answer_all(here)
    assert prune(here) == 0
    assert here.slots()[0].number == slot.number


def test_a_run_that_is_begun_for_a_slot_that_is_gone_is_refused(here: Installation):
    """A process that was silent for longer than slots are kept answers nothing a second time."""
    here.declare(Timing("every 1h", catch_up="all"))
    here.now += 2 * HOUR
    first, _ = answer_all(here)
    prune(here)
    with pytest.raises(SlotAnswered, match="no longer kept"):
        here.run_of(first)


def test_slots_that_go_are_on_the_record(here: Installation):
    """In the transaction that removes them: of which pipeline, and how many."""
    here.declare(Timing("every 1h", catch_up="all"))
    here.now += 4 * HOUR
    answer_all(here)
    prune(here)
    (entry,) = newest(here.ledger._engine, 1)
    assert (entry.event.action, entry.event.on) == ("history.prune", {"pipeline": NAME})
    assert entry.event.detail == {"removed": "slots", "slots": 3, "done": 3}


@settings(max_examples=examples(40, 2_000), deadline=None)
@given(st.sets(st.integers(0, 60), max_size=40))
def test_steps_are_what_was_put_in_and_nothing_else(hours: set[int]):
    """Whichever instants were answered."""
    moments = [NOON + each * HOUR for each in sorted(hours)]
    steps = list(in_steps(moments))
    assert [each for each in range(62) if any(one.has(NOON + each * HOUR) for one in steps)] == sorted(hours)
    assert not any(one.has(moment + timedelta(minutes=30)) for one in steps for moment in moments)


@pytest.mark.parametrize(("text", "rows"), [("0 6 * * *", 1), ("0 * * * *", 1), ("0 6 * * 1-5", 53)])
def test_a_year_of_instants_is_short(text: str, rows: int):
    """One row for what comes evenly, one a week for working days."""
    year = Schedule.parse(text).between(datetime(2025, 12, 31, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC))
    found = list(in_steps(year))
    assert len(found) == rows
    assert isinstance(found[0], Steps)


class Twins(RuleBasedStateMachine):
    """Two ledgers that live through the same, of which one is pruned again and again: they decide alike."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folders = [self.stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(2)]
        self.pair = [self.stack.enter_context(installed(Path(each))) for each in folders]
        self.answered: list[list[SlotRecord]] = [[], []]  # by ledger, slots of which a process may come again

    @property
    def pruned(self) -> Installation:
        return self.pair[1]

    @initialize(
        catch_up=st.sampled_from(["once", "all", "none"]),
        overlap=st.sampled_from(["queue", "skip"]),
        after=st.booleans(),
    )
    def begin(self, catch_up: Any, overlap: Any, after: bool) -> None:
        for each in self.pair:
            each.declare(Timing("every 1h", catch_up, None, 0.0, overlap, ("up",) if after else ()))

    @rule(minutes=st.integers(1, 400))
    def time_passes(self, minutes: int) -> None:
        for each in self.pair:
            each.now += timedelta(minutes=minutes)

    @rule()
    def upstream_publishes(self) -> None:
        for each in self.pair:
            published(each.ledger, "up")

    @rule(how=st.sampled_from(["done", "failed", "failed", "again"]), takes=st.integers(0, 150))
    def works(self, how: str, takes: int) -> None:
        """One slot, if one is due; its run takes so many minutes."""
        begun = []
        for number, each in enumerate(self.pair):
            lease = each.ledger.acquire_lease(f"schedule:{NAME}", FOR_EVER)
            slot = each.ledger.schedules.come_due(lease, NAME)
            begun.append(None if slot is None else (slot.since, slot.until, slot.cause, slot.tries))
            if slot is not None:
                each.ledger.schedules.begin(lease, NAME, SOMEBODY, slot.number)
                each.now += timedelta(minutes=takes)
                if how == "done":
                    each.run_of(slot)
                    self.answered[number].append(slot)
                state = {"done": SlotState.DONE, "failed": SlotState.FAILED, "again": SlotState.DUE}[how]
                each.ledger.schedules.end(lease, NAME, how, slot=slot.number, state=state)
            each.ledger.release_lease(lease)
        assert begun[0] == begun[1]

    @rule(hours=st.integers(1, 30), length=st.integers(1, 10), fills=st.integers(0, 3), fails=st.booleans())
    def backfills(self, hours: int, length: int, fills: int, fails: bool) -> None:
        """A range of the past is asked for; some of it is filled, and perhaps the next one fails."""
        since = max(NOON - 5 * HOUR, self.pruned.record().kept_until.replace(minute=0) - hours * HOUR)
        until = min(since + length * HOUR, self.pruned.record().kept_until)
        if not list(Schedule.parse("every 1h").between(since, until)):
            return
        asked = [ask(each, since, until) for each in self.pair]
        known = [[(slot.since, slot.until, slot.cause) for slot in each] for each in asked]
        assert known[0] == known[1]
        for each, found in zip(self.pair, asked, strict=True):
            ours = [slot for slot in found if slot.cause is Cause.BACKFILL]
            for slot in ours[:fills]:
                each.run_of(slot)
            if fails and ours[fills:]:
                lease = each.ledger.acquire_lease(backfill_lease(NAME), FOR_EVER)
                each.ledger.backfills.end(lease, ours[fills].number, SlotState.FAILED, "failed", "told")
                each.ledger.release_lease(lease)

    @precondition(lambda self: self.answered[0])
    @rule(which=st.integers(0, 100))
    def somebody_comes_again(self, which: int) -> None:
        """A process that was stopped begins a run for a slot that another has answered."""
        for each, found in zip(self.pair, self.answered, strict=True):
            with pytest.raises(SlotAnswered):
                each.run_of(found[which % len(found)])

    @rule()
    def somebody_runs_it_by_hand(self) -> None:
        for each in self.pair:
            found_nothing(each.ledger)

    @rule(every=st.sampled_from(["every 1h", "every 2h"]))
    def is_declared_anew(self, every: str) -> None:
        for each in self.pair:
            each.declare(Timing(every, "all"))

    @rule(hours=st.integers(0, 10))
    def prune(self, hours: int) -> None:
        prune(self.pruned, self.pruned.now - hours * HOUR)

    @invariant()
    def both_decide_alike(self) -> None:
        whole, pruned = (self._decisions(each) for each in self.pair)
        assert whole == pruned

    @staticmethod
    def _decisions(here: Installation) -> dict[str, Any]:
        record = here.record()
        last = here.ledger.alerts.last_successes().get(NAME)
        since = None if last is None else last.finished_at
        unanswered = here.ledger.schedules.unanswered({} if since is None else {NAME: since})
        return {
            "kept until": record.kept_until,
            "due": record.due and (record.due.since, record.due.until, record.due.cause),
            "fresh": record.fresh,
            "success is due": first_due(record, unanswered.get(NAME, ()), since),
            "shown": record.slot and (here.ledger.schedules.slot(record.slot) is not None),
            "to be filled": here.ledger.backfills.waiting(NAME),
        }

    def teardown(self) -> None:
        self.stack.close()


TestSlotTwins = Twins.TestCase
TestSlotTwins.settings = settings(
    max_examples=examples(4, 300),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


# ------------------------------------------------------------------------------------------------------ alerts

HOOK = Webhook("http://127.0.0.1:1/")
RULES = (
    Rule("late", NoSuccess(), Severity.CRITICAL, holds_for=2 * HOUR, keeps_for=HOUR),
    Rule("once", NoSuccess(), Severity.WARNING),
)
ROUTES = (
    Route("ops", HOOK, (), repeat=6 * HOUR, escalation=Escalation(3 * HOUR, "boss")),
    Route("boss", HOOK, None, repeat=24 * HOUR),
)
DECLARED = Declared(RULES, ROUTES, watchdog=Watchdog(30 * HOUR, ("ops",)))


class Alerting:
    """Looks at rules, and brings notices to routes; ids are the test's own."""

    def __init__(self, here: Installation) -> None:
        self.here = here
        self.ids = (f"{number:032x}" for number in itertools.count(1))
        self.lease: Lease = here.ledger.acquire_lease(LEASE, FOR_EVER)

    def look(self, found: set[tuple[str, str]]) -> Step:
        looked = [
            Looked(each, tuple(Finding(subject, "so it is") for of, subject in sorted(found) if of == each.name))
            for each in RULES
        ]

        def decide(before: Standing) -> Step:
            return decided(before, looked, DECLARED, self.here.now, unseen={}, ids=lambda: next(self.ids))

        return self.here.ledger.alerts.step(self.lease, decide)

    def send(self, how: str) -> list[Notice]:
        """What is due is taken, not taken, or given up."""
        kept, sent = self.here.ledger.alerts, []
        for waiting in kept.due(self.here.now):
            sent.append(waiting.notice)
            if how == "delivered":
                kept.delivered(self.lease, waiting, 0.1)
            else:
                again = None if how == "given up" else self.here.now + HOUR
                kept.failed(self.lease, waiting, f"{how} at {self.here.now}", 0.1, again)
        return sent

    def prune(self, before: datetime | None = None) -> None:
        before = before or self.here.now + timedelta(microseconds=1)
        pruning, tables = self.here.ledger.pruning, (alerts, alert_silences, alert_notices, alert_deliveries)
        told = pruning.outgrown(before, before)
        rows = [count(self.here, table) for table in tables]
        pruning.remove_notices(before)
        pruning.remove_alerts(before)
        gone = [former - count(self.here, table) for former, table in zip(rows, tables, strict=True)]
        assert gone == [told.alerts, told.silences, told.notices, told.attempts], "what is told is what is done"
        assert not pruning.outgrown(before, before)


@pytest.fixture
def alerting(here: Installation) -> Alerting:
    return Alerting(here)


def test_what_is_over_goes_and_what_is_open_or_waits_stays(alerting: Alerting):
    """With the record of its deliveries; the newest notice of the watchdog stays, by which the next one is due."""
    here = alerting.here
    alerting.look({("once", "a"), ("once", "b")})
    assert len(alerting.send("delivered")) == 1
    alerting.send("delivered")
    here.now += HOUR
    alerting.look({("once", "b")})
    alerting.prune()
    assert [each.subject for each in here.ledger.alerts.open()] == ["b"]
    assert here.ledger.alerts.over(limit=10) == []
    assert [each.notice.kind.value for each in here.ledger.alerts.due(here.now)] == ["resolved"]
    assert (count(here, alert_notices), count(here, alert_deliveries)) == (2, 1)


def test_what_the_trail_names_by_its_id_stays(alerting: Alerting):
    """An alert that somebody acknowledged is there as long as the entry that says so."""
    here = alerting.here
    (alert,) = (each for each in alerting.look({("once", "a")}).alerts)
    here.ledger.alerts.acknowledge(alert.id, "mine")
    here.now += HOUR
    alerting.look(set())
    alerting.prune()
    (found,) = here.ledger.alerts.find(alert.id)
    assert found.acked_note == "mine"


def test_numbers_of_silences_are_not_given_again(alerting: Alerting):
    """The trail names a silence by its number."""
    kept = alerting.here.ledger.alerts
    for _ in range(3):
        last = kept.silence(("subject=a",), alerting.here.now + HOUR, "why").number
    kept.unsilence(last)
    alerting.here.now += 2 * HOUR
    alerting.prune()
    assert count(alerting.here, alert_silences) == 1
    assert kept.silence(("subject=a",), alerting.here.now + HOUR, "why").number == last + 1


def test_why_the_last_attempt_failed_stays_known(alerting: Alerting):
    """What waits is told with it, also if that was a year ago."""
    alerting.look({("once", "a")})
    alerting.send("failed")
    alerting.here.now += 365 * DAY
    before = alerting.here.ledger.alerts.backlog()
    alerting.prune()
    assert alerting.here.ledger.alerts.backlog() == before
    assert before[0][3].startswith("failed at")


def test_alerts_that_go_are_on_the_record(alerting: Alerting):
    """How many, in the transaction that removes them; nothing is said where nothing went."""
    alerting.look({("once", "a")})
    alerting.here.now += HOUR
    alerting.look(set())
    alerting.prune()
    (entry,) = newest(alerting.here.ledger._engine, 1)
    assert entry.event.detail == {"removed": "alerts", "alerts": 1, "silences": 0}
    alerting.prune()
    assert newest(alerting.here.ledger._engine, 1)[0].number == entry.number


class AlertTwins(RuleBasedStateMachine):
    """Two ledgers with the same alerts, of which one is pruned again and again: they fire, tell and resolve alike."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folders = [self.stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(2)]
        self.pair = [Alerting(self.stack.enter_context(installed(Path(each)))) for each in folders]
        self.found: set[tuple[str, str]] = set()

    def both(self, act: Callable[[Alerting], object]) -> None:
        whole, pruned = (act(each) for each in self.pair)
        assert whole == pruned

    @rule(name=st.sampled_from([each.name for each in RULES]), subject=st.sampled_from("ab"))
    def turn(self, name: str, subject: str) -> None:
        self.found ^= {(name, subject)}

    @rule(hours=st.integers(0, 40))
    def look(self, hours: int) -> None:
        """Alerts, with whom they were told to, and notices: firing, repeated, resolved, the watchdog's."""
        for each in self.pair:
            each.here.now += hours * HOUR
        self.both(lambda each: each.look(self.found))

    @rule(how=st.sampled_from(["delivered", "failed", "given up"]), hours=st.integers(0, 3))
    def send(self, how: str, hours: int) -> None:
        for each in self.pair:
            each.here.now += hours * HOUR
        self.both(lambda each: each.send(how))

    @rule(subject=st.sampled_from("ab"), hours=st.integers(1, 50))
    def silence(self, subject: str, hours: int) -> None:
        self.both(
            lambda each: each.here.ledger.alerts.silence((f"subject={subject}",), each.here.now + hours * HOUR, "why")
        )

    @rule(number=st.integers(1, 4))
    def unsilence(self, number: int) -> None:
        self.both(lambda each: each.here.ledger.alerts.unsilence(number))

    @rule(which=st.integers(0, 3))
    def acknowledge(self, which: int) -> None:
        def act(each: Alerting) -> object:
            open_ones: Sequence[Alert] = each.here.ledger.alerts.open()
            return bool(open_ones) and each.here.ledger.alerts.acknowledge(open_ones[which % len(open_ones)].id, "mine")

        self.both(act)

    @rule(hours=st.integers(0, 30))
    def prune(self, hours: int) -> None:
        self.pair[1].prune(self.pair[1].here.now - hours * HOUR)

    @invariant()
    def both_stand_alike(self) -> None:
        self.both(_standing)

    def teardown(self) -> None:
        self.stack.close()


def _standing(each: Alerting) -> dict[str, object]:
    kept, now = each.here.ledger.alerts, each.here.now
    return {
        "open": kept.open(),
        "due": kept.due(now),
        "backlog": kept.backlog(),
        "silences": kept.silences(now),
        "last look": kept.last_look(),
    }


TestAlertTwins = AlertTwins.TestCase
TestAlertTwins.settings = settings(
    max_examples=examples(5, 400),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

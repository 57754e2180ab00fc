"""Alerts as a state machine: whatever is found, silenced and acknowledged, everybody is told what they must be."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rowkeeper.ledger.alerts import Alert, Kind, Notice, Severity, SilenceRecord, Standing, State
from rowkeeper.operations.alerts.conditions.success import NoSuccess
from rowkeeper.operations.alerts.declaring import Declared
from rowkeeper.operations.alerts.looking import decided
from rowkeeper.operations.alerts.machine import Looked, advance
from rowkeeper.operations.alerts.matching import Matcher
from rowkeeper.operations.alerts.receivers.webhook import Webhook
from rowkeeper.operations.alerts.route import Escalation, Route
from rowkeeper.operations.alerts.rule import Finding, Rule
from tests.extent import examples

START = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOOK = Webhook("http://127.0.0.1:1/")
LATE = Rule("late", NoSuccess(), Severity.CRITICAL, holds_for=2 * MINUTE, keeps_for=MINUTE)
AT_ONCE = Rule("once", NoSuccess(), Severity.WARNING)
RULES = {each.name: each for each in (LATE, AT_ONCE)}
ROUTES = (
    Route("ops", HOOK, (), repeat=10 * MINUTE, escalation=Escalation(5 * MINUTE, "boss")),
    Route("critical", HOOK, (Matcher.parse("severity=critical"),), ("subject",), repeat=30 * MINUTE),
    Route("boss", HOOK, None, repeat=60 * MINUTE),
)
SUBJECTS = ("a", "b")
KINDS = (Kind.FIRING, Kind.REPEAT)


class Alerting(RuleBasedStateMachine):
    """One look after the other; between them people and the world do what they like."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.found: set[tuple[str, str]] = set()
        self.blind: set[str] = set()
        self.alerts: dict[str, Alert] = {}
        self.over: dict[str, Alert] = {}
        self.silences: list[SilenceRecord] = []
        self.notices: list[Notice] = []
        self.last: list[Notice] = []
        self.held_since: dict[tuple[str, str], datetime] = {}
        self.ids = (f"{number:032x}" for number in itertools.count(1))

    @rule(name=st.sampled_from(sorted(RULES)), subject=st.sampled_from(SUBJECTS))
    def turn(self, name: str, subject: str) -> None:
        self.found ^= {(name, subject)}

    @rule(name=st.sampled_from(sorted(RULES)))
    def blindfold(self, name: str) -> None:
        self.blind ^= {name}

    @rule(subject=st.sampled_from(SUBJECTS), minutes=st.integers(1, 30))
    def silence(self, subject: str, minutes: int) -> None:
        number = len(self.silences) + 1
        until = self.now + minutes * MINUTE
        self.silences.append(SilenceRecord(number, (f"subject={subject}",), "", "ann", self.now, until))

    @rule(which=st.integers(0, 3))
    def acknowledge(self, which: int) -> None:
        fired = [alert for alert in self.alerts.values() if alert.fired_at is not None]
        if fired:
            alert = fired[which % len(fired)]
            self.alerts[alert.id] = dataclasses.replace(alert, acked_at=self.now, acked_by="ann")

    @rule(minutes=st.integers(1, 12))
    def look(self, minutes: int) -> None:
        self.now += minutes * MINUTE
        looked = []
        for name, each in RULES.items():
            findings = tuple(Finding(subject, "so it is") for of, subject in sorted(self.found) if of == name)
            looked.append(Looked(each, None if name in self.blind else findings))
        before = Standing(tuple(self.alerts.values()), tuple(self.silences), frozenset(), {})
        declared = Declared((LATE, AT_ONCE), ROUTES)
        step = decided(before, looked, declared, self.now, unseen={}, ids=lambda: next(self.ids))
        self.last = list(step.notices)
        self.notices += self.last
        self.former, self.alerts = self.alerts, {each.id: each for each in step.alerts if each.resolved_at is None}
        self.over |= {each.id: each for each in step.alerts if each.resolved_at is not None}
        self._check(looked)

    def _check(self, looked: list[Looked]) -> None:
        for each in looked:
            mine = {alert.subject: alert for alert in self.alerts.values() if alert.rule == each.rule.name}
            if each.findings is None:
                former = {id for id, alert in self.former.items() if alert.rule == each.rule.name}
                assert {alert.id for alert in mine.values()} == former, "nobody could see, and something changed"
                continue
            for finding in each.findings:
                alert = mine[finding.subject]
                held = self.now - alert.since >= each.rule.holds_for
                assert (alert.fired_at is not None) is (held or (alert.id in self.former and self._fired(alert)))
        for notice in self.last:
            for document in notice.alerts:
                alert = self.alerts.get(document["id"]) or self.over[document["id"]]
                assert (notice.kind is Kind.RESOLVED) is (alert.resolved_at == self.now)
                if notice.kind in KINDS:
                    assert alert.state is State.FIRING

    def _fired(self, alert: Alert) -> bool:
        return self.former[alert.id].fired_at is not None

    def told(self, alert: Alert, route: str, *kinds: Kind) -> list[Notice]:
        return [
            notice
            for notice in self.notices
            if notice.route == route and notice.kind in kinds and any(each["id"] == alert.id for each in notice.alerts)
        ]

    @invariant()
    def a_rule_has_one_open_alert_of_a_subject(self) -> None:
        keys = [(alert.rule, alert.subject) for alert in self.alerts.values()]
        assert len(keys) == len(set(keys))

    @invariant()
    def what_is_over_is_told_once_to_whoever_heard_of_it(self) -> None:
        for alert in self.over.values():
            for route in ROUTES:
                heard = self.told(alert, route.name, *KINDS)
                assert len(self.told(alert, route.name, Kind.RESOLVED)) == bool(heard)

    @invariant()
    def what_fires_is_told_as_soon_as_nobody_minds(self) -> None:
        for alert in self.alerts.values():
            if alert.state is State.FIRING and alert.fired_at is not None and alert.lost_at is None:
                looked = self.notices or alert.fired_at
                assert not looked or self.told(alert, "ops", *KINDS) or alert.acked_at is not None

    @invariant()
    def nothing_is_repeated_too_early(self) -> None:
        for alert, route in itertools.product([*self.alerts.values(), *self.over.values()], ROUTES):
            repeats = self.told(alert, route.name, Kind.REPEAT)
            times = [notice.made_at for notice in self.told(alert, route.name, *KINDS)]
            for notice in repeats:
                former = [at for at in times if at < notice.made_at]
                assert notice.made_at - max(former) >= route.repeat

    @invariant()
    def nobody_is_bothered_above_before_the_time(self) -> None:
        for alert in [*self.alerts.values(), *self.over.values()]:
            for notice in self.told(alert, "boss", *KINDS)[:1]:
                first = self.told(alert, "ops", *KINDS)[0]
                assert notice.made_at - first.made_at >= 5 * MINUTE


Alerting.TestCase.settings = settings(max_examples=examples(12, 2_000), stateful_step_count=30, deadline=None)
TestAlerting = Alerting.TestCase


def never(_: object) -> str:
    return ""


def test_what_is_pending_and_no_longer_found_is_gone_without_a_word():
    """It never was an alert."""
    ids = iter("ab")
    first = advance([], [Looked(LATE, (Finding("a", "x"),))], START, silenced=never, new_id=lambda: next(ids))
    assert [alert.state for alert in first] == [State.PENDING]
    assert advance(first, [Looked(LATE, ())], START + MINUTE, silenced=never, new_id=lambda: next(ids)) == []


def test_an_alert_whose_rule_is_gone_is_over():
    """Nobody looks for it any more; whoever was told hears that."""
    alert = Alert("a", "gone", "x", Severity.INFO, {}, "", "", START, fired_at=START)
    (over,) = advance([alert], [], START + MINUTE, silenced=never, new_id=lambda: "b")
    assert (over.resolved_at, over.told) == (START + MINUTE, "its rule is no longer there")

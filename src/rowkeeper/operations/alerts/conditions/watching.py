"""Conditions on what others look at: checks of health, security events, metrics; and on our own deliveries."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import ClassVar

from rowkeeper.ledger.audit import Outcome
from rowkeeper.ledger.audit.listing import Wanted, entries
from rowkeeper.nearest import did_you_mean
from rowkeeper.operations.alerts.rule import Finding, View
from rowkeeper.operations.alerts.spans import spoken
from rowkeeper.operations.alerts.tables import Table
from rowkeeper.operations.events import CLASSES
from rowkeeper.operations.events.classes import EventClass, class_of
from rowkeeper.operations.events.detecting import detections
from rowkeeper.operations.health import State
from rowkeeper.operations.metrics import FAMILIES, Kind, Spread, collect

STATES = tuple(state.value for state in State if state is not State.GOOD)
HOUR = timedelta(hours=1)


@dataclasses.dataclass(frozen=True, slots=True)
class HealthState:
    """A check of health, freshness among them, that is in one of these states.

    Attributes:
        check: its name, or a pattern: `disk`, `freshness`.
        subject: what it is about, or a pattern.
    """

    word: ClassVar[str] = "health"
    check: str = "*"
    subject: str = "*"
    states: tuple[str, ...] = ("bad",)

    @classmethod
    def of(cls, table: Table) -> HealthState:
        """As the file has it."""
        return cls(table.text("check", "*"), table.text("subject", "*"), table.choices("state", STATES, ("bad",)))

    def find(self, view: View) -> Iterator[Finding]:
        """Implements Condition."""
        for check in view.checks:
            wanted = fnmatch.fnmatchcase(check.name, self.check) and fnmatch.fnmatchcase(check.subject, self.subject)
            if wanted and check.state.value in self.states:
                subject = f"{check.name} {check.subject}".strip()
                limit = f" (limit: {check.limit})" if check.limit else ""
                labels = {"check": check.name} | ({"pipeline": check.subject} if check.subject in view.newest else {})
                yield Finding(subject, f"{subject} is {check.state}: {check.told}{limit}", labels, check.mend)


@dataclasses.dataclass(frozen=True, slots=True)
class SecurityEvent:
    """So many security events of a class, or what stands out among them (a detection), in the time before now.

    Attributes:
        event_class: None: detections.
        outcome: of the events; None: of any.
        at_least: how many.
        within: how far back it looks; when they are older, the alert is over.
    """

    word: ClassVar[str] = "event"
    event_class: EventClass | None = None
    outcome: Outcome | None = None
    at_least: int = 1
    within: timedelta = HOUR

    @classmethod
    def of(cls, table: Table) -> SecurityEvent:
        """As the file has it."""
        word = table.choice("class", tuple(CLASSES), EventClass.DETECTION_FINDING.word)
        event_class = CLASSES[word]
        outcome = table.choice("outcome", tuple(each.value for each in Outcome), "")
        at_least = int(table.number("at_least", 1, least=1))
        return cls(
            None if event_class is EventClass.DETECTION_FINDING else event_class,
            Outcome(outcome) if outcome else None,
            at_least,
            table.span("within", HOUR),
        )

    def find(self, view: View) -> Iterator[Finding]:
        """Implements Condition."""
        since = view.now - self.within
        mend = "rowkeeper events list"
        if self.event_class is None:
            for found in detections(view.space.ledger, since, None):
                yield Finding(f"{found.rule} {found.numbers[0]}", f"{found.title}: {found.told}", mend=mend)
            return
        wanted = Wanted(self.event_class.actions, outcome=self.outcome, since=since)
        seen = entries(view.space.ledger.audit.engine, wanted)
        count = sum(class_of(entry.event.action)[0] is self.event_class for entry in seen)
        if count >= self.at_least:
            what = f"{self.event_class.word}{f' ({self.outcome})' if self.outcome else ''}"
            told = f"{count:,} security events of {what} within {spoken(self.within)}; {self.at_least:,} are an alert"
            yield Finding(what, told, mend=mend)


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """A sample of a metric that is above, or below, a number.

    Attributes:
        name: of the metric, as `/metrics` has it.
        labels: patterns that its labels have to fit.
        above, below: one of them.
    """

    word: ClassVar[str] = "metric"
    name: str
    labels: Mapping[str, str]
    above: float | None = None
    below: float | None = None

    @classmethod
    def of(cls, table: Table) -> Metric:
        """As the file has it."""
        above, below = table.maybe_number("above"), table.maybe_number("below")
        if (above is None) is (below is None):
            raise table.wrong("a metric is compared with one number", 'such as metric = { name = "...", above = 3 }')
        name = table.text("name")
        known = {each.name: each for each in FAMILIES if not each.served}
        if name not in known:
            raise table.wrong(
                f"there is no metric {name!r}", did_you_mean(name, known, "rowkeeper metrics show"), "name"
            )
        if known[name].kind is Kind.HISTOGRAM:
            raise table.wrong(f"{name} is a histogram, and no number", "name a counter or a gauge", "name")
        return cls(name, table.texts_by_name("labels"), above, below)

    def find(self, view: View) -> Iterator[Finding]:
        """Implements Condition."""
        for family in collect(view.space):
            for sample in family.samples if family.name == self.name else ():
                labels, value = sample.labels, sample.value
                fits = all(fnmatch.fnmatchcase(labels.get(name, ""), each) for name, each in self.labels.items())
                if fits and not isinstance(value, Spread) and self._is_beyond(value):
                    inner = ",".join(f"{name}={text}" for name, text in sorted(labels.items()))
                    subject = f"{self.name}{{{inner}}}" if inner else self.name
                    bound = f"above {self.above:g}" if self.above is not None else f"below {self.below:g}"
                    known = {"metric": self.name} | {name: labels[name] for name in ("pipeline",) if name in labels}
                    yield Finding(subject, f"{subject} is {value:g}, {bound}", known)

    def _is_beyond(self, value: float) -> bool:
        if self.above is not None:
            return value > self.above
        return self.below is not None and value < self.below


@dataclasses.dataclass(frozen=True, slots=True)
class Undelivered:
    """A route whose notices have waited for so long."""

    word: ClassVar[str] = "undelivered"
    within: timedelta = timedelta(minutes=15)

    @classmethod
    def of(cls, table: Table) -> Undelivered:
        """As the file has it."""
        return cls(table.span("within", timedelta(minutes=15)))

    def find(self, view: View) -> Iterator[Finding]:
        """Implements Condition."""
        for route, since, count, told in view.space.ledger.alerts.backlog():
            if view.now - since > self.within:
                what = f"{count:,} notices wait for route {route} since {since:%Y-%m-%d %H:%M} UTC"
                yield Finding(f"route {route}", f"{what}: {told}", mend=f"rowkeeper alerts test {route}")

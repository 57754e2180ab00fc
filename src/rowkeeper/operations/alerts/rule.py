"""A rule: a condition, how long it has to hold, and how much it matters. What a condition is, and what it looks at."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import ClassVar, Protocol

from rowkeeper.ledger import RunKind, RunRecord, ScheduleRecord, SlotRecord
from rowkeeper.ledger.alerts import Severity, Success
from rowkeeper.operations.health import PARTS, Check, State, look
from rowkeeper.runs.workspace import Workspace

NEWEST = 20  # runs of a pipeline that are looked at


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Something that a condition found.

    Attributes:
        subject: what it is about: a pipeline, a host, a table; by it the same thing is known again.
        told: what was found, in a sentence without secrets and values of rows.
        labels: more that it is known by.
        mend: what to do, where that is known.
    """

    subject: str
    told: str
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mend: str = ""


class Condition(Protocol):
    """What a rule looks for.

    Attributes:
        word: by which the file names it.
    """

    word: ClassVar[str]

    def find(self, view: View) -> Iterator[Finding]:
        """All that is so now. Raises FrameworkError if that cannot be seen: then nothing is known, good or bad."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """What is an alert.

    Attributes:
        holds_for: it fires when it has been found for so long.
        keeps_for: it is over when it has not been found for so long.
        told: a sentence of the file's, before what the condition says.
    """

    name: str
    condition: Condition
    severity: Severity = Severity.WARNING
    holds_for: timedelta = timedelta()
    keeps_for: timedelta = timedelta()
    told: str = ""

    def labels_of(self, finding: Finding) -> dict[str, str]:
        """What an alert of it is known by."""
        own = {"rule": self.name, "severity": self.severity.value, "condition": self.condition.word}
        return {**finding.labels, **own, "subject": finding.subject}


@dataclasses.dataclass(frozen=True)
class View:
    """What conditions look at, each part read once and when it is asked for.

    Attributes:
        now: the time of this look; conditions ask no other clock.
    """

    space: Workspace
    now: datetime

    @cached_property
    def schedules(self) -> Mapping[str, ScheduleRecord]:
        """Those that workers were given, by pipeline."""
        return {each.pipeline: each for each in self.space.ledger.schedules.all()}

    @cached_property
    def successes(self) -> Mapping[str, Success]:
        """By pipeline, its last one."""
        return self.space.ledger.alerts.last_successes()

    @cached_property
    def unanswered(self) -> Mapping[str, Sequence[SlotRecord]]:
        """By pipeline, the first slot of its schedule since its last success that no run has answered."""
        return self.space.ledger.schedules.unanswered({name: each.finished_at for name, each in self.successes.items()})

    @cached_property
    def newest(self) -> Mapping[str, Sequence[RunRecord]]:
        """By pipeline its newest loads, the newest first; pipelines that ran or are scheduled."""
        ledger = self.space.ledger
        names = sorted({*ledger.pipelines(), *self.schedules})
        found = {name: ledger.runs(limit=NEWEST, pipeline=name) for name in names}
        return {name: [run for run in runs if run.kind is RunKind.LOAD] for name, runs in found.items()}

    @cached_property
    def checks(self) -> Sequence[Check]:
        """What health says now; and of what needs a pipeline's declaration, what it said last.

        Whoever looks at rules has no pipeline files: a worker looks at the health of its own every so often.
        """
        found = list(look(self.space, now=self.now).checks)
        seen = {(each.name, each.subject) for each in found}
        of_pipelines = {part.name for part in PARTS if part.of_pipelines}
        for each in self.space.ledger.health.states():
            if each.part in of_pipelines and (each.name, each.subject) not in seen:
                found.append(Check(each.name, each.subject, State(each.state), each.told, since=each.since))
        return found

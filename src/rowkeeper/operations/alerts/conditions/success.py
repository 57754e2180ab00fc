"""`no_success`: what should have happened, and did not. Nobody has to fail, or even to be there, for it to be found."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar

from rowkeeper.ledger.alerts import Success
from rowkeeper.operations.alerts.rule import Finding, View
from rowkeeper.operations.alerts.spans import spoken
from rowkeeper.operations.alerts.tables import Table
from rowkeeper.operations.metrics.schedules import first_due

GRACE = timedelta(minutes=15)


@dataclasses.dataclass(frozen=True, slots=True)
class NoSuccess:
    """A pipeline of which no load was published, or found unchanged, in time.

    Attributes:
        pipeline: a name, or a pattern. A name is looked at also if nobody here has ever heard of it.
        within: how old the last success may be; None: by the pipeline's own schedule, of those that have one.
        grace: how long after the instant of its schedule, besides what it usually takes.
    """

    word: ClassVar[str] = "no_success"
    pipeline: str = "*"
    within: timedelta | None = None
    grace: timedelta = GRACE

    @classmethod
    def of(cls, table: Table) -> NoSuccess:
        """As the file has it."""
        return cls(table.text("pipeline", "*"), table.span("within", None), table.span("grace", GRACE))

    def find(self, view: View) -> Iterator[Finding]:
        """Implements Condition."""
        for name in self._names(view):
            last = view.successes.get(name)
            told = self._by_age(name, last, view) if self.within is not None else self._by_schedule(name, last, view)
            if told:
                yield Finding(
                    name, told, {"pipeline": name}, mend=f"rowkeeper runs --pipeline {name}; rowkeeper status"
                )

    def _names(self, view: View) -> list[str]:
        known = view.newest if self.within is not None else view.schedules
        found = [name for name in known if fnmatch.fnmatchcase(name, self.pipeline)]
        is_name = not any(sign in self.pipeline for sign in "*?[")
        return found or ([self.pipeline] if is_name and self.within is not None else [])

    def _by_age(self, name: str, last: Success | None, view: View) -> str:
        assert self.within is not None
        since = last.finished_at if last is not None else view.space.ledger.alerts.founded_at()
        late = view.now - since > self.within
        return f"no success of {name} within {spoken(self.within)}: {_told(last)}" if late else ""

    def _by_schedule(self, name: str, last: Success | None, view: View) -> str:
        record = view.schedules[name]
        due = first_due(record, view.unanswered.get(name, ()), None if last is None else last.finished_at)
        if record.paused is not None or due is None:
            return ""
        late = view.now > due + self.grace + self._usual(name, view)
        return f"no success of {name} since it was due at {due:%Y-%m-%d %H:%M} UTC: {_told(last)}" if late else ""

    @staticmethod
    def _usual(name: str, view: View) -> timedelta:
        """The longest of its last loads that were published."""
        seconds = [
            run.seconds for run in view.newest.get(name, ()) if run.seconds is not None and run.account.committed
        ]
        return timedelta(seconds=max(seconds, default=0.0))


def _told(last: Success | None) -> str:
    if last is None:
        return "it has never succeeded"
    return f"its last success was run {last.run}, at {last.finished_at:%Y-%m-%d %H:%M} UTC"

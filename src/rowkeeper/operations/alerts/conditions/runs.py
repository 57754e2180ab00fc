"""Conditions on runs: failed, parked, held, slow against their own history."""

from __future__ import annotations

import dataclasses
import fnmatch
import statistics
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import ClassVar, Self

from rowkeeper.errors import FrameworkError, error_of
from rowkeeper.ledger import RunRecord, RunStatus, ScheduleRecord
from rowkeeper.operations.alerts.rule import Finding, View
from rowkeeper.operations.alerts.spans import spoken
from rowkeeper.operations.alerts.tables import Table

UNDER_WAY = (RunStatus.STAGING, RunStatus.PREPARED)
WELL = (RunStatus.PUBLISHED, RunStatus.UNCHANGED, RunStatus.ROLLED_BACK)
FAILURES = ("failed", "died", "hung")  # of an attempt that perhaps made no run at all
RUNS_MIN = 3  # fewer are no history


def _wanted(view: View, pattern: str) -> Iterator[tuple[str, Sequence[RunRecord]]]:
    for name, runs in view.newest.items():
        if fnmatch.fnmatchcase(name, pattern):
            yield name, runs


def why(run: RunRecord) -> str:
    """What a run failed of, without words of others, which may quote values."""
    error = run.error or {}
    code = str(error.get("code", ""))
    try:
        quotes = error_of(code).quotes
    except FrameworkError:
        quotes = True  # of a connector that is not installed here
    what = "" if quotes else str(error.get("what", ""))
    return " ".join(filter(None, (what, f"({code})" if code else "")))


@dataclasses.dataclass(frozen=True, slots=True)
class OfPipelines:
    """A condition that takes nothing but the pipelines that it is about.

    Attributes:
        pipeline: a name, or a pattern.
    """

    pipeline: str = "*"

    @classmethod
    def of(cls, table: Table) -> Self:
        """As the file has it."""
        return cls(table.text("pipeline", "*"))


@dataclasses.dataclass(frozen=True, slots=True)
class RunFailed(OfPipelines):
    """A pipeline whose newest load failed, or whose worker's last attempt came to nothing."""

    word: ClassVar[str] = "run_failed"

    def find(self, view: View) -> Iterator[Finding]:
        """Implements Condition."""
        for name, runs in _wanted(view, self.pipeline):
            newest, schedule = (runs[0] if runs else None), view.schedules.get(name)
            labels = {"pipeline": name}
            if newest is not None and newest.status is RunStatus.FAILED:
                told = f"run {newest.run} of {name} failed: {why(newest)}".removesuffix(": ")
                yield Finding(name, told, labels, mend=f"rowkeeper show {newest.run}")
            elif schedule is not None and self._came_to_nothing(schedule, newest):
                told = f"{schedule.failures} attempts of a worker to run {name} came to nothing ({schedule.outcome})"
                yield Finding(name, told, labels, mend="rowkeeper status")

    @staticmethod
    def _came_to_nothing(schedule: ScheduleRecord, newest: RunRecord | None) -> bool:
        """Of a run that is kept, or waits, others tell."""
        is_over = newest is None or newest.status in (*WELL, RunStatus.FAILED)
        return bool(schedule.failures) and schedule.outcome in FAILURES and is_over


@dataclasses.dataclass(frozen=True, slots=True)
class RunParked(OfPipelines):
    """A run that was stopped or died, is kept, and that nobody is at."""

    word: ClassVar[str] = "run_parked"
    status: ClassVar[RunStatus] = RunStatus.INTERRUPTED
    said: ClassVar[str] = "was interrupted, and nobody is at it"

    def find(self, view: View) -> Iterator[Finding]:
        """Implements Condition."""
        ledger = view.space.ledger
        left = [target for target in ledger.targets(unfinished=True) if not ledger.lease_alive(target)]
        for run in (run for target in left for run in ledger.unfinished(target)):
            if run.status is self.status and fnmatch.fnmatchcase(run.pipeline, self.pipeline):
                told = f"run {run.run} of {run.pipeline} {self.said}"
                yield Finding(f"run {run.run}", told, {"pipeline": run.pipeline}, mend=f"rowkeeper show {run.run}")


@dataclasses.dataclass(frozen=True, slots=True)
class RunHeld(RunParked):
    """A run that its quality gates hold, until somebody decides."""

    word: ClassVar[str] = "run_held"
    status: ClassVar[RunStatus] = RunStatus.HELD
    said: ClassVar[str] = "is held by its quality gates: somebody has to decide"


@dataclasses.dataclass(frozen=True, slots=True)
class RunSlow:
    """A load that takes, or took, much longer than the loads of its pipeline before it.

    Attributes:
        times: as often the median of the loads before it that were published.
        least: what is shorter is never slow.
    """

    word: ClassVar[str] = "run_slow"
    pipeline: str = "*"
    times: float = 3.0
    least: timedelta = timedelta(minutes=1)

    @classmethod
    def of(cls, table: Table) -> RunSlow:
        """As the file has it."""
        times = table.number("times", 3.0, least=1.0)
        return cls(table.text("pipeline", "*"), times, table.span("least", timedelta(minutes=1)))

    def find(self, view: View) -> Iterator[Finding]:
        """Implements Condition."""
        for name, runs in _wanted(view, self.pipeline):
            newest = next((run for run in runs if run.status in (*UNDER_WAY, RunStatus.PUBLISHED)), None)
            if newest is None:
                continue
            past = [
                run.seconds
                for run in runs
                if run.run < newest.run and run.status is RunStatus.PUBLISHED and run.seconds is not None
            ]
            takes = newest.seconds
            if newest.status in UNDER_WAY:
                takes = (view.now - newest.started_at).total_seconds()
            if len(past) < RUNS_MIN or takes is None:
                continue
            usual = statistics.median(past)
            if takes > max(self.times * usual, self.least.total_seconds()):
                tense = "has been at it for" if newest.status in UNDER_WAY else "took"
                told = f"run {newest.run} of {name} {tense} {spoken(timedelta(seconds=takes))}; usual are {usual:.1f} s"
                yield Finding(name, told, {"pipeline": name}, mend=f"rowkeeper show {newest.run}")

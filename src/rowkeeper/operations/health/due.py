"""Deadlines of pipelines: whether today's was kept, and whether the next one will be.

The warning comes from the history of durations: nine of ten of the last runs took no longer than what is reckoned with.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rowkeeper.calendars import Due, Window
from rowkeeper.ledger import RunStatus
from rowkeeper.operations.health.check import Check, State
from rowkeeper.operations.health.context import HealthContext, run_command
from rowkeeper.pipeline import Pipeline
from rowkeeper.quality.freshness import told_span

NAME = "due"
RUNS = 20  # of which the duration is learnt
SHARE = 0.9  # of them take no longer


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What is known of a pipeline's runs.

    Attributes:
        seconds: that its last published loads took.
        published: when it published last.
        first: when it was begun for the first time; None: never.
        under_way: since when a run is.
        starts: when the next one starts by its schedule.
    """

    seconds: tuple[float, ...] = ()
    published: datetime | None = None
    first: datetime | None = None
    under_way: datetime | None = None
    starts: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """How it stands with a deadline."""

    state: State
    told: str
    since: datetime | None = None


def judge(due: Due, known: Known, now: datetime) -> Judged:
    """Bad once a deadline was missed and nothing was published since; a warning while one will probably be missed.

    A deadline before the first run does not count.
    """
    last, coming = due.last(now), due.next(now)
    if known.first is None:
        return Judged(State.WARNING, f"it has never run{_by(coming)}")
    if last is not None and last.due > known.first and not _is_kept(last, known):
        before = "" if known.published is None else f"; the last publish was on {_told(known.published)}"
        return Judged(State.BAD, f"not published by {_told(last.due)}{before}", last.due)
    return Judged(State.GOOD, "no day is left on which it is due") if coming is None else _judge(coming, known, now)


def _judge(coming: Window, known: Known, now: datetime) -> Judged:
    """The next deadline, of a pipeline that has missed none."""
    if known.published is not None and _is_kept(coming, known):
        return Judged(State.GOOD, f"published on {_told(known.published)}{_by(coming)}")
    if not known.seconds:
        return Judged(State.GOOD, f"nothing is known yet of how long it takes{_by(coming)}")
    usual = timedelta(seconds=percentile(known.seconds, SHARE))
    ends = max(_begins(known, now) + usual, now)
    told = f"it takes {told_span(usual)}"
    if ends > coming.due:
        return Judged(State.WARNING, f"{told}, and would end on {_told(ends)}{_by(coming)}")
    return Judged(State.GOOD, f"{told}{_by(coming)}")


def _is_kept(window: Window, known: Known) -> bool:
    return known.published is not None and known.published >= window.opens


def _begins(known: Known, now: datetime) -> datetime:
    """When the run that counts begins, or began."""
    if known.under_way is not None:
        return known.under_way
    return max(now, known.starts) if known.starts is not None else now


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that so large a share of them does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def look_at_deadlines(context: HealthContext) -> Iterator[Check]:
    """A check for each pipeline that declares one."""
    for pipeline in context.pipelines:
        due = pipeline.due_by
        if due is not None:
            judged = judge(due, _known(context, pipeline), context.now)
            limit = due.text if due.calendar is None else f"{due.text}, on days that count"
            mend = run_command(pipeline) if judged.state is not State.GOOD else ""
            yield Check(NAME, pipeline.name, judged.state, judged.told, limit, mend, judged.since)


def _known(context: HealthContext, pipeline: Pipeline) -> Known:
    ledger, target = context.workspace.ledger, pipeline.destination.target
    instants = None if pipeline.timing is None else pipeline.timing.instants
    loads = ledger.former_loads(pipeline.name, target, limit=RUNS)
    begun = [each for each in ledger.unfinished(target) if each.pipeline == pipeline.name]
    going = [each.started_at for each in begun if each.status in (RunStatus.STAGING, RunStatus.PREPARED)]
    return Known(
        tuple(each.seconds for each in loads if each.seconds is not None),
        loads[0].finished_at if loads else None,
        ledger.first_run_at(pipeline.name),
        max(going) if going and ledger.lease_alive(target) else None,
        None if instants is None else instants.next_after(context.now),
    )


def _by(window: Window | None) -> str:
    return "" if window is None else f"; due on {_told(window.due)}"


def _told(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

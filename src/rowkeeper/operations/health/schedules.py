"""Schedules: runs that are overdue, or fail again and again, whether a worker is there for them; pauses for long."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from rowkeeper.ledger import Paused, ScheduleRecord, lease_name
from rowkeeper.operations.health.check import Check, State
from rowkeeper.operations.health.context import HealthContext
from rowkeeper.operations.worker.duty import next_at
from rowkeeper.quality.freshness import told_span

NAME = "schedule"
FAILURES_MAX = 3  # in a row
PAUSED_MAX = timedelta(days=1)


def look_at_schedules(context: HealthContext) -> Iterator[Check]:
    """A check for each schedule that a worker was ever given."""
    for record in context.workspace.ledger.schedules.all():
        yield _check(context, record)


def _check(context: HealthContext, record: ScheduleRecord) -> Check:
    if record.paused is not None:
        return _paused(context, record.paused, record.pipeline)
    served = context.workspace.ledger.lease_alive(lease_name(record.pipeline))
    under_way = record.is_under_way
    due = None if under_way else next_at(record, context.now)
    most = timedelta(seconds=context.settings.health_overdue_seconds)
    limit = f"{told_span(most)} late (health_overdue_seconds)"
    if record.timing.follows and not under_way and not served:
        told = "nobody follows its stream: no worker is there"
        return Check(NAME, record.pipeline, State.BAD, told, limit, f"rowkeeper worker {record.file}")
    if due is not None and context.now > due + most:
        return _overdue(context, record, due, limit, served)
    if record.failures >= FAILURES_MAX:
        told = f"{record.failures:,} attempts in a row came to nothing: {record.told or record.outcome}"
        mend = f"rowkeeper run {record.file}:{record.pipeline}"
        return Check(NAME, record.pipeline, State.BAD, told, f"{FAILURES_MAX} attempts", mend)
    told = "under way" if under_way else "next after a publish" if due is None else f"next on {due:%Y-%m-%d %H:%M} UTC"
    return Check(NAME, record.pipeline, State.GOOD, told, limit)


def _overdue(context: HealthContext, record: ScheduleRecord, due: datetime, limit: str, served: bool) -> Check:
    told = f"a run is overdue by {told_span(context.now - due)}"
    if not served:
        mend = f"rowkeeper worker {record.file}"
        return Check(NAME, record.pipeline, State.BAD, f"{told}, and no worker is there", limit, mend, due)
    mend = "rowkeeper logs tell what the worker waits for: memory, disk, or room for one more run"
    return Check(NAME, record.pipeline, State.WARNING, told, limit, mend, due)


def _paused(context: HealthContext, paused: Paused, pipeline: str) -> Check:
    """Whoever paused it may have forgotten it."""
    state = State.WARNING if context.now - paused.at > PAUSED_MAX else State.GOOD
    told = f"paused for {told_span(context.now - paused.at)}"
    mend = "" if state is State.GOOD else f"rowkeeper schedule resume {pipeline}"
    return Check(NAME, pipeline, state, told, f"paused for {told_span(PAUSED_MAX)}", mend, paused.at)

"""When pipelines are due, and by when a success is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rowkeeper.ledger import ScheduleRecord, SlotRecord, SlotState
from rowkeeper.ledger.slots import Cause
from rowkeeper.ledger.totals import Total
from rowkeeper.operations.metrics import catalogue
from rowkeeper.operations.metrics.family import Family, families
from rowkeeper.operations.worker.duty import next_at
from rowkeeper.runs.workspace import Workspace
from rowkeeper.schedule import delay_of

SLACK_LEAST = timedelta(minutes=5)
SLACK_RUNS = 3  # times what the longest of the last runs took
RUNS_LOOKED_AT = 20
UNANSWERED = (SlotState.DUE, SlotState.FAILED)


def of_schedules(workspace: Workspace) -> Iterator[Family]:
    """Of each schedule that a worker was ever given; of one that is paused nothing is due."""
    now = datetime.now(UTC)
    records = workspace.ledger.schedules.all()
    serving = [each for each in records if each.paused is None]
    nexts = {each.pipeline: due for each in serving if (due := next_at(each, now)) is not None}
    busy = {each.pipeline for each in serving if each.timing.follows or each.is_under_way}
    late = {name: 0.0 if name in busy else max(0.0, (now - due).total_seconds()) for name, due in nexts.items()}
    yield families(catalogue.PAUSED, (((each.pipeline,), int(each.paused is not None)) for each in records))
    yield families(catalogue.NEXT, (((name,), due.timestamp()) for name, due in nexts.items()))
    yield families(catalogue.LATE, (((name,), seconds) for name, seconds in late.items()))
    yield families(catalogue.SCHEDULE_FAILURES, (((each.pipeline,), each.failures) for each in records))
    dues = _successes_due(workspace, serving)
    yield families(catalogue.SUCCESS_DUE, (((name,), due.timestamp()) for name, due in dues.items() if due is not None))


def _successes_due(workspace: Workspace, records: Sequence[ScheduleRecord]) -> dict[str, datetime | None]:
    """Asks the ledger as often for many schedules as for one."""
    ledger = workspace.ledger
    last = {name: datetime.fromtimestamp(at, UTC) for name, at in ledger.totals.by_pipeline(Total.LAST_SUCCESS).items()}
    unanswered, longest = ledger.schedules.unanswered(last), ledger.schedules.longest_runs(RUNS_LOOKED_AT)
    return {
        name: success_due(record, unanswered.get(name, ()), last.get(name), longest.get(name, timedelta()))
        for name, record in ((each.pipeline, each) for each in records)
    }


def success_due(
    record: ScheduleRecord, slots: Sequence[SlotRecord], last: datetime | None, longest: timedelta
) -> datetime | None:
    """By when a pipeline should have succeeded again; None if only others' publishes make it due, and none has.

    That is the first slot after its last success that nobody has answered; where there is none, the next instant of its
    schedule, whether or not anybody is there to see it come. And as long as runs may take: three times the longest of
    the last ones, five minutes at least.

    Args:
        slots: of it; those that nobody has answered are looked at.
    """
    first = first_due(record, slots, last)
    return None if first is None else first + max(SLACK_LEAST, SLACK_RUNS * longest)


def first_due(record: ScheduleRecord, slots: Sequence[SlotRecord], last: datetime | None) -> datetime | None:
    """When the slot is due by which a success is missed first; as above, without the time that a run may take."""
    waiting = [
        each.not_before
        for each in slots
        if each.state in UNANSWERED and each.cause is not Cause.BACKFILL and (last is None or each.until > last)
    ]
    if waiting:
        return min(waiting)
    instants = record.timing.instants
    if instants is None:
        return None
    instant = instants.next_after(record.kept_until if last is None else max(last, record.kept_until))
    return instant + delay_of(record.pipeline, instant, record.timing.jitter_seconds)

"""What is scheduled, due next, under way, and what became of it the last time, for who may see the pipelines."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

from rowkeeper.access import of_pipeline
from rowkeeper.ledger import ScheduleRecord, SlotRecord, lease_name
from rowkeeper.operations.worker.duty import next_at
from rowkeeper.runs.workspace import Workspace


@dataclasses.dataclass(frozen=True, slots=True)
class Scheduled:
    """One pipeline's schedule, and how it stands.

    Attributes:
        next: when it is tried next; in the past: it is due. None: it is paused, or waits for others' publishes alone.
        late_seconds: for how long the slot that is due has waited for its first attempt, or for the next.
        waits_for: of the pipelines that it comes after, those that have not published since.
        served: a live worker holds it.
        pid: of the process that runs it now, if it is one of this machine.
        last: the slot that was answered last, or is now; None if there was none, or it is forgotten.
    """

    record: ScheduleRecord
    next: datetime | None
    late_seconds: float
    waits_for: tuple[str, ...]
    served: bool
    pid: int | None
    last: SlotRecord | None

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        record = self.record
        paused = record.paused
        return {
            "pipeline": record.pipeline,
            "file": record.file,
            "schedule": record.timing.schedule,
            "timing": record.timing.as_dict(),
            "next": self.next.isoformat() if self.next else None,
            "late_seconds": round(self.late_seconds, 1),
            "waits_for": list(self.waits_for),
            "paused": {"at": paused.at.isoformat(), "by": paused.by, "why": paused.why} if paused else None,
            "due": record.due.as_dict() if record.due else None,
            "last": self.last.as_dict() if self.last else None,
            "served": self.served,
            "pid": self.pid,
            "started_at": record.started_at.isoformat() if record.started_at else None,
            "ended_at": record.ended_at.isoformat() if record.ended_at else None,
            "outcome": record.outcome,
            "error": record.told,
            "failures": record.failures,
        }


def list_schedules(workspace: Workspace) -> list[Scheduled]:
    """Every schedule that a worker was ever given, by pipeline, of those that the caller may see."""
    records = workspace.access.only(
        "pipeline.show", workspace.ledger.schedules.all(), lambda each: of_pipeline(each.pipeline)
    )
    return [_scheduled(workspace, each) for each in records]


def show_schedule(workspace: Workspace, pipeline: str) -> Scheduled:
    """One of them. Raises AccessDenied, UnknownSchedule."""
    workspace.access.require("pipeline.show", of_pipeline(pipeline))
    return _scheduled(workspace, workspace.ledger.schedules.find(pipeline))


def pause_schedule(workspace: Workspace, pipeline: str, why: str) -> Scheduled:
    """No run is begun for it from now on; one that is under way ends. Raises AccessDenied, UnknownSchedule."""
    workspace.access.require("schedule.change", of_pipeline(pipeline))
    workspace.ledger.schedules.pause(pipeline, why)
    return _scheduled(workspace, workspace.ledger.schedules.find(pipeline))


def resume_schedule(workspace: Workspace, pipeline: str) -> Scheduled:
    """It goes on; what was missed is caught up with as it declares. Raises AccessDenied, UnknownSchedule."""
    workspace.access.require("schedule.change", of_pipeline(pipeline))
    workspace.ledger.schedules.resume(pipeline)
    return _scheduled(workspace, workspace.ledger.schedules.find(pipeline))


def _scheduled(workspace: Workspace, record: ScheduleRecord) -> Scheduled:
    now = datetime.now(UTC)
    alive = record.is_under_way
    expected = next_at(record, now)
    idle = record.paused is None and not alive and not record.timing.follows
    late = (now - expected).total_seconds() if idle and expected is not None else 0.0
    return Scheduled(
        record,
        None if record.paused is not None else expected,
        max(0.0, late),
        tuple(each for each in record.timing.after if each not in record.fresh),
        workspace.ledger.lease_alive(lease_name(record.pipeline)),
        record.under_way.pid if record.under_way is not None and alive else None,
        None if record.slot is None else workspace.ledger.schedules.slot(record.slot),
    )

"""What is scheduled, due next, under way, and what became of it the last time, for who may see the pipelines."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from rowkeeper.access import of_pipeline
from rowkeeper.ledger import ScheduleRecord, lease_name
from rowkeeper.operations.worker.duty import next_at
from rowkeeper.runs.workspace import Workspace


@dataclasses.dataclass(frozen=True, slots=True)
class Scheduled:
    """One pipeline's schedule, and how it stands.

    Attributes:
        next: when it is tried next; in the past: it is due.
        served: a live worker holds it.
        pid: of the process that runs it now, if it is one of this machine.
    """

    record: ScheduleRecord
    next: datetime
    served: bool
    pid: int | None

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        record = self.record
        return {
            "pipeline": record.pipeline,
            "file": record.file,
            "schedule": record.schedule,
            "next": self.next.isoformat(),
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


def _scheduled(workspace: Workspace, record: ScheduleRecord) -> Scheduled:
    alive = record.under_way is not None and record.under_way.process() is not None
    return Scheduled(
        record,
        next_at(record),
        workspace.ledger.lease_alive(lease_name(record.pipeline)),
        record.under_way.pid if record.under_way is not None and alive else None,
    )

"""Schedules as the workers keep them: which instant of each was answered last, and who is answering now.

Written under the lease `schedule:PIPELINE`, so that of several workers on one ledger one runs a pipeline at a time.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime

import psutil
from sqlalchemy import Engine, Row, insert, select, update

from rowkeeper.ledger import leases
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock, host_name
from rowkeeper.ledger.records import Lease
from rowkeeper.ledger.schema import schedules


@dataclasses.dataclass(frozen=True, slots=True)
class Started:
    """A process, so that it can be told from a later one of the same number.

    Attributes:
        process_started: its start, in seconds since 1970.
    """

    host: str
    pid: int
    process_started: float

    @classmethod
    def of(cls, pid: int) -> Started:
        """A process of this machine. Raises psutil.NoSuchProcess."""
        return cls(host_name(), pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The process, if it is one of this machine and lives."""
        if self.host != host_name():
            return None
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.process_started) <= 1
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@dataclasses.dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """One pipeline's schedule.

    Attributes:
        kept_until: every instant of the schedule up to this one has been answered.
        failures: attempts in a row that came to nothing.
        try_after: no attempt before it.
        under_way: the process that answers now, or did when its worker died.
        outcome: of the last attempt: a run's status, or `partial`, `failed`, `died`, `hung`, `stopped`.
        told: the last attempt's error, if it failed.
    """

    pipeline: str
    file: str
    schedule: str
    kept_until: datetime
    failures: int = 0
    try_after: datetime | None = None
    under_way: Started | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str = ""
    told: str = ""


def lease_name(pipeline: str) -> str:
    """The lease under which a pipeline's schedule is answered."""
    return f"schedule:{pipeline}"


class LedgerSchedules:
    """Reads and writes them. Every method raises DatabaseError or IntegrityError."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def all(self) -> list[ScheduleRecord]:
        """Every schedule that a worker was ever given, by pipeline."""
        with reading(self._engine) as connection:
            return [_record_of(row) for row in connection.execute(select(schedules).order_by(schedules.c.pipeline))]

    def declare(self, pipeline: str, file: str, schedule: str) -> None:
        """Takes a schedule down. A new or changed one begins now: it is due at its next instant."""
        mine = schedules.c.pipeline == pipeline
        with writing(self._engine, "declare_schedule") as connection:
            former = connection.execute(select(schedules).where(mine)).one_or_none()
            if former is None:
                begun = {"pipeline": pipeline, "file": file, "schedule": schedule, "kept_until": self._clock()}
                connection.execute(insert(schedules).values(**begun, failures=0, outcome="", told=""))
            elif former.schedule != schedule:
                changed = {"file": file, "schedule": schedule, "kept_until": self._clock(), "try_after": None}
                connection.execute(update(schedules).where(mine).values(**changed, failures=0))
            elif former.file != file:
                connection.execute(update(schedules).where(mine).values(file=file))

    def begin(self, lease: Lease, pipeline: str, started: Started) -> None:
        """A process answers now. Raises LeaseError if another worker has taken over."""
        self._note(lease, "begin_schedule", pipeline, started_at=self._clock(), **dataclasses.asdict(started))

    def end(
        self,
        lease: Lease,
        pipeline: str,
        outcome: str,
        *,
        told: str = "",
        kept_until: datetime | None = None,
        failures: int = 0,
        try_after: datetime | None = None,
    ) -> None:
        """The attempt is over. Raises LeaseError if another worker has taken over.

        Args:
            kept_until: the instant that was answered; None: it is still to be.
        """
        values = {"outcome": outcome, "told": told, "failures": failures, "try_after": try_after}
        if kept_until is not None:
            values["kept_until"] = kept_until
        gone = {"host": None, "pid": None, "process_started": None}
        self._note(lease, "end_schedule", pipeline, ended_at=self._clock(), **values, **gone)

    def _note(self, lease: Lease, step: str, pipeline: str, **values: object) -> None:
        with writing(self._engine, step) as connection:
            leases.check(connection, lease)
            connection.execute(update(schedules).where(schedules.c.pipeline == pipeline).values(**values))


def _record_of(row: Row[tuple[object, ...]]) -> ScheduleRecord:
    return ScheduleRecord(
        row.pipeline,
        row.file,
        row.schedule,
        row.kept_until,
        row.failures,
        row.try_after,
        None if row.pid is None else Started(row.host, row.pid, row.process_started),
        row.started_at,
        row.ended_at,
        row.outcome,
        row.told,
    )

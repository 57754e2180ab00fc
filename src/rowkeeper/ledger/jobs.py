"""Jobs: long work that a server was asked for, and what became of it; each with its audit entry.

The run that a job starts is its own evidence. A job's row says who asked for it, by which key (so that a request that
is sent twice is carried out once), and how it ended, also to whoever asks after the server was started anew.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import psutil
from sqlalchemy import Engine, Row, delete, insert, select, update

from rowkeeper.caller import current_caller
from rowkeeper.errors import RequestRefused
from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schedules import Started
from rowkeeper.ledger.schema import jobs

KEPT = timedelta(days=30)


class JobState(enum.StrEnum):
    """What has become of a job."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"  # its server died; what it did stands in the runs

    @property
    def ended(self) -> bool:
        """Whether nothing more becomes of it."""
        return self not in (JobState.WAITING, JobState.RUNNING)


@dataclasses.dataclass(frozen=True, slots=True)
class JobOrder:
    """What is to be done.

    Attributes:
        work: as permissions have it: `pipeline.run`, `run.rollback`.
        run: that it is done to; None for what is done to a pipeline.
        options: more, by name; JSON values.
    """

    work: str
    pipeline: str
    run: int | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class JobRecord:
    """One job.

    Attributes:
        number: in the order in which they were asked for.
        caller: who asked for it, as the audit trail knows them.
        outcome: the report of what was done, or the error that it ended in; None while it goes on.
    """

    id: str
    number: int
    order: JobOrder
    caller: str
    state: JobState
    requested_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    outcome: Mapping[str, Any] | None


class LedgerJobs:
    """The jobs of an installation."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def add(self, id: str, order: JobOrder, server: Started, *, key: str | None = None) -> tuple[JobRecord, bool]:
        """Takes a job down, for the current caller; and whether it is new.

        Args:
            server: the process that will see to it.
            key: by which the caller asks for it: asked again, it is the same job.

        Raises RequestRefused if the caller asked for something else by that key.
        """
        caller = str(current_caller())
        with writing(self._engine, "job_add") as connection:
            known = None
            if key is not None:
                by_key = select(jobs).where(jobs.c.caller == caller, jobs.c.key == key)
                known = connection.execute(by_key).one_or_none()
            if known is not None:
                record = _record_of(known)
                if record.order != order:
                    raise RequestRefused(
                        "another job was asked for by this idempotency key",
                        hint="send each request with a key of its own, and the same one only to send it again",
                        context={"http_status": 422},
                    )
                return record, False
            values = {"id": id, "caller": caller, "key": key, "state": JobState.WAITING.value}
            asked = {"work": order.work, "pipeline": order.pipeline, "run": order.run, "options": dict(order.options)}
            connection.execute(
                insert(jobs).values(**values, **asked, requested_at=self._clock(), **dataclasses.asdict(server))
            )
            on = {"job": id, "pipeline": order.pipeline} | ({} if order.run is None else {"run": order.run})
            self._audit.write(connection, Event("job.request", on, detail={"work": order.work}))
            return _record_of(connection.execute(select(jobs).where(jobs.c.id == id)).one()), True

    def start(self, id: str) -> None:
        """It is under way."""
        with writing(self._engine, "job_start") as connection:
            begun = {"state": JobState.RUNNING.value, "started_at": self._clock()}
            connection.execute(update(jobs).where(jobs.c.id == id).values(**begun))

    def end(self, id: str, state: JobState, outcome: Mapping[str, Any] | None) -> None:
        """It has ended, in this way."""
        with writing(self._engine, "job_end") as connection:
            ended = {"state": state.value, "ended_at": self._clock(), "outcome": outcome}
            connection.execute(update(jobs).where(jobs.c.id == id).values(**ended))

    def note_cancel(self, id: str) -> None:
        """Notes that somebody wants it to end, before it is told to."""
        self._audit.record(Event("job.cancel", {"job": id}))

    def find(self, id: str) -> JobRecord | None:
        """The job of this id."""
        with reading(self._engine) as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == id)).one_or_none()
        return None if row is None else _record_of(row)

    def newest(self, *, limit: int, before: int | None = None) -> Sequence[JobRecord]:
        """Jobs, the newest first; those before this number only."""
        query = select(jobs).order_by(jobs.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(jobs.c.number < before)
        with reading(self._engine) as connection:
            return [_record_of(row) for row in connection.execute(query)]

    def tidy(self) -> None:
        """Gives up those of servers that died, and forgets those that ended long ago."""
        with writing(self._engine, "job_tidy") as connection:
            going = select(jobs).where(jobs.c.state.in_([JobState.WAITING.value, JobState.RUNNING.value]))
            for row in connection.execute(going).all():
                server = Started(row.host, row.pid, row.process_started)
                if server.host == Started.of(psutil.Process().pid).host and server.process() is None:
                    lost = {"state": JobState.LOST.value, "ended_at": self._clock()}
                    connection.execute(update(jobs).where(jobs.c.id == row.id).values(**lost))
            connection.execute(delete(jobs).where(jobs.c.ended_at < self._clock() - KEPT))


def _record_of(row: Row[tuple[object, ...]]) -> JobRecord:
    return JobRecord(
        id=row.id,
        number=row.number,
        order=JobOrder(row.work, row.pipeline, row.run, row.options),
        caller=row.caller,
        state=JobState(row.state),
        requested_at=row.requested_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=row.outcome,
    )

"""Schedules as the workers keep them: up to where their slots were taken down, and who is answering which now.

Written under the lease `schedule:PIPELINE`, so that of several workers on one ledger one runs a pipeline at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import psutil
from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from rowkeeper.caller import current_caller
from rowkeeper.errors import UnknownSchedule
from rowkeeper.ledger import leases, slots
from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock, host_name
from rowkeeper.ledger.records import Lease
from rowkeeper.ledger.schema import runs, schedules
from rowkeeper.ledger.schema import slots as slots_table
from rowkeeper.ledger.slots import Cause, SlotRecord, SlotState
from rowkeeper.nearest import did_you_mean
from rowkeeper.schedule import Due, Timing, come_due
from rowkeeper.schedule.due import SLOTS_MAX


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
class Paused:
    """That a schedule is paused.

    Attributes:
        by: as the audit trail knows who did it.
    """

    at: datetime
    by: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """One pipeline's schedule.

    Attributes:
        kept_until: the slots of all instants up to this one have been taken down.
        failures: attempts in a row that came to nothing.
        try_after: no attempt before it.
        under_way: the process that answers now, or did when its worker died.
        slot: the number of the slot that it answers, or that was answered last.
        outcome: of the last attempt: a run's status, or `partial`, `failed`, `died`, `hung`, `stopped`.
        told: the last attempt's error, if it failed.
        due: the first slot that is to be answered.
        fresh: of the pipelines that it comes after, those that have published since that made a slot last.
    """

    pipeline: str
    file: str
    timing: Timing
    kept_until: datetime
    failures: int = 0
    try_after: datetime | None = None
    under_way: Started | None = None
    slot: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str = ""
    told: str = ""
    paused: Paused | None = None
    publishes_seen: int = 0
    due: SlotRecord | None = None
    fresh: frozenset[str] = frozenset()

    @property
    def is_under_way(self) -> bool:
        """Whether the process that answers is one of this machine, and lives."""
        return self.under_way is not None and self.under_way.process() is not None

    @property
    def follows_a_publish(self) -> bool:
        """Whether what it comes after has published, so that a slot is to be made."""
        wanted = self.timing.after
        return bool(self.fresh) and (self.timing.join == "any" or len(self.fresh) == len(wanted))


def lease_name(pipeline: str) -> str:
    """The lease under which a pipeline's schedule is answered."""
    return f"schedule:{pipeline}"


class LedgerSchedules:
    """Reads and writes them. Every method raises DatabaseError or IntegrityError."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def all(self) -> list[ScheduleRecord]:
        """Every schedule that a worker was ever given, by pipeline."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(schedules).order_by(schedules.c.pipeline)).all()
            due = _first_due(connection)
            found = [dataclasses.replace(_record_of(row), due=due.get(row.pipeline)) for row in rows]
            published = _last_publishes(connection, found)
            return [dataclasses.replace(each, fresh=_fresh(each, published)) for each in found]

    def find(self, pipeline: str) -> ScheduleRecord:
        """One of them. Raises UnknownSchedule."""
        found = {each.pipeline: each for each in self.all()}
        if pipeline not in found:
            raise _unknown(pipeline, found)
        return found[pipeline]

    def slot(self, number: int) -> SlotRecord | None:
        """A slot by its number; None if it was forgotten."""
        with reading(self._engine) as connection:
            row = connection.execute(select(slots_table).where(slots_table.c.number == number)).one_or_none()
        return None if row is None else slots.slot_of(row)

    def slots(self, pipeline: str, *, limit: int) -> list[SlotRecord]:
        """The newest slots of a pipeline, the newest first."""
        mine = select(slots_table).where(slots_table.c.pipeline == pipeline)
        with reading(self._engine) as connection:
            return [
                slots.slot_of(row)
                for row in connection.execute(mine.order_by(slots_table.c.number.desc()).limit(limit))
            ]

    def unanswered(self, since: Mapping[str, datetime]) -> dict[str, list[SlotRecord]]:
        """By pipeline the slot that nobody has answered or passed over, and that was to be begun first, in a list.

        Slots that somebody has filled afterwards are not among them. A pipeline without any is not in it.

        Args:
            since: by pipeline, the moment after which slots have to end; of others all count.
        """
        with reading(self._engine) as connection:
            return {each.pipeline: [each] for each in slots.unanswered(connection, since)}

    def longest_runs(self, last: int) -> dict[str, timedelta]:
        """By pipeline, how long the longest of its last so many runs took; of those that have a schedule."""
        mine = select(runs.c.seconds).where(runs.c.pipeline == schedules.c.pipeline)
        newest = mine.order_by(runs.c.run.desc()).limit(last).correlate(schedules).subquery()
        longest = select(func.max(newest.c.seconds)).scalar_subquery()
        with reading(self._engine) as connection:
            found = connection.execute(select(schedules.c.pipeline, longest.label("seconds"))).all()
        return {row.pipeline: timedelta(seconds=row.seconds or 0.0) for row in found}

    # ------------------------------------------------------------------ what is declared, and by whom it is paused

    def declare(self, pipeline: str, file: str, timing: Timing) -> None:
        """Takes a schedule down. A new or changed one begins now: it is due at its next instant, and after what is
        published from now on.
        """
        mine = schedules.c.pipeline == pipeline
        with writing(self._engine, "declare_schedule") as connection:
            former = connection.execute(select(schedules).where(mine)).one_or_none()
            now = self._clock()
            given: dict[str, Any] = {"file": file, "schedule": timing.schedule, "timing": timing.as_dict()}
            fresh = {"publishes_seen": _newest_publish(connection), "published_until": now}
            if former is None:
                begun = {"pipeline": pipeline, "kept_until": now, "failures": 0, "outcome": "", "told": ""}
                connection.execute(insert(schedules).values(**begun, **given, **fresh))
                return
            before = _timing_of(former)
            if before.after != timing.after:
                given |= fresh
            if not before.has_instants_of(timing):
                given |= {"kept_until": now, "try_after": None, "failures": 0}
                _give_up(connection, pipeline, now)
            connection.execute(update(schedules).where(mine).values(**given))

    def pause(self, pipeline: str, why: str) -> None:
        """No run is begun for it from now on. Raises UnknownSchedule."""
        paused = {"paused_at": self._clock(), "paused_by": str(current_caller()), "paused_why": why}
        self._change(pipeline, "pause", Event("schedule.pause", {"pipeline": pipeline}, reason=why or None), paused)

    def resume(self, pipeline: str) -> None:
        """It goes on; what was missed meanwhile is caught up with as it declares. Raises UnknownSchedule."""
        gone = {"paused_at": None, "paused_by": None, "paused_why": None}
        self._change(pipeline, "resume", Event("schedule.resume", {"pipeline": pipeline}), gone)

    def _change(self, pipeline: str, step: str, event: Event, values: Mapping[str, Any]) -> None:
        with writing(self._engine, f"{step}_schedule") as connection:
            changed = connection.execute(update(schedules).where(schedules.c.pipeline == pipeline).values(**values))
            if changed.rowcount != 1:
                raise _unknown(pipeline, connection.execute(select(schedules.c.pipeline)).scalars())
            self._audit.write(connection, event)

    # ------------------------------------------------------------------ what a worker does

    def come_due(self, lease: Lease, pipeline: str) -> SlotRecord | None:
        """The first slot that is to be answered; takes down those that have come due if none was left.

        Raises LeaseError if another worker has taken over.
        """
        with writing(self._engine, "come_due") as connection:
            leases.check(connection, lease)
            if (first := slots.first_due(connection, pipeline)) is not None:
                return first
            record = _record_of(connection.execute(select(schedules).where(schedules.c.pipeline == pipeline)).one())
            self._take_down(connection, record, _busy(record))
            self._take_down_publishes(connection, record)
            return slots.first_due(connection, pipeline)

    def begin(self, lease: Lease, pipeline: str, started: Started, slot: int | None = None) -> None:
        """A process answers a slot now; None: it goes on with what died. Raises LeaseError if another worker has taken
        over.
        """
        with writing(self._engine, "begin_schedule") as connection:
            leases.check(connection, lease)
            begun = {"started_at": self._clock(), "slot": slot, **dataclasses.asdict(started)}
            connection.execute(update(schedules).where(schedules.c.pipeline == pipeline).values(**begun))
            if slot is not None:
                tried = {"tries": slots_table.c.tries + 1}
                connection.execute(update(slots_table).where(slots_table.c.number == slot).values(**tried))

    def end(
        self,
        lease: Lease,
        pipeline: str,
        outcome: str,
        *,
        slot: int | None = None,
        state: SlotState = SlotState.DUE,
        told: str = "",
        failures: int = 0,
        try_after: datetime | None = None,
    ) -> None:
        """The attempt is over. Raises LeaseError if another worker has taken over.

        Args:
            slot: that it was to answer.
            state: what becomes of that, as far as no run has answered it; DUE: it is still to be.
        """
        with writing(self._engine, "end_schedule") as connection:
            leases.check(connection, lease)
            now = self._clock()
            mine = schedules.c.pipeline == pipeline
            values = {"outcome": outcome, "told": told, "failures": failures, "try_after": try_after, "ended_at": now}
            gone = {"host": None, "pid": None, "process_started": None}
            connection.execute(update(schedules).where(mine).values(**values, **gone))
            if slot is not None and state is not SlotState.DUE:
                slots.end(connection, slot, state, outcome, told=told, now=now)
            record = _record_of(connection.execute(select(schedules).where(mine)).one())
            if record.timing.overlap == "skip" and not record.timing.follows:
                self._take_down(connection, record, _busy(record))

    def _take_down(
        self, connection: Connection, record: ScheduleRecord, busy: tuple[datetime, datetime] | None
    ) -> None:
        """The slots of the instants that have come since."""
        dues = come_due(record.pipeline, record.timing, record.kept_until, self._clock(), busy=busy)
        if dues:
            by_key = {slots.instant_key(due.until): due for due in dues}
            slots.add(connection, record.pipeline, by_key, Cause.TIME, self._clock())
            kept = update(schedules).where(schedules.c.pipeline == record.pipeline)
            connection.execute(kept.values(kept_until=dues[-1].until))

    def _take_down_publishes(self, connection: Connection, record: ScheduleRecord) -> None:
        """A slot for each publish of what it comes after; one for several that came together, unless all are wanted."""
        if not record.timing.after:
            return
        newer = (runs.c.pipeline.in_(record.timing.after), runs.c.publish_order > record.publishes_seen)
        query = select(runs.c.pipeline, runs.c.publish_order, runs.c.finished_at).where(*newer)
        found = connection.execute(query.order_by(runs.c.publish_order)).all()
        if record.timing.join == "all":
            found = found if {each.pipeline for each in found} == set(record.timing.after) else []
        if record.timing.join == "all" or record.timing.catch_up != "all":
            found = found[-1:]
        now = self._clock()
        row = connection.execute(select(schedules.c.published_until).where(schedules.c.pipeline == record.pipeline))
        since = row.scalar_one() or record.kept_until
        for each in found[:SLOTS_MAX]:
            until = max(each.finished_at, since)  # clocks of several machines
            by_key = {f"publish:{each.publish_order}": Due(since, until, now)}
            slots.add(connection, record.pipeline, by_key, Cause.PUBLISH, now)
            seen = {"publishes_seen": each.publish_order, "published_until": until}
            connection.execute(update(schedules).where(schedules.c.pipeline == record.pipeline).values(**seen))
            since = until


def _busy(record: ScheduleRecord) -> tuple[datetime, datetime] | None:
    """From when to when the last attempt was under way."""
    if record.started_at is None or record.ended_at is None or record.ended_at < record.started_at:
        return None
    return record.started_at - timedelta(microseconds=1), record.ended_at


def _give_up(connection: Connection, pipeline: str, now: datetime) -> None:
    """What is due by a schedule that is no more is passed over."""
    mine = (slots_table.c.pipeline == pipeline, slots_table.c.state == SlotState.DUE.value)
    by_time = slots_table.c.cause == Cause.TIME.value
    gone = {"state": SlotState.SKIPPED.value, "outcome": "skipped", "told": "its schedule was changed", "ended_at": now}
    connection.execute(update(slots_table).where(*mine, by_time).values(**gone))


def _first_due(connection: Connection) -> dict[str, SlotRecord]:
    """By pipeline, the first slot that is to be answered by a worker."""
    due = (slots_table.c.state == SlotState.DUE.value, slots_table.c.cause != Cause.BACKFILL.value)
    first = select(func.min(slots_table.c.number)).where(*due).group_by(slots_table.c.pipeline)
    rows = connection.execute(select(slots_table).where(slots_table.c.number.in_(first)))
    return {row.pipeline: slots.slot_of(row) for row in rows}


def _newest_publish(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(runs.c.publish_order), 0))).scalar_one())


def _last_publishes(connection: Connection, records: Iterable[ScheduleRecord]) -> dict[str, int]:
    """By pipeline, the last publish in the order of all, of those that others come after."""
    seen = [each.publishes_seen for each in records if each.timing.after]
    if not seen:
        return {}
    newest = func.max(runs.c.publish_order)
    newer = select(runs.c.pipeline, newest).where(runs.c.publish_order > min(seen)).group_by(runs.c.pipeline)
    return {str(pipeline): int(order) for pipeline, order in connection.execute(newer)}


def _fresh(record: ScheduleRecord, published: Mapping[str, int]) -> frozenset[str]:
    return frozenset(each for each in record.timing.after if published.get(each, 0) > record.publishes_seen)


def _unknown(pipeline: str, known: Iterable[str]) -> UnknownSchedule:
    otherwise = "rowkeeper worker FILE takes down the schedules of its pipelines; a backfill takes FILE:NAME as well"
    return UnknownSchedule(
        f"no worker was ever given a schedule of {pipeline}", hint=did_you_mean(pipeline, list(known), otherwise)
    )


def _timing_of(row: Row[Any]) -> Timing:
    return Timing(row.schedule) if row.timing is None else Timing.of_document(row.timing)


def _record_of(row: Row[Any]) -> ScheduleRecord:
    return ScheduleRecord(
        row.pipeline,
        row.file,
        _timing_of(row),
        row.kept_until,
        row.failures,
        row.try_after,
        None if row.pid is None else Started(row.host, row.pid, row.process_started),
        row.slot,
        row.started_at,
        row.ended_at,
        row.outcome,
        row.told,
        None if row.paused_at is None else Paused(row.paused_at, row.paused_by, row.paused_why),
        row.publishes_seen,
    )

"""What of slots and alerts nobody needs any more, and its going: nothing that a later decision is made by.

Slots: those that ended long ago. Kept of them are those that failed since the pipeline's last success (by them its
absence is judged), the one that its schedule names, those that a run which is not over answers, and those of instants
that the schedule has yet to come to. Which instants were answered stays known for good (`answered.py`): backfills ask.

Alerts: those that are over for long. Kept are those that somebody acknowledged, as the audit trail names them. Of the
outbox what waits is kept, each route's newest notice of the watchdog (by which the next one is due), and its newest
attempt that failed (which is told with what waits). The newest silence is kept, so that no other gets its number.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, and_, delete, false, func, or_, select

from rowkeeper.ledger import answered
from rowkeeper.ledger.alerts.alerts import last_successes
from rowkeeper.ledger.alerts.outbox import FAILED
from rowkeeper.ledger.alerts.records import Kind
from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.retention import WAITING
from rowkeeper.ledger.schema import alert_deliveries, alert_notices, alert_silences, alerts, runs, schedules, slots
from rowkeeper.ledger.slots import Cause, SlotState

AT_ONCE = 2_000  # rows in one transaction: others wait for it


@dataclasses.dataclass(frozen=True, slots=True)
class Outgrown:
    """How much of alerts can go.

    Attributes:
        alerts: that are over.
        silences: that are over.
        notices: that were delivered, or given up.
        attempts: to deliver them, and tests.
    """

    alerts: int = 0
    silences: int = 0
    notices: int = 0
    attempts: int = 0

    def __bool__(self) -> bool:
        return bool(self.alerts or self.silences or self.notices or self.attempts)


class LedgerPruning:
    """Counts and removes them. Every method raises DatabaseError."""

    def __init__(self, engine: Engine, audit: Trail) -> None:
        self._engine = engine
        self._audit = audit

    # ------------------------------------------------------------------ slots

    def slots(self, before: datetime) -> dict[str, int]:
        """By pipeline, how many slots that ended before then can go."""
        with reading(self._engine) as connection:
            names = connection.execute(select(slots.c.pipeline).distinct().order_by(slots.c.pipeline)).scalars().all()
            counts = {name: _count(connection, slots, _ended_slots(connection, name, before)) for name in names}
        return {name: count for name, count in counts.items() if count}

    def remove_slots(self, pipeline: str, before: datetime) -> None:
        """Removes them, some at a time, each time with an entry of the audit trail in the same transaction."""
        while True:
            with writing(self._engine, "prune_slots") as connection:
                query = select(slots).where(_ended_slots(connection, pipeline, before)).order_by(slots.c.number)
                rows = connection.execute(query.limit(AT_ONCE)).all()
                done = [row for row in rows if row.state == SlotState.DONE.value]
                answered.keep(connection, pipeline, [row.until for row in done if row.cause != Cause.PUBLISH.value])
                connection.execute(delete(slots).where(slots.c.number.in_([row.number for row in rows])))
                if rows:
                    self._note(connection, {"pipeline": pipeline}, "slots", {"slots": len(rows), "done": len(done)})
            if len(rows) < AT_ONCE:
                return

    # ------------------------------------------------------------------ alerts

    def outgrown(self, alerts_before: datetime, notices_before: datetime) -> Outgrown:
        """What can go of alerts and silences that were over before a moment, and of notices that ended before one."""
        ended = _ended_notices(notices_before)
        with reading(self._engine) as connection:
            return Outgrown(
                alerts=_count(connection, alerts, _over_alerts(alerts_before)),
                silences=_count(connection, alert_silences, _over_silences(alerts_before)),
                notices=_count(connection, alert_notices, ended),
                attempts=_count(connection, alert_deliveries, _old_attempts(notices_before, ended)),
            )

    def remove_alerts(self, before: datetime) -> None:
        """Removes alerts and silences that were over before then, with an entry of the audit trail."""
        with writing(self._engine, "prune_alerts") as connection:
            gone = {
                "alerts": _delete(connection, alerts, _over_alerts(before)),
                "silences": _delete(connection, alert_silences, _over_silences(before)),
            }
            self._note(connection, {"place": "alerts"}, "alerts", gone)

    def remove_notices(self, before: datetime) -> None:
        """Removes notices that ended before then and attempts to deliver them, with an entry of the audit trail."""
        with writing(self._engine, "prune_notices") as connection:
            attempts = _delete(connection, alert_deliveries, _old_attempts(before, _ended_notices(before)))
            gone = {"notices": _delete(connection, alert_notices, _ended_notices(before)), "attempts": attempts}
            self._note(connection, {"place": "alerts"}, "notices", gone)

    def _note(self, connection: Connection, on: dict[str, str], what: str, counts: dict[str, int]) -> None:
        if any(counts.values()):
            self._audit.write(connection, Event("history.prune", on, detail={"removed": what, **counts}))


def _ended_slots(connection: Connection, pipeline: str, before: datetime) -> ColumnElement[bool]:
    """Slots of a pipeline that can go."""
    last = last_successes(connection, pipeline).get(pipeline)
    before_it = false() if last is None else slots.c.until <= last.finished_at
    schedule = connection.execute(select(schedules).where(schedules.c.pipeline == pipeline)).one_or_none()
    waiting = select(runs.c.slot).where(runs.c.slot.is_not(None), runs.c.status.in_(WAITING))
    conditions = [
        slots.c.pipeline == pipeline,
        slots.c.state != SlotState.DUE.value,
        slots.c.ended_at < before,
        or_(slots.c.state != SlotState.FAILED.value, slots.c.cause == Cause.BACKFILL.value, before_it),
        slots.c.number.not_in(waiting),
    ]
    if schedule is not None:
        taken_down = or_(slots.c.cause == Cause.PUBLISH.value, slots.c.until <= schedule.kept_until)
        conditions += [taken_down, *([] if schedule.slot is None else [slots.c.number != schedule.slot])]
    return and_(*conditions)


def _over_alerts(before: datetime) -> ColumnElement[bool]:
    return and_(alerts.c.resolved_at < before, alerts.c.acked_at.is_(None))


def _over_silences(before: datetime) -> ColumnElement[bool]:
    over = or_(alert_silences.c.until < before, alert_silences.c.ended_at < before)
    newest = select(func.max(alert_silences.c.number)).scalar_subquery()
    return and_(over, alert_silences.c.number < newest)


def _ended_notices(before: datetime) -> ColumnElement[bool]:
    watchdogs = (
        select(alert_notices.c.route, func.max(alert_notices.c.made_at).label("at"))
        .where(alert_notices.c.kind == Kind.WATCHDOG.value)
        .group_by(alert_notices.c.route)
        .subquery()
    )
    newest = select(watchdogs.c.at).where(watchdogs.c.route == alert_notices.c.route).scalar_subquery()
    is_newest = and_(alert_notices.c.kind == Kind.WATCHDOG.value, alert_notices.c.made_at == newest)
    return and_(alert_notices.c.ended_at < before, ~is_newest)


def _old_attempts(before: datetime, gone: ColumnElement[bool]) -> ColumnElement[bool]:
    """Attempts of notices that go, and of those that are not there."""
    stay = select(alert_notices.c.id).where(or_(alert_notices.c.ended_at.is_(None), ~gone))
    failed = (
        select(func.max(alert_deliveries.c.number))
        .where(alert_deliveries.c.outcome == FAILED)
        .group_by(alert_deliveries.c.route)
    )
    return and_(
        alert_deliveries.c.at < before, alert_deliveries.c.notice.not_in(stay), alert_deliveries.c.number.not_in(failed)
    )


def _count(connection: Connection, table: Table, condition: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one())


def _delete(connection: Connection, table: Table, condition: ColumnElement[Any]) -> int:
    return connection.execute(delete(table).where(condition)).rowcount

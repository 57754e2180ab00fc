"""Alerts in the ledger: one process at a time looks, under a lease, and what it finds is one transaction.

What a person does meanwhile (a silence, an acknowledgement) is a transaction of its own with its audit entry. A look
decides inside its transaction, so that neither is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from rowkeeper.caller import current_caller
from rowkeeper.ledger import leases
from rowkeeper.ledger.alerts.outbox import Outbox, last_watchdogs, put, waiting_groups
from rowkeeper.ledger.alerts.records import Alert, Severity, SilenceRecord, Standing, Step, Success, Told
from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.records import Lease, RunKind, RunStatus
from rowkeeper.ledger.schema import alert_rounds, alert_silences, alerts, runs
from rowkeeper.ledger.schema import ledger as ledger_table

LEASE = "alerts"
LAST = "last"
WELL = (RunStatus.PUBLISHED.value, RunStatus.UNCHANGED.value)


class LedgerAlerts(Outbox):
    """Reads and writes them. Every method raises DatabaseError or IntegrityError."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        super().__init__(engine, clock)
        self._audit = audit

    # ------------------------------------------------------------------ a look

    def step(self, lease: Lease, decide: Callable[[Standing], Step]) -> Step:
        """Lets somebody decide by what stands, and writes down what they decided, in one transaction.

        Raises LeaseLost if another process looks now.
        """
        with writing(self._engine, "alert_look") as connection:
            leases.check(connection, lease)
            before = _standing(connection)
            step = decide(before)
            _write(connection, before, step)
            for notice in step.notices:
                put(connection, notice)
            connection.execute(delete(alert_rounds))
            round_ = {"looked_at": step.looked_at, "unseen": dict(step.unseen)}
            connection.execute(insert(alert_rounds).values(name=LAST, **round_))
            return step

    def last_look(self) -> tuple[datetime, Mapping[str, str]] | None:
        """When somebody looked last, and which rules could not be looked at; None if nobody ever did."""
        with reading(self._engine) as connection:
            row = connection.execute(select(alert_rounds)).one_or_none()
        return None if row is None else (row.looked_at, row.unseen)

    def founded_at(self) -> datetime:
        """When this ledger was made: before that nothing can have succeeded."""
        with reading(self._engine) as connection:
            found: datetime = connection.execute(select(ledger_table.c.created_at)).scalar_one()
            return found

    def last_successes(self) -> dict[str, Success]:
        """By pipeline, its newest load that was published or found nothing new, and was not taken back."""
        with reading(self._engine) as connection:
            return last_successes(connection)

    # ------------------------------------------------------------------ what stands

    def open(self) -> list[Alert]:
        """Those that are not over, the oldest first."""
        with reading(self._engine) as connection:
            return _open(connection)

    def over(self, *, limit: int) -> list[Alert]:
        """Those that are over, the newest first."""
        query = (
            select(alerts).where(alerts.c.resolved_at.is_not(None)).order_by(alerts.c.resolved_at.desc()).limit(limit)
        )
        with reading(self._engine) as connection:
            return [_alert_of(row) for row in connection.execute(query)]

    def find(self, id: str) -> list[Alert]:
        """The alert of this id, or those whose ids begin so: two of them, where there are more."""
        query = select(alerts).where(alerts.c.id.startswith(id, autoescape=True)).limit(2)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [_alert_of(row) for row in rows]

    def silences(self, now: datetime) -> list[SilenceRecord]:
        """Those that hold."""
        with reading(self._engine) as connection:
            return _silences(connection, now)

    # ------------------------------------------------------------------ what people do

    def acknowledge(self, id: str, note: str) -> bool:
        """Somebody sees to an alert. False if it is over."""
        caller = str(current_caller())
        with writing(self._engine, "alert_ack") as connection:
            mine = (alerts.c.id == id) & alerts.c.resolved_at.is_(None)
            acked = {"acked_at": self._clock(), "acked_by": caller, "acked_note": note}
            if not connection.execute(update(alerts).where(mine).values(**acked)).rowcount:
                return False
            rule = connection.execute(select(alerts.c.rule).where(alerts.c.id == id)).scalar_one()
            self._audit.write(connection, Event("alert.ack", {"alert": id, "rule": rule}, reason=note or None))
            return True

    def silence(self, matchers: tuple[str, ...], until: datetime, reason: str) -> SilenceRecord:
        """Somebody does not want to be told."""
        caller, now = str(current_caller()), self._clock()
        values = {"matchers": list(matchers), "reason": reason, "who": caller, "made_at": now, "until": until}
        with writing(self._engine, "alert_silence") as connection:
            (number,) = connection.execute(insert(alert_silences).values(**values)).inserted_primary_key or (0,)
            detail = {"match": list(matchers), "until": until.isoformat()}
            self._audit.write(connection, Event("alert.silence", {"silence": number}, detail=detail, reason=reason))
        return SilenceRecord(int(number), matchers, reason, caller, now, until)

    def unsilence(self, number: int) -> bool:
        """Takes a silence back. False if there is none that holds."""
        now = self._clock()
        holds = (
            (alert_silences.c.number == number) & alert_silences.c.ended_at.is_(None) & (alert_silences.c.until > now)
        )
        with writing(self._engine, "alert_unsilence") as connection:
            if not connection.execute(update(alert_silences).where(holds).values(ended_at=now)).rowcount:
                return False
            self._audit.write(connection, Event("alert.unsilence", {"silence": number}))
            return True

    def note_tests(self, routes: tuple[str, ...]) -> None:
        """Notes that somebody is about to send test notices."""
        self._audit.record(Event("alert.test", {"routes": list(routes)}))


def last_successes(connection: Connection, pipeline: str | None = None) -> dict[str, Success]:
    """By pipeline, its newest load that was published or found nothing new, and was not taken back.

    Args:
        pipeline: only of this one.
    """
    newest = select(func.max(runs.c.run)).where(runs.c.kind == RunKind.LOAD.value, runs.c.status.in_(WELL))
    if pipeline is not None:
        newest = newest.where(runs.c.pipeline == pipeline)
    found = connection.execute(select(runs).where(runs.c.run.in_(newest.group_by(runs.c.pipeline))))
    return {row.pipeline: Success(row.run, row.started_at, row.finished_at or row.started_at) for row in found}


def _standing(connection: Connection) -> Standing:
    return Standing(
        tuple(_open(connection)),
        tuple(_silences(connection, None)),
        waiting_groups(connection),
        last_watchdogs(connection),
    )


def _open(connection: Connection) -> list[Alert]:
    query = select(alerts).where(alerts.c.resolved_at.is_(None)).order_by(alerts.c.since, alerts.c.id)
    return [_alert_of(row) for row in connection.execute(query)]


def _silences(connection: Connection, now: datetime | None) -> list[SilenceRecord]:
    query = select(alert_silences).where(alert_silences.c.ended_at.is_(None)).order_by(alert_silences.c.number)
    if now is not None:
        query = query.where(alert_silences.c.until > now)
    return [
        SilenceRecord(row.number, tuple(row.matchers), row.reason, row.who, row.made_at, row.until, row.ended_at)
        for row in connection.execute(query)
    ]


def _write(connection: Connection, before: Standing, step: Step) -> None:
    """Puts what changed; who acknowledged what is not a look's to say."""
    known = {each.id: each for each in before.alerts}
    kept = {each.id for each in step.alerts}
    gone = [id for id in known if id not in kept]  # pending, and found no more
    if gone:
        connection.execute(delete(alerts).where(alerts.c.id.in_(gone)))
    for alert in step.alerts:
        values = _values(alert)
        if alert.id not in known:
            connection.execute(insert(alerts).values(id=alert.id, acked_by="", acked_note="", **values))
        elif alert != known[alert.id]:
            connection.execute(update(alerts).where(alerts.c.id == alert.id).values(**values))


def _values(alert: Alert) -> dict[str, Any]:
    told = {
        name: {"first_at": each.first_at.isoformat(), "last_at": each.last_at.isoformat()}
        for name, each in alert.routes.items()
    }
    names = ("rule", "subject", "told", "mend", "since", "fired_at", "lost_at", "resolved_at", "silenced_by")
    plain = {name: getattr(alert, name) for name in names}
    return {**plain, "severity": alert.severity.value, "labels": dict(alert.labels), "routes": told}


def _alert_of(row: Row[tuple[object, ...]]) -> Alert:
    told: Mapping[str, Mapping[str, str]] = row.routes
    return Alert(
        id=row.id,
        rule=row.rule,
        subject=row.subject,
        severity=Severity(row.severity),
        labels=row.labels,
        told=row.told,
        mend=row.mend,
        since=row.since,
        fired_at=row.fired_at,
        lost_at=row.lost_at,
        resolved_at=row.resolved_at,
        acked_at=row.acked_at,
        acked_by=row.acked_by,
        acked_note=row.acked_note,
        silenced_by=row.silenced_by,
        routes={
            name: Told(datetime.fromisoformat(each["first_at"]), datetime.fromisoformat(each["last_at"]))
            for name, each in told.items()
        },
    )

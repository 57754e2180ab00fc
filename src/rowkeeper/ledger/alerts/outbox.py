"""The outbox: notices that were decided upon, until they are delivered, and the record of each attempt.

A notice is put in with the state of the alerts that it tells of, in one transaction. A route's notices are delivered in
their order: nobody hears that something is over before they hear that it began.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from rowkeeper.ledger import leases
from rowkeeper.ledger.alerts.records import Delivery, Kind, Notice, Waiting
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.records import Lease
from rowkeeper.ledger.schema import alert_deliveries, alert_notices

DELIVERED, FAILED, GIVEN_UP = "delivered", "failed", "given up"


class Outbox:
    """Reads and writes it. Every method raises DatabaseError or IntegrityError."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def due(self, now: datetime) -> list[Waiting]:
        """Of each route the first notice that waits, if it is to be tried now."""
        firsts = (
            select(func.min(alert_notices.c.number))
            .where(alert_notices.c.ended_at.is_(None))
            .group_by(alert_notices.c.route)
        )
        query = select(alert_notices).where(alert_notices.c.number.in_(firsts)).order_by(alert_notices.c.number)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [Waiting(_notice_of(row), row.attempts) for row in rows if row.try_after is None or row.try_after <= now]

    def is_due(self, now: datetime) -> bool:
        """Whether there is anything to deliver now."""
        return bool(self.due(now))

    def delivered(self, lease: Lease, waiting: Waiting, seconds: float) -> None:
        """It was taken. Raises LeaseLost if another process delivers now."""
        self._attempted(lease, waiting, Delivery("", "", self._clock(), seconds, DELIVERED, ""), None, DELIVERED)

    def failed(self, lease: Lease, waiting: Waiting, told: str, seconds: float, again_at: datetime | None) -> None:
        """It was not taken. Raises LeaseLost if another process delivers now.

        Args:
            again_at: when it is tried again; None gives it up.
        """
        outcome = GIVEN_UP if again_at is None else ""
        self._attempted(lease, waiting, Delivery("", "", self._clock(), seconds, FAILED, told), again_at, outcome)

    def _attempted(
        self, lease: Lease, waiting: Waiting, attempt: Delivery, again_at: datetime | None, outcome: str
    ) -> None:
        notice = waiting.notice
        with writing(self._engine, f"alert_{attempt.outcome}") as connection:
            leases.check(connection, lease)
            values = {
                "attempts": waiting.attempts + (attempt.outcome == FAILED),
                "try_after": again_at,
                "ended_at": attempt.at if outcome else None,
                "outcome": outcome,
            }
            connection.execute(update(alert_notices).where(alert_notices.c.id == notice.id).values(**values))
            self._note(connection, notice, attempt)

    @staticmethod
    def _note(connection: Connection, notice: Notice, attempt: Delivery) -> None:
        of_it = {"notice": notice.id, "route": notice.route}
        how = {"at": attempt.at, "seconds": attempt.seconds, "outcome": attempt.outcome, "told": attempt.told}
        connection.execute(insert(alert_deliveries).values(**of_it, **how))

    def note_test(self, notice: Notice, seconds: float, told: str) -> None:
        """Records an attempt of a notice that never was in the outbox; `told` is empty if it was taken."""
        with writing(self._engine, "alert_test") as connection:
            self._note(
                connection, notice, Delivery("", "", self._clock(), seconds, FAILED if told else DELIVERED, told)
            )

    def backlog(self) -> list[tuple[str, datetime, int, str]]:
        """By route: since when notices wait that failed already, how many wait, and why the last attempt failed."""
        waits = alert_notices.c.ended_at.is_(None)
        query = (
            select(
                alert_notices.c.route,
                func.min(alert_notices.c.made_at),
                func.count(),
                func.max(alert_notices.c.attempts),
            )
            .where(waits)
            .group_by(alert_notices.c.route)
            .order_by(alert_notices.c.route)
        )
        with reading(self._engine) as connection:
            found = [(route, since, count) for route, since, count, attempts in connection.execute(query) if attempts]
            return [(route, since, count, self._last_told(connection, route)) for route, since, count in found]

    @staticmethod
    def _last_told(connection: Connection, route: str) -> str:
        mine = (alert_deliveries.c.route == route) & (alert_deliveries.c.outcome == FAILED)
        query = select(alert_deliveries.c.told).where(mine).order_by(alert_deliveries.c.number.desc()).limit(1)
        return str(connection.execute(query).scalar_one_or_none() or "")

    def attempts(self, *, limit: int, route: str | None = None) -> list[Delivery]:
        """Attempts to deliver, the newest first."""
        query = select(alert_deliveries).order_by(alert_deliveries.c.number.desc()).limit(limit)
        if route is not None:
            query = query.where(alert_deliveries.c.route == route)
        with reading(self._engine) as connection:
            return [
                Delivery(row.notice, row.route, row.at, row.seconds, row.outcome, row.told)
                for row in connection.execute(query)
            ]


def put(connection: Connection, notice: Notice) -> None:
    """Puts a notice in, inside a transaction that is open. A watchdog's takes the place of one that still waits."""
    values = {
        "id": notice.id,
        "route": notice.route,
        "kind": notice.kind.value,
        "alert_group": dict(notice.group),
        "alerts": [dict(each) for each in notice.alerts],
        "made_at": notice.made_at,
    }
    if notice.kind is Kind.WATCHDOG:
        waits = (alert_notices.c.route == notice.route) & (alert_notices.c.kind == Kind.WATCHDOG.value)
        waits &= alert_notices.c.ended_at.is_(None)
        renewed = connection.execute(update(alert_notices).where(waits).values(**values))
        if renewed.rowcount:
            return
    connection.execute(insert(alert_notices).values(**values, attempts=0, outcome=""))


def waiting_groups(connection: Connection) -> frozenset[tuple[str, str]]:
    """Route and group of what waits."""
    rows = connection.execute(select(alert_notices).where(alert_notices.c.ended_at.is_(None)))
    return frozenset((row.route, _notice_of(row).group_key) for row in rows)


def last_watchdogs(connection: Connection) -> dict[str, datetime]:
    """By route, when the watchdog's last notice was made."""
    query = (
        select(alert_notices.c.route, func.max(alert_notices.c.made_at).label("at"))
        .where(alert_notices.c.kind == Kind.WATCHDOG.value)
        .group_by(alert_notices.c.route)
    )
    return {row.route: row.at for row in connection.execute(query)}


def _notice_of(row: Row[tuple[object, ...]]) -> Notice:
    return Notice(row.id, row.route, Kind(row.kind), row.alert_group, tuple(row.alerts), row.made_at)

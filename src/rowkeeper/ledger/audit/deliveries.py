"""What has been brought elsewhere of the audit trail: for each place the newest checkpoint it has, and what went wrong.

This is the outbox. What has to be brought is always the head of the trail, so that it needs no list of its own.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, delete, insert, select

from rowkeeper.ledger.audit.tiles import tree
from rowkeeper.ledger.audit.trail import Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import audit_deliveries

PAUSE_SECONDS_MIN = 5.0
PAUSE_SECONDS_MAX = 900.0


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """What one place has.

    Attributes:
        size: entries of the newest checkpoint that it has; 0 if it has none.
        note: that checkpoint, signed; by a witness also cosigned.
        delivered_at: when it got it.
        failures: in a row, since then.
        try_after: before then it is left alone; None if nothing went wrong.
        told: what went wrong last.
    """

    size: int = 0
    note: str = ""
    delivered_at: datetime | None = None
    failures: int = 0
    try_after: datetime | None = None
    told: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Growth:
    """The trail as it is now, and the proof that an older state is the beginning of it.

    Attributes:
        size: entries.
        note: the signed checkpoint.
        proof: from the older size; none if that is 0, this size, or larger.
    """

    size: int
    note: str
    proof: tuple[bytes, ...]


def growth(trail: Trail, old_size: int) -> Growth:
    """The trail since it had so many entries. Raises AuditBroken rather than give out a head that is not sound."""
    with reading(trail.engine) as connection:
        size, note = trail.sound_head(connection)
        proof = tree(connection, size).consistency(old_size) if 0 < old_size < size else ()
        return Growth(size, note, tuple(proof))


class Deliveries:
    """What each place has, in the ledger."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def of(self, place: str) -> Delivery:
        """What this place has."""
        with reading(self._engine) as connection:
            return _of(connection, place)

    def is_due(self, place: str, size: int) -> bool:
        """Whether a place has fewer entries than these, and is not left alone now."""
        found = self.of(place)
        return found.size < size and (found.try_after is None or found.try_after <= self._clock())

    def delivered(self, place: str, size: int, note: str) -> None:
        """Notes that a place has a checkpoint; another process may have brought it a newer one meanwhile."""
        with writing(self._engine, "audit_delivered") as connection:
            before = _of(connection, place)
            if before.size <= size:
                _put(connection, place, Delivery(size, note, self._clock()))

    def failed(self, place: str, told: str) -> None:
        """Notes that a place could not be reached, or refused; it is left alone for longer and longer."""
        with writing(self._engine, "audit_not_delivered") as connection:
            before = _of(connection, place)
            pause = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN * 2**before.failures)
            after = self._clock() + timedelta(seconds=pause)
            failed = dataclasses.replace(before, failures=before.failures + 1, try_after=after, told=told)
            _put(connection, place, failed)


def _of(connection: Connection, place: str) -> Delivery:
    row = connection.execute(select(audit_deliveries).where(audit_deliveries.c.place == place)).one_or_none()
    if row is None:
        return Delivery()
    return Delivery(row.size, row.note, row.delivered_at, row.failures, row.try_after, row.told)


def _put(connection: Connection, place: str, delivery: Delivery) -> None:
    connection.execute(delete(audit_deliveries).where(audit_deliveries.c.place == place))
    connection.execute(insert(audit_deliveries).values(place=place, **dataclasses.asdict(delivery)))

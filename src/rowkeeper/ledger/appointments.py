"""What the installation does at times of its own (maintenance, backups, drills): which time was kept last, and how.

Whoever keeps an appointment holds its lease from before it looks whether it is due until after it has noted how it
ended. So it is kept once, however many workers there are and whichever of them die.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime

from sqlalchemy import Engine, Select, func, insert, select, update

from rowkeeper.ledger import leases
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.records import Lease
from rowkeeper.ledger.schema import appointments, runs


@dataclasses.dataclass(frozen=True, slots=True)
class Appointment:
    """How one stands.

    Attributes:
        kept_at: when the last attempt was begun that came to a good end, whoever asked for it; None: none did yet.
        kept_until: every time of its schedule up to this one was kept.
        failures: attempts in a row that came to nothing.
        try_after: no attempt before it.
        outcome: of the last attempt: `done`, `failed`; empty before the first.
        told: the last attempt's error, if it failed.
        publish_order: of the newest publish when it was kept last.
    """

    name: str
    kept_until: datetime
    failures: int = 0
    try_after: datetime | None = None
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str = ""
    told: str = ""
    publish_order: int = 0
    kept_at: datetime | None = None


def appointment_lease(name: str) -> str:
    """The lease under which an appointment is kept."""
    return f"appointment:{name}"


class LedgerAppointments:
    """Reads and writes them. Every method raises DatabaseError."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def of(self, name: str) -> Appointment:
        """One of them. The first time that it is asked for it begins now: it is due at its next time."""
        with reading(self._engine) as connection:
            row = connection.execute(select(appointments).where(appointments.c.name == name)).one_or_none()
        if row is not None:
            return Appointment(**row._mapping)
        with writing(self._engine, "make_appointment") as connection:
            if connection.execute(select(appointments).where(appointments.c.name == name)).one_or_none() is None:
                order = connection.execute(_newest_publish()).scalar_one()
                begun = {"name": name, "kept_until": self._clock(), "failures": 0, "outcome": "", "told": ""}
                connection.execute(insert(appointments).values(**begun, publish_order=order))
        return self.of(name)

    def find(self, name: str) -> Appointment | None:
        """One of them, if it was ever made."""
        with reading(self._engine) as connection:
            row = connection.execute(select(appointments).where(appointments.c.name == name)).one_or_none()
        return None if row is None else Appointment(**row._mapping)

    def publishes_since(self, order: int) -> int:
        """How many runs were published after the one of this place in the order."""
        with reading(self._engine) as connection:
            return connection.execute(select(func.count()).where(runs.c.publish_order > order)).scalar_one()

    def begin(self, lease: Lease, name: str) -> Appointment:
        """An attempt begins. Raises LeaseError if somebody else has taken over."""
        self._note(lease, "begin_appointment", name, begun_at=self._clock())
        return self.of(name)

    def newest_publish(self) -> int:
        """The place in the order of the run that was published last; 0 if none was."""
        with reading(self._engine) as connection:
            return int(connection.execute(_newest_publish()).scalar_one())

    def end(
        self,
        lease: Lease,
        name: str,
        outcome: str,
        *,
        told: str = "",
        kept_until: datetime | None = None,
        publish_order: int | None = None,
        failures: int = 0,
        try_after: datetime | None = None,
    ) -> None:
        """The attempt is over. Raises LeaseError if somebody else has taken over.

        Args:
            kept_until, publish_order: when it began, and what was published by then; None: it is still due.
        """
        values = {"outcome": outcome, "told": told, "failures": failures, "try_after": try_after}
        kept = {"kept_until": kept_until, "kept_at": kept_until, "publish_order": publish_order}
        values |= {name: value for name, value in kept.items() if value is not None}
        self._note(lease, "end_appointment", name, ended_at=self._clock(), **values)

    def _note(self, lease: Lease, step: str, name: str, **values: object) -> None:
        with writing(self._engine, step) as connection:
            leases.check(connection, lease)
            connection.execute(update(appointments).where(appointments.c.name == name).values(**values))


def _newest_publish() -> Select[int]:
    return select(func.coalesce(func.max(runs.c.publish_order), 0))

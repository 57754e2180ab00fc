"""Slots that somebody has filled afterwards: taken down, answered in order, gone on with by the next who asks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, select, update

from rowkeeper.ledger import leases
from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.records import Lease
from rowkeeper.ledger.schema import slots as table
from rowkeeper.ledger.slots import Cause, SlotRecord, SlotState, add, end, instant_key, slot_of
from rowkeeper.schedule import Due

AGAIN = (SlotState.FAILED.value, SlotState.SKIPPED.value)


def backfill_lease(pipeline: str) -> str:
    """The lease under which slots of a pipeline are filled; no pipeline's name has a colon."""
    return f"schedule:{pipeline}:backfill"


class LedgerBackfills:
    """Reads and writes them. Every method raises DatabaseError or IntegrityError; those with a lease LeaseError."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def ask(self, lease: Lease, pipeline: str, dues: Sequence[Due]) -> list[SlotRecord]:
        """Takes down what is to be filled, and gives the slots of this range, in order, as they stand now.

        What failed or was passed over is to be answered again; what was answered stays so. Those that were answered and
        are no longer kept are not among what is given.
        """
        with writing(self._engine, "ask_backfill") as connection:
            leases.check(connection, lease)
            before = {each.until: each for each in self._found(connection, pipeline, dues)}
            add(connection, pipeline, {instant_key(each.until): each for each in dues}, Cause.BACKFILL, self._clock())
            for due in dues:
                known = before.get(due.until)
                if known is not None and known.state.value in AGAIN:
                    again = {"state": SlotState.DUE.value, "cause": Cause.BACKFILL.value, "ended_at": None, "told": ""}
                    interval = {"since": due.since, "not_before": due.not_before}
                    mine = table.c.number == known.number
                    connection.execute(update(table).where(mine).values(**again, **interval, outcome=""))
            spans = {"since": dues[0].since.isoformat(), "until": dues[-1].until.isoformat()}
            self._audit.write(
                connection, Event("schedule.backfill", {"pipeline": pipeline}, detail={**spans, "slots": len(dues)})
            )
            return self._found(connection, pipeline, dues)

    def _found(self, connection: Connection, pipeline: str, dues: Sequence[Due]) -> list[SlotRecord]:
        wanted = {instant_key(each.until) for each in dues}
        within = table.c.until.between(dues[0].until, dues[-1].until)
        rows = connection.execute(select(table).where(table.c.pipeline == pipeline, within).order_by(table.c.until))
        return [slot_of(row) for row in rows if row.key in wanted]

    def begin(self, lease: Lease, number: int) -> None:
        """A run is begun for it."""
        with writing(self._engine, "begin_backfill") as connection:
            leases.check(connection, lease)
            connection.execute(update(table).where(table.c.number == number).values(tries=table.c.tries + 1))

    def end(self, lease: Lease, number: int, state: SlotState, outcome: str, told: str) -> None:
        """It is over, as far as no run has answered it."""
        with writing(self._engine, "end_backfill") as connection:
            leases.check(connection, lease)
            end(connection, number, state, outcome, told=told, now=self._clock())

    def slot(self, number: int) -> SlotRecord:
        """One slot as it stands."""
        with reading(self._engine) as connection:
            return slot_of(connection.execute(select(table).where(table.c.number == number)).one())

    def waiting(self, pipeline: str) -> datetime | None:
        """Up to when slots of a pipeline are to be filled that nobody has filled; None if there are none."""
        mine = (table.c.state == SlotState.DUE.value, table.c.pipeline == pipeline)
        last = select(table.c.until).where(*mine, table.c.cause == Cause.BACKFILL.value).order_by(table.c.until.desc())
        with reading(self._engine) as connection:
            return connection.execute(last.limit(1)).scalar_one_or_none()

"""Drills: backups that were restored into an empty place, to see whether that can be done, and what came of it."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from sqlalchemy import Engine, Row, insert, select

from rowkeeper.ledger.audit import Event, Outcome, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import drills


@dataclasses.dataclass(frozen=True, slots=True)
class DrillRecord:
    """One drill.

    Attributes:
        backup: its id.
        run: that it went back to; 0 is before the first.
        tables, rows, files: that were looked at: tables, their rows, sealed files that were opened.
        sound: all of it was as the books say.
        told: what was not, in a sentence.
    """

    backup: str
    run: int
    started_at: datetime
    seconds: float
    tables: int
    rows: int
    files: int
    sound: bool
    told: str = ""


class LedgerDrills:
    """Reads and writes them. Its methods raise DatabaseError."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._audit = audit
        self.clock = clock

    def note(self, drill: DrillRecord) -> None:
        """Takes down one that has ended, with its audit entry."""
        with writing(self._engine, "note_drill") as connection:
            connection.execute(insert(drills).values(**dataclasses.asdict(drill)))
            outcome = Outcome.DONE if drill.sound else Outcome.FAILED
            on = {"backup": drill.backup, "run": drill.run}
            figures = {"tables": drill.tables, "rows": drill.rows, "files": drill.files}
            self._audit.write(connection, Event("backup.drill", on, outcome=outcome, detail=figures))

    def newest(self, *, sound: bool | None = None) -> DrillRecord | None:
        """The last one; or the last one that was sound, or was not."""
        query = select(drills).order_by(drills.c.number.desc()).limit(1)
        if sound is not None:
            query = query.where(drills.c.sound.is_(sound))
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _record_of(row)


def _record_of(row: Row[tuple[object, ...]]) -> DrillRecord:
    return DrillRecord(
        row.backup,
        row.run,
        row.started_at,
        row.seconds,
        row.tables,
        row.rows,
        row.files,
        row.sound,
        row.told,
    )

"""Health as it was found last: since when each thing is in its state, and how it was before."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, insert, select

from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.schema import health_changes, health_figures, health_states

KEPT = timedelta(days=90)


@dataclasses.dataclass(frozen=True, slots=True)
class HealthState:
    """How one thing was found.

    Attributes:
        name, subject: as its check has them.
        part: of health, that said it.
        told: when the state began.
    """

    name: str
    subject: str
    part: str
    state: str
    told: str
    since: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class HealthChange:
    """From when on one thing was in a state; None as state: it was no more."""

    name: str
    subject: str
    state: str | None
    told: str
    at: datetime


class LedgerHealth:
    """Reads and writes them. Every method raises DatabaseError or IntegrityError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def states(self) -> list[HealthState]:
        """How everything was found that is still looked at."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(health_states).order_by(health_states.c.name, health_states.c.subject))
            return [HealthState(row.name, row.subject, row.part, row.state, row.told, row.since) for row in rows]

    def note(self, changed: Sequence[HealthState], gone: Sequence[HealthState], at: datetime) -> None:
        """States that began, and things that are no more; what is older than 90 days is forgotten."""
        with writing(self._engine, "health") as connection:
            for each in (*changed, *gone):
                mine = (health_states.c.name == each.name) & (health_states.c.subject == each.subject)
                connection.execute(delete(health_states).where(mine))
            began = [dataclasses.asdict(each) for each in changed]
            ended = [{"name": each.name, "subject": each.subject, "state": None, "told": ""} for each in gone]
            if began:
                connection.execute(insert(health_states), began)
            turns = [{name: each[name] for name in ("name", "subject", "state", "told")} for each in began] + ended
            connection.execute(insert(health_changes), [{**each, "at": at} for each in turns])
            connection.execute(delete(health_changes).where(health_changes.c.at < at - KEPT))

    def changes(self, name: str, subject: str) -> list[HealthChange]:
        """How one thing was, the newest first."""
        query = (
            select(health_changes)
            .where(health_changes.c.name == name, health_changes.c.subject == subject)
            .order_by(health_changes.c.id.desc())
        )
        with reading(self._engine) as connection:
            return [
                HealthChange(row.name, row.subject, row.state, row.told, row.at) for row in connection.execute(query)
            ]

    def figures(self, name: str, subject: str, limit: int) -> list[tuple[datetime, float]]:
        """A figure as it was noted the last times, in the order of noting."""
        mine = (health_figures.c.name == name) & (health_figures.c.subject == subject)
        query = select(health_figures.c.at, health_figures.c.value).where(mine).order_by(health_figures.c.id.desc())
        with reading(self._engine) as connection:
            return [(at, value) for at, value in connection.execute(query.limit(limit))][::-1]

    def note_figure(self, name: str, subject: str, at: datetime, value: float) -> None:
        """Keeps a figure, and forgets those of its name that are older than 90 days."""
        mine = (health_figures.c.name == name) & (health_figures.c.at < at - KEPT)
        with writing(self._engine, "health_figure") as connection:
            connection.execute(insert(health_figures).values(name=name, subject=subject, at=at, value=value))
            connection.execute(delete(health_figures).where(mine))

"""What was published to a table, in the order of its publishes, and what the books held after each."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from sqlalchemy import Engine, select

from rowkeeper.batch import Fingerprint
from rowkeeper.ledger.database import reading
from rowkeeper.ledger.reading import books
from rowkeeper.ledger.records import RunKind
from rowkeeper.ledger.schema import postings, runs


@dataclasses.dataclass(frozen=True, slots=True)
class Published:
    """A run that was published, also one that was taken back later.

    Attributes:
        order: its place in the order of all publishes of this ledger.
        removes: it took rows of earlier runs out of the table, or out of the books.
        after: the fingerprint of the whole table as it left it.
    """

    run: int
    target: str
    kind: RunKind
    order: int
    at: datetime | None
    removes: bool
    after: Fingerprint


class History:
    """Reads publishes out of the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def published(self, target: str) -> list[Published]:
        """The publishes of a table, oldest first."""
        query = (
            select(runs.c.run, runs.c.kind, runs.c.publish_order, runs.c.finished_at)
            .where(runs.c.target == target, runs.c.publish_order.is_not(None))
            .order_by(runs.c.publish_order)
        )
        changes = (
            select(postings.c.run, postings.c.about_run, postings.c.change)
            .join(runs, runs.c.run == postings.c.run)
            .where(runs.c.target == target, runs.c.publish_order.is_not(None))
        )
        found, removing = dict[int, Fingerprint](), set[int]()
        with reading(self._engine) as connection:
            for run, about, change in connection.execute(changes):
                found[run] = found.get(run, Fingerprint()) + change
                if about != run:
                    removing.add(run)
            rows = connection.execute(query).all()
        listed, after = [], Fingerprint()
        for row in rows:
            after += found.get(row.run, Fingerprint())
            kind = RunKind(row.kind)
            removes = row.run in removing or kind in (RunKind.ROLLBACK, RunKind.RESTORE)
            listed.append(Published(row.run, target, kind, row.publish_order, row.finished_at, removes, after))
        return listed

    def balance_after(self, target: str, order: int) -> dict[int, Fingerprint]:
        """What the books held after a publish, by the run that brought it; runs with nothing left are absent."""
        with reading(self._engine) as connection:
            return books(connection, target, runs.c.publish_order <= order)

    def at(self, order: int) -> int | None:
        """The run at a place in the order of all publishes; None if there is none."""
        with reading(self._engine) as connection:
            return connection.execute(select(runs.c.run).where(runs.c.publish_order == order)).scalar_one_or_none()

    def newest(self) -> tuple[int | None, int]:
        """The run that was published last, of all tables, and its place in the order; (None, 0) before the first."""
        query = (
            select(runs.c.run, runs.c.publish_order)
            .where(runs.c.publish_order.is_not(None))
            .order_by(runs.c.publish_order.desc())
            .limit(1)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return (None, 0) if row is None else (int(row.run), int(row.publish_order))

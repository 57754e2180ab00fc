"""What a restore does to the books: what came after its point is undone, by an entry for each table, and nothing is
forgotten.

The ledger that is restored is the newest there is. Its tables' states are found in their history: runs in the order in
which they were published, of which a rollback takes one back, and a restore all that came after its own point. In one
transaction, for each table that stood otherwise at the point:

    1. runs that were in force then count as published again, all later ones as taken back
    2. a run of the kind `restore`, published last, posts the difference: the books agree with the table of then
    3. what was staged and not published is given up; the staging areas are gone

and, once: every lease is ended and its token leaps ahead, so that no process of before can write under one that it was
given; the audit trail goes on with an entry for each table, and one for the whole.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, text, update

from rowkeeper.batch import Fingerprint
from rowkeeper.ledger import leases
from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.entries import published_detail, set_run
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.reading import UNFINISHED, one_run
from rowkeeper.ledger.records import RunKind, RunRecord, RunStatus
from rowkeeper.ledger.schema import jobs, postings, runs, schedules, schema_versions, sessions
from rowkeeper.ledger.schema import leases as leases_table

TOKENS_SKIPPED = 1_000_000  # more than were ever given out between a backup and a loss
RUNS_SKIPPED = 1_000
SKIP_RUNS = text("UPDATE sqlite_sequence SET seq = :number WHERE name = 'runs'")
GIVEN_UP = {
    "type": "restored",
    "what": "a backup was restored before it was published",
    "hint": "run the pipeline again",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """A moment of the past, between two publishes.

    Attributes:
        order: of the last publish that is part of it; 0 is before the first.
        run: that was published then.
    """

    order: int
    run: int
    published_at: datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class TableThen:
    """What the books say of one table at a point.

    Attributes:
        run: which its commit record named then; None where there was no table.
        order: of that run's publish; 0 where there was no table.
        books: what it held, by the run that brought it.
        columns: of its contract.
        destination: what rebuilds its declaration, as it is known now.
        changed: it was published to since.
        alike: runs after which it was the same: `run`, and, if that is itself a restore, what it went back to.
    """

    target: str
    pipeline: str
    run: int | None
    order: int
    books: Mapping[int, Fingerprint]
    columns: tuple[tuple[str, str], ...] | None
    destination: Mapping[str, Any]
    changed: bool
    alike: tuple[int, ...] = ()

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the whole table."""
        return sum(self.books.values(), Fingerprint())


@dataclasses.dataclass(frozen=True, slots=True)
class Undone:
    """A table whose later runs were undone.

    Attributes:
        entry: the run of the kind `restore` that did so; its token is in the commit record of the table.
        undone, revived: runs that count as taken back now, and those that had been taken back after the point.
    """

    then: TableThen
    entry: RunRecord
    undone: tuple[int, ...]
    revived: tuple[int, ...]


class LedgerRestoring:
    """Finds points of the past, and brings the books back to one. Its methods raise DatabaseError."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def point_of_run(self, number: int) -> Point | None:
        """When a run was published; None if it never was. Raises UnknownRun."""
        with reading(self._engine) as connection:
            one_run(connection, number)
            return _point(connection, runs.c.run == number)

    def point_at(self, moment: datetime) -> Point | None:
        """The last publish at or before a moment; None if there was none."""
        with reading(self._engine) as connection:
            return _point(connection, runs.c.finished_at <= moment)

    def point_of_order(self, order: int) -> Point:
        """The last publish up to a place in their order; before the first there is nothing."""
        with reading(self._engine) as connection:
            return _point(connection, runs.c.publish_order <= order) or Point(0, 0, None)

    def tables_then(self, point: Point) -> list[TableThen]:
        """Every destination that was ever published to, as it was at a point."""
        with reading(self._engine) as connection:
            return [_then(history, point.order, connection) for history in _histories(connection).values()]

    def undo(
        self, point: Point, targets: Sequence[str], *, on: Mapping[str, Any], ledger_is_newest: bool
    ) -> list[Undone]:
        """Brings the books of these destinations back to a point, and fences off whoever worked before.

        Args:
            on: what the audit entry says of the backup.
            ledger_is_newest: nothing can have happened that this ledger does not know. Otherwise runs may have been
                begun since: their numbers are left out, and whoever had signed in since has to do so again.
        """
        with writing(self._engine, "restore") as connection:
            self._fence(connection, sessions_end=not ledger_is_newest)
            histories = _histories(connection)
            number = int(connection.execute(select(func.coalesce(func.max(runs.c.run), 0))).scalar_one())
            if not ledger_is_newest:
                number += RUNS_SKIPPED
                connection.execute(SKIP_RUNS, {"number": number})
            done = []
            for then in (_then(histories[target], point.order, connection) for target in targets):
                self._give_up(connection, then.target)
                if then.changed:
                    number += 1
                    done.append(self._undo_one(connection, point, then, histories[then.target], number))
            entries = [_restored(each, point) for each in done]
            undone = sum(len(each.undone) for each in done)
            whole = Event("backup.restore", {**on, "run": point.run}, detail={"tables": len(done), "undone": undone})
            self._audit.write(connection, *entries, whole)
            return done

    def _fence(self, connection: Connection, *, sessions_end: bool) -> None:
        """No token of before is worth anything, and nothing is under way."""
        connection.execute(update(leases_table).values(token=leases_table.c.token + TOKENS_SKIPPED, expires_at=None))
        connection.execute(update(schedules).values(host=None, pid=None, process_started=None))
        lost = {"state": "lost", "ended_at": self._clock()}
        connection.execute(update(jobs).where(jobs.c.state.in_(("waiting", "running"))).values(**lost))
        if sessions_end:
            ended = {"ended_at": self._clock(), "ended_by": "restore"}
            connection.execute(update(sessions).where(sessions.c.ended_at.is_(None)).values(**ended))

    def _give_up(self, connection: Connection, target: str) -> None:
        """What was staged is not in the backup. What waits in the spool waits on."""
        open_ones = (runs.c.target == target, runs.c.status.in_([status.value for status in UNFINISHED]))
        mine = select(runs.c.run).where(*open_ones, runs.c.in_spool.is_(False))
        closed = {"status": RunStatus.FAILED.value, "error": GIVEN_UP, "finished_at": self._clock()}
        for number in connection.execute(mine).scalars().all():
            connection.execute(delete(postings).where(postings.c.run == number))
            set_run(connection, number, **closed)

    def _undo_one(
        self, connection: Connection, point: Point, then: TableThen, history: Sequence[Row[Any]], number: int
    ) -> Undone:
        in_force = _standing(history, point.order)
        wanted = {row.run: RunStatus.PUBLISHED if row.run in in_force else RunStatus.ROLLED_BACK for row in history}
        changed = [row for row in history if row.status != wanted[row.run].value]
        for row in changed:
            set_run(connection, row.run, status=wanted[row.run].value)
        self._insert_entry(connection, point, then, history[-1].definition, number)
        self._post_difference(connection, number, then, history)
        self._note_schema(connection, then, number)
        return Undone(
            then,
            one_run(connection, number),
            undone=tuple(row.run for row in changed if row.run not in in_force),
            revived=tuple(row.run for row in changed if row.run in in_force),
        )

    def _insert_entry(
        self, connection: Connection, point: Point, then: TableThen, definition: str, number: int
    ) -> None:
        order = connection.execute(select(func.max(runs.c.publish_order) + 1)).scalar_one()
        token = select(leases_table.c.token).where(leases_table.c.name == then.target)
        now = self._clock()
        connection.execute(
            insert(runs).values(
                run=number,
                pipeline=then.pipeline,
                target=then.target,
                kind=RunKind.RESTORE.value,
                status=RunStatus.PUBLISHED.value,
                definition=definition,
                source={"to_order": point.order, "to_run": point.run},
                destination=dict(then.destination),
                token=connection.execute(token).scalar() or TOKENS_SKIPPED,
                host=leases.host_name(),
                pid=os.getpid(),
                started_at=now,
                finished_at=now,
                seconds=0.0,
                publish_order=order,
                fingerprint=Fingerprint(),
                columns=None if then.columns is None else [list(column) for column in then.columns],
                replaces_all=False,
                drop_rows=[],
                note=_told(point, then),
            )
        )

    @staticmethod
    def _post_difference(connection: Connection, number: int, then: TableThen, history: Sequence[Row[Any]]) -> None:
        now = _books(connection, then.target, history[-1].publish_order)
        for run in sorted({*now, *then.books}):
            change = then.books.get(run, Fingerprint()) + -now.get(run, Fingerprint())
            if change != Fingerprint():
                connection.execute(insert(postings).values(run=number, about_run=run, change=change))

    def _note_schema(self, connection: Connection, then: TableThen, number: int) -> None:
        mine = schema_versions.c.target == then.target
        newest = connection.execute(
            select(schema_versions).where(mine).order_by(schema_versions.c.version.desc()).limit(1)
        ).one_or_none()
        listed = None if then.columns is None else [list(column) for column in then.columns]
        if listed is not None and newest is not None and newest.columns != listed:
            values = {"target": then.target, "columns": listed, "run": number, "created_at": self._clock()}
            connection.execute(insert(schema_versions).values(**values, version=newest.version + 1))


def _point(connection: Connection, *conditions: Any) -> Point | None:
    """The last publish for which these hold."""
    query = select(runs).where(runs.c.publish_order.is_not(None), *conditions)
    row = connection.execute(query.order_by(runs.c.publish_order.desc()).limit(1)).one_or_none()
    return None if row is None else Point(row.publish_order, row.run, row.finished_at)


def _histories(connection: Connection) -> dict[str, list[Row[Any]]]:
    """By destination, what was published to it, in that order."""
    found: dict[str, list[Row[Any]]] = {}
    query = select(runs).where(runs.c.publish_order.is_not(None)).order_by(runs.c.publish_order)
    for row in connection.execute(query):
        found.setdefault(row.target, []).append(row)
    return found


def _standing(history: Sequence[Row[Any]], order: int) -> frozenset[int]:
    """The runs of a destination that were published and not taken back at a point, its reversing entries among them."""
    until = [row for row in history if row.publish_order <= order]
    restores = [at for at, row in enumerate(until) if row.kind == RunKind.RESTORE.value]
    standing: set[int] = set()
    if restores:
        last = until[restores[-1]]
        standing = {*_standing(history, int(last.source["to_order"])), last.run}
        until = until[restores[-1] + 1 :]
    for row in until:
        standing.add(row.run)
        standing.discard(row.reverses)
    return frozenset(standing)


def _books(connection: Connection, target: str, order: int) -> dict[int, Fingerprint]:
    """What a destination held at a point, by the run that brought it."""
    published = (runs.c.target == target, runs.c.publish_order <= order)
    books: dict[int, Fingerprint] = {}
    for row in connection.execute(select(postings).join(runs, runs.c.run == postings.c.run).where(*published)):
        books[row.about_run] = books.get(row.about_run, Fingerprint()) + row.change
    return {run: held for run, held in sorted(books.items()) if held != Fingerprint()}


def _then(history: Sequence[Row[Any]], order: int, connection: Connection) -> TableThen:
    until = [row for row in history if row.publish_order <= order]
    last, newest = (until[-1] if until else None), history[-1]
    there = last is not None and not (last.kind == RunKind.RESTORE.value and last.columns is None)
    columns = tuple((name, kind) for name, kind in last.columns) if last is not None and there else None
    alike: tuple[int, ...] = ()
    if last is not None and there:
        went_back = last.kind == RunKind.RESTORE.value
        alike = (last.run, *(_then(history, int(last.source["to_order"]), connection).alike if went_back else ()))
    return TableThen(
        target=newest.target,
        pipeline=newest.pipeline,
        run=last.run if last is not None and there else None,
        order=last.publish_order if last is not None and there else 0,
        books=_books(connection, newest.target, order),
        columns=columns,
        destination=newest.destination,
        changed=last is not newest,
        alike=alike,
    )


def _told(point: Point, then: TableThen) -> str:
    if then.run is None:
        return f"a restore to run {point.run} undid all runs of this table, which was not there yet"
    return f"a restore to run {point.run} brought the table back to what run {then.run} left"


def _restored(done: Undone, point: Point) -> Event:
    entry = done.entry
    on = {"run": entry.run, "pipeline": entry.pipeline, "target": entry.target}
    detail = {**dict(published_detail(entry)), "to_run": point.run, "table": str(done.then.fingerprint)}
    return Event("run.restore", on, detail=detail)

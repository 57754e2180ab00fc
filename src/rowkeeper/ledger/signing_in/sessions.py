"""Sessions in the ledger: found by the hash of their secret, ended one by one or all of an account's at once."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import sessions, users
from rowkeeper.ledger.signing_in.records import SessionRecord

KEPT = timedelta(days=30)  # how long one that is over is still told of
ENDED = "session.end"


class LedgerSessions:
    """The sessions of an installation."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def find(self, hash: str) -> SessionRecord | None:
        """The session whose secret has this hash, also one that is over."""
        with reading(self._engine) as connection:
            row = connection.execute(select(sessions).where(sessions.c.hash == hash)).one_or_none()
        return None if row is None else _session_of(row)

    def of(self, user: str) -> list[SessionRecord]:
        """An account's sessions, also those that are over, the newest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(sessions).where(sessions.c.user == user).order_by(sessions.c.made_at.desc(), sessions.c.id)
            )
            return [_session_of(row) for row in rows]

    def seen(self, id: str) -> None:
        """Notes that it was used just now."""
        with writing(self._engine, "session_seen") as connection:
            connection.execute(update(sessions).where(sessions.c.id == id).values(seen_at=self._clock()))

    def end(self, ids: Collection[str], by: str) -> list[str]:
        """Ends these sessions, as far as they go on. Returns the ids of those that were ended."""
        with writing(self._engine, "session_end") as connection:
            where = sessions.c.id.in_(list(ids))
            return _end(connection, self._audit, self._clock(), by, where)

    def end_all(self, user: str, by: str) -> list[str]:
        """Ends all sessions of an account. Returns their ids."""
        with writing(self._engine, "session_end") as connection:
            return end_sessions(connection, self._audit, self._clock(), user, by)


def begin_session(
    connection: Connection,
    record: SessionRecord,
    hash: str,
) -> None:
    """Adds a session; those that have long been over are forgotten."""
    over = (sessions.c.ended_at < record.made_at - KEPT) | (sessions.c.expires_at < record.made_at - KEPT)
    connection.execute(delete(sessions).where(over))
    connection.execute(
        insert(sessions).values(
            id=record.id,
            hash=hash,
            user=record.user,
            roles=sorted(record.roles),
            by=record.by,
            address=record.address,
            made_at=record.made_at,
            seen_at=record.seen_at,
            expires_at=record.expires_at,
        )
    )


def end_sessions(connection: Connection, audit: Trail, at: datetime, user: str, by: str) -> list[str]:
    """Ends all sessions of an account as part of a transaction, such as the one that takes a role away.

    Nobody signs in to it meanwhile with what is taken away: see `hold_user`.
    """
    hold_user(connection, user)
    return _end(connection, audit, at, by, sessions.c.user == user)


def _end(connection: Connection, audit: Trail, at: datetime, by: str, where: Any) -> list[str]:
    open_ones = where & sessions.c.ended_at.is_(None) & (sessions.c.expires_at > at)
    found = connection.execute(select(sessions.c.id, sessions.c.user).where(open_ones)).all()
    if not found:
        return []
    ids = [row.id for row in found]
    connection.execute(update(sessions).where(sessions.c.id.in_(ids)).values(ended_at=at, ended_by=by))
    events = [
        Event(ENDED, {"session": row.id, "user": audit.user_id(connection, row.user)}, detail={"by": by})
        for row in found
    ]
    audit.write(connection, *events)
    return ids


def hold_user(connection: Connection, user: str) -> None:
    """Until the transaction ends, no other one begins or ends sessions of this account.

    A statement of its own: what is read after it is as the others left it. (SQLite has one writer at a time anyway.)
    """
    connection.execute(select(users.c.name).where(users.c.name == user).with_for_update())


def _session_of(row: Row[Any]) -> SessionRecord:
    return SessionRecord(
        id=row.id,
        user=row.user,
        roles=frozenset(row.roles),
        by=row.by,
        address=row.address,
        made_at=row.made_at,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
    )

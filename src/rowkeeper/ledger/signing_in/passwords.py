"""Hashes of passwords in the ledger. A new one ends the account's sessions in the same transaction."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Connection, Engine, delete, insert, select, update

from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import passwords, second_factors, users
from rowkeeper.ledger.signing_in.sessions import end_sessions


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """What is asked of an account that signs in.

    Attributes:
        hash: of its password; None if it has none, as a service, or was never given one.
        sealed, key_id: its second factor; None if it has none that is confirmed.
    """

    name: str
    enabled: bool
    hash: str | None = dataclasses.field(repr=False)
    sealed: bytes | None = dataclasses.field(default=None, repr=False)
    key_id: int | None = None


class LedgerPasswords:
    """The passwords of an installation, as hashes."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def account(self, name: str) -> Account | None:
        """What is asked of an account that signs in, in one statement whether there is one or not."""
        tables = users.outerjoin(passwords, passwords.c.user == users.c.name)
        tables = tables.outerjoin(second_factors, second_factors.c.user == users.c.name)
        factor = (second_factors.c.sealed, second_factors.c.key_id, second_factors.c.confirmed_at)
        chosen = select(users.c.disabled_at, passwords.c.hash, *factor).select_from(tables).where(users.c.name == name)
        with reading(self._engine) as connection:
            row = connection.execute(chosen).one_or_none()
        if row is None:
            return None
        confirmed = row.confirmed_at is not None
        return Account(name, row.disabled_at is None, row.hash, *((row.sealed, row.key_id) if confirmed else ()))

    def change(self, user: str, hash: str) -> list[str]:
        """Gives an account another password. Returns the ids of the sessions that ended by it."""
        with writing(self._engine, "password") as connection:
            put_password(connection, user, hash, self._clock())
            ended = end_sessions(connection, self._audit, self._clock(), user, "password")
            on = {"user": self._audit.user_id(connection, user)}
            self._audit.write(connection, Event("user.password", on, detail={"sessions_ended": len(ended)}))
        return ended


def put_password(connection: Connection, user: str, hash: str, at: object) -> None:
    """Writes the hash as part of a transaction."""
    connection.execute(delete(passwords).where(passwords.c.user == user))
    connection.execute(insert(passwords).values(user=user, hash=hash, changed_at=at))


def rehash(connection: Connection, user: str, before: str, after: str) -> None:
    """The same password, hashed with today's parameters: no change of it."""
    same = (passwords.c.user == user) & (passwords.c.hash == before)
    connection.execute(update(passwords).where(same).values(hash=after))

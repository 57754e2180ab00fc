"""How often signing in has failed, and until when it is refused; by keyed hashes of accounts and addresses.

An attempt is counted as a failure before its password is looked at, and taken back when it was the right one: any
number of attempts at the same time are no more guesses than one after the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import known_addresses, throttles

FORGOTTEN = timedelta(days=1)  # after so long without a failure
ADDRESS_KNOWN = timedelta(days=90)  # after a password that was right


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """Whose failures are counted.

    Attributes:
        key: a keyed hash: neither the account nor the address can be told from it.
        delay: how long nothing is let through after so many failures in a row.
    """

    key: str
    delay: Callable[[int], timedelta]


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was counted, unless it came too early.

    Attributes:
        early: it is refused, whatever the password; and it was not counted.
        locked: how long those will be refused from now on that this failure locks, if it is one.
    """

    early: bool
    locked: dict[str, timedelta]


class LedgerThrottles:
    """The failures of an installation."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def is_known(self, key: str) -> bool:
        """Whether this account has signed in from this address within the last months."""
        own = (known_addresses.c.subject == key) & (known_addresses.c.seen_at > self._clock() - ADDRESS_KNOWN)
        with reading(self._engine) as connection:
            return connection.execute(select(known_addresses.c.subject).where(own)).scalar() is not None

    def attempt(self, subjects: Sequence[Subject]) -> Attempt:
        """Counts an attempt, or finds it too early."""
        now = self._clock()
        with writing(self._engine, "sign_in_attempt") as connection:
            connection.execute(delete(throttles).where(throttles.c.failed_at < now - FORGOTTEN))
            rows = {subject.key: _held(connection, subject.key, now) for subject in sorted(subjects, key=_key)}
            if any(row.locked_until is not None and row.locked_until > now for row in rows.values()):
                return Attempt(True, {})
            locked = {}
            for subject in subjects:
                failures = rows[subject.key].failures + 1
                delay = subject.delay(failures)
                if delay:
                    locked[subject.key] = delay
                _set(connection, subject.key, failures, now, now + delay if delay else None)
            return Attempt(False, locked)

    def forgive_once(self, keys: Sequence[str]) -> None:
        """Takes one attempt of each back."""
        with writing(self._engine, "sign_in_forgiven") as connection:
            forgive(connection, wholly=(), once=keys)

    def forget(self, keys: Sequence[str]) -> None:
        """Forgets all failures of these."""
        with writing(self._engine, "sign_in_forgotten") as connection:
            connection.execute(delete(throttles).where(throttles.c.subject.in_(list(keys))))


def forgive(connection: Connection, *, wholly: Sequence[str], once: Sequence[str]) -> None:
    """Takes back an attempt that was right: all failures of some subjects, one of others."""
    connection.execute(delete(throttles).where(throttles.c.subject.in_(list(wholly))))
    for key in once:
        mine = (throttles.c.subject == key) & (throttles.c.failures > 0)
        connection.execute(update(throttles).where(mine).values(failures=throttles.c.failures - 1, locked_until=None))


def know_address(connection: Connection, key: str, at: datetime) -> None:
    """From now on this account is known to sign in from this address."""
    gone = known_addresses.c.seen_at < at - ADDRESS_KNOWN
    connection.execute(delete(known_addresses).where(gone | (known_addresses.c.subject == key)))
    connection.execute(insert(known_addresses).values(subject=key, seen_at=at))


def _held(connection: Connection, key: str, now: datetime) -> Row[Any]:
    """The row of a subject, made if it is not there, and held until the transaction ends."""
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    fresh = dialect.insert(throttles).values(subject=key, failures=0, failed_at=now).on_conflict_do_nothing()
    connection.execute(fresh)
    return connection.execute(select(throttles).where(throttles.c.subject == key).with_for_update()).one()


def _set(connection: Connection, key: str, failures: int, at: datetime, until: datetime | None) -> None:
    values = {"failures": failures, "failed_at": at, "locked_until": until}
    connection.execute(update(throttles).where(throttles.c.subject == key).values(**values))


def _key(subject: Subject) -> str:
    return subject.key

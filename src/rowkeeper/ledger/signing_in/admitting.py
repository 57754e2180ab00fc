"""The end of an attempt to sign in, one transaction each way: a session with all that goes with it, or a refusal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, select

from rowkeeper.caller import Caller, CallerKind, acting
from rowkeeper.ledger.audit import Event, Outcome, Trail
from rowkeeper.ledger.database import writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import passwords, user_roles, users
from rowkeeper.ledger.signing_in.factors import use_recovery_code, use_step
from rowkeeper.ledger.signing_in.passwords import rehash
from rowkeeper.ledger.signing_in.records import NOBODY, SessionRecord
from rowkeeper.ledger.signing_in.sessions import begin_session, hold_user
from rowkeeper.ledger.signing_in.throttles import forgive, know_address


@dataclasses.dataclass(frozen=True, slots=True)
class Proven:
    """What somebody has shown who is to be let in.

    Attributes:
        user: the account.
        by: `password` or `oidc`.
        address: from where.
        hash: of the password that was right; None if none was asked for.
        rehashed: the same password, hashed with today's parameters; None if it is already.
        step: the time step of the code; None without one.
        recovery_code: the hash of a recovery code in a code's place.
        forgiven_wholly, forgiven_once: whose failures are taken back, all of them or this attempt.
        known_as: the account at this address, for `throttles.know_address`; None where that is not to be noted.
    """

    user: str
    by: str
    address: str
    _: dataclasses.KW_ONLY
    hash: str | None = None
    rehashed: str | None = None
    step: int | None = None
    recovery_code: str | None = None
    forgiven_wholly: tuple[str, ...] = ()
    forgiven_once: tuple[str, ...] = ()
    known_as: str | None = None


class LedgerAdmissions:
    """Lets in, and refuses; each with its audit entry."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def admit(self, proven: Proven, id: str, hash: str, lasts: timedelta) -> SessionRecord | None:
        """Begins a session, if what was shown still holds: nobody has changed the password, or used the code, since.

        Args:
            id, hash: of the session.
            lasts: how long at most.
        """
        caller = Caller(CallerKind.USER, proven.user, address=proven.address, session=id)
        with acting(caller), writing(self._engine, "session_begin") as connection:
            roles = self._roles(connection, proven)
            if roles is None or not self._use_factor(connection, proven):
                return None
            now = self._clock()
            record = SessionRecord(id, proven.user, roles, proven.by, proven.address, now, now, now + lasts, None, None)
            begin_session(connection, record, hash)
            if proven.hash is not None and proven.rehashed is not None:
                rehash(connection, proven.user, proven.hash, proven.rehashed)
            forgive(connection, wholly=proven.forgiven_wholly, once=proven.forgiven_once)
            if proven.known_as is not None:
                know_address(connection, proven.known_as, now)
            factor = {"recovery_code": True} if proven.recovery_code else {"second_factor": proven.step is not None}
            on = {"session": id, "user": self._audit.user_id(connection, proven.user)}
            self._audit.write(connection, Event("session.begin", on, detail={"by": proven.by, **factor}))
            return record

    def refuse(
        self, address: str, user: str | None, why: str, locked: timedelta | None = None, by: str = "password"
    ) -> None:
        """Puts a refusal on the record.

        Args:
            user: the account, if there is one; what else somebody typed as a name may be a password.
            why: `unknown`, `password`, `code`, `disabled`, `early`, ...
            locked: for how long this failure locks the account.
        """
        with (
            acting(Caller(CallerKind.ANONYMOUS, NOBODY, address=address)),
            writing(self._engine, "session_refuse") as connection,
        ):
            on: Mapping[str, Any] = {} if user is None else {"user": self._audit.user_id(connection, user)}
            detail = {"by": by, "why": why}
            events = [Event("session.begin", on, outcome=Outcome.REFUSED, detail=detail)]
            if locked:
                events.append(Event("user.lock", on, detail={"seconds": locked.total_seconds()}))
            self._audit.write(connection, *events)

    def _roles(self, connection: Connection, proven: Proven) -> frozenset[str] | None:
        """The roles of an account that is still enabled and has still this password; None of another."""
        hold_user(connection, proven.user)
        row = connection.execute(
            select(users.c.disabled_at, passwords.c.hash)
            .select_from(users.outerjoin(passwords, passwords.c.user == users.c.name))
            .where(users.c.name == proven.user)
        ).one_or_none()
        if row is None or row.disabled_at is not None or (proven.hash is not None and row.hash != proven.hash):
            return None
        own = select(user_roles.c.role).where(user_roles.c.user == proven.user)
        return frozenset(connection.execute(own).scalars())

    def _use_factor(self, connection: Connection, proven: Proven) -> bool:
        if proven.recovery_code is not None:
            return use_recovery_code(connection, proven.user, proven.recovery_code, self._clock())
        return proven.step is None or use_step(connection, proven.user, proven.step)

"""Accounts of people and services in the ledger, and the roles that each has; each change with its audit entry."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from rowkeeper.caller import CallerKind
from rowkeeper.errors import UnknownUser, UserExists
from rowkeeper.ledger.accessversion import AccessVersion
from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import user_roles, users
from rowkeeper.ledger.signing_in.sessions import end_sessions
from rowkeeper.nearest import did_you_mean


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """An account of a person or a service.

    Attributes:
        disabled_at: since when it may do nothing; None of one that is in use.
    """

    name: str
    kind: CallerKind
    roles: frozenset[str]
    created_at: datetime
    disabled_at: datetime | None

    @property
    def enabled(self) -> bool:
        """Whether it may do what its roles say."""
        return self.disabled_at is None

    def as_dict(self) -> dict[str, Any]:
        """The JSON document, the same for commands and servers."""
        return {
            "name": self.name,
            "kind": self.kind.value,
            "roles": sorted(self.roles),
            "enabled": self.enabled,
            "created_at": self.created_at.isoformat(),
            "disabled_at": None if self.disabled_at is None else self.disabled_at.isoformat(),
        }


class LedgerUsers:
    """The accounts of an installation."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail, version: AccessVersion) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit
        self._version = version

    def all(self) -> list[User]:
        """By name."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(users).order_by(users.c.name)).all()
            return [_user_of(connection, row) for row in rows]

    def find(self, name: str) -> User | None:
        """The account of this name, also a disabled one."""
        with reading(self._engine) as connection:
            row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
            return None if row is None else _user_of(connection, row)

    def get(self, name: str) -> User:
        """The account of this name. Raises UnknownUser."""
        found = self.find(name)
        if found is None:
            raise self._unknown(name)
        return found

    def add(self, name: str, kind: CallerKind = CallerKind.USER, roles: frozenset[str] = frozenset()) -> User:
        """Makes an account. Raises UserExists."""
        with writing(self._engine, "user_add") as connection:
            if connection.execute(select(users.c.name).where(users.c.name == name)).scalar() is not None:
                raise UserExists(f"there is a user {name} already", hint="rowkeeper users list")
            connection.execute(insert(users).values(name=name, kind=kind.value, created_at=self._clock()))
            for role in sorted(roles):
                connection.execute(insert(user_roles).values(user=name, role=role))
            detail = {"kind": kind.value, "roles": sorted(roles)}
            self._audit.write(connection, Event("user.add", self._on(connection, name), detail=detail))
            self._version.bump(connection)
        return self.get(name)

    def give(self, name: str, role: str) -> None:
        """Gives a role. Raises UnknownUser."""
        self._need(name)
        with writing(self._engine, "user_role") as connection:
            own = (user_roles.c.user == name, user_roles.c.role == role)
            if connection.execute(select(user_roles).where(*own)).one_or_none() is None:
                connection.execute(insert(user_roles).values(user=name, role=role))
            self._audit.write(connection, Event("user.give", self._on(connection, name), detail={"role": role}))
            self._version.bump(connection)

    def take(self, name: str, role: str) -> None:
        """Takes a role away; the account's sessions end with it. Raises UnknownUser."""
        self._need(name)
        with writing(self._engine, "user_role") as connection:
            connection.execute(delete(user_roles).where(user_roles.c.user == name, user_roles.c.role == role))
            self._audit.write(connection, Event("user.take", self._on(connection, name), detail={"role": role}))
            end_sessions(connection, self._audit, self._clock(), name, "role")
            self._version.bump(connection)

    def set_enabled(self, name: str, enabled: bool) -> None:
        """Lets an account in again, or lets it do nothing from now on, and ends its sessions. Raises UnknownUser."""
        self._need(name)
        with writing(self._engine, "user_enabled") as connection:
            at = None if enabled else self._clock()
            connection.execute(update(users).where(users.c.name == name).values(disabled_at=at))
            action = "user.enable" if enabled else "user.disable"
            self._audit.write(connection, Event(action, self._on(connection, name)))
            if not enabled:
                end_sessions(connection, self._audit, self._clock(), name, "disabled")
            self._version.bump(connection)

    def _on(self, connection: Connection, name: str) -> dict[str, str]:
        """An account in an audit entry: by an id, as a name is a person's."""
        return {"user": self._audit.user_id(connection, name)}

    def _need(self, name: str) -> None:
        self.get(name)

    def _unknown(self, name: str) -> UnknownUser:
        known = [each.name for each in self.all()]
        return UnknownUser(f"there is no user {name}", hint=did_you_mean(name, known, "rowkeeper users list"))


def _user_of(connection: Connection, row: Row[tuple[object, ...]]) -> User:
    own = select(user_roles.c.role).where(user_roles.c.user == row.name)
    roles = frozenset(connection.execute(own).scalars())
    return User(row.name, CallerKind(row.kind), roles, row.created_at, row.disabled_at)

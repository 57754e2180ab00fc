"""Roles of one's own, grants and row filters in the ledger; each change with its audit entry."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, Engine, Row, delete, insert, select

from rowkeeper.caller import CallerKind
from rowkeeper.errors import RoleExists, UnknownGrant, UnknownRole
from rowkeeper.ledger.accessversion import AccessVersion, number_in
from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import grants, roles, row_filters, user_roles, users
from rowkeeper.nearest import did_you_mean

ANY = "*"


class To(enum.StrEnum):
    """To whom something is granted."""

    USER = "user"  # an account of a person or a service
    ROLE = "role"


class Gives(enum.StrEnum):
    """What is granted."""

    ACTION = "action"
    ROLE = "role"


@dataclasses.dataclass(frozen=True, slots=True)
class NewGrant:
    """What somebody is to be granted.

    Attributes:
        to: the name of an account or of a role, by `to_kind`.
        gives: an action or a role, by `gives_kind`.
        on_kind: `pipeline`, `table`, `column`, `label`, or `*` for everything.
        on: its name; `*` for everything.
        purpose: the only one for which it counts; None: whatever the purpose.
        expires_at: from then on it counts no more; None: it does not end.
    """

    to_kind: To
    to: str
    gives_kind: Gives
    gives: str
    on_kind: str = ANY
    on: str = ANY
    _: dataclasses.KW_ONLY
    purpose: str | None = None
    expires_at: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Grant(NewGrant):
    """A grant that was made.

    Attributes:
        id: its number, never given to another.
    """

    _: dataclasses.KW_ONLY
    id: int
    created_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Role:
    """A role of one's own. What it may is granted to it.

    Attributes:
        told: what it is for, in its maker's words.
    """

    name: str
    told: str
    created_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows of a table a role lets be seen.

    Attributes:
        role: `*` is for everybody.
        table: `database.table`.
        condition: in ClickHouse's SQL; a row that meets it is seen.
    """

    role: str
    table: str
    condition: str


@dataclasses.dataclass(frozen=True, slots=True)
class AccessState:
    """All that decisions depend on in the ledger, as one transaction saw it.

    Attributes:
        accounts: the kind of each.
        disabled: accounts that may do nothing.
    """

    number: int
    roles: tuple[Role, ...] = ()
    grants: tuple[Grant, ...] = ()
    row_filters: tuple[RowFilter, ...] = ()
    accounts: Mapping[str, CallerKind] = dataclasses.field(default_factory=dict)
    disabled: frozenset[str] = frozenset()


class LedgerGrants:
    """The roles, grants and row filters of an installation. Every method raises DatabaseError.

    Attributes:
        version: grows with each change, also one of accounts.
    """

    def __init__(self, engine: Engine, clock: Clock, audit: Trail, version: AccessVersion) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit
        self.version = version

    def state(self) -> AccessState:
        """Everything, as it is now."""
        with reading(self._engine) as connection:
            accounts = connection.execute(select(users.c.name, users.c.kind, users.c.disabled_at)).all()
            return AccessState(
                number_in(connection),
                tuple(map(_role_of, connection.execute(select(roles).order_by(roles.c.name)))),
                tuple(map(_grant_of, connection.execute(select(grants).order_by(grants.c.id)))),
                tuple(map(_filter_of, connection.execute(select(row_filters).order_by(row_filters.c.role)))),
                {row.name: CallerKind(row.kind) for row in accounts},
                frozenset(row.name for row in accounts if row.disabled_at is not None),
            )

    # --------------------------------------------------------------------------------- grants

    def add(self, grant: NewGrant) -> Grant:
        """Grants something. Whether it makes sense, the caller has seen to."""
        with writing(self._engine, "grant_add") as connection:
            found = self._add(connection, grant)
            self.version.bump(connection)
        return found

    def remove(self, number: int) -> Grant:
        """Takes a grant back. Raises UnknownGrant."""
        with writing(self._engine, "grant_remove") as connection:
            row = connection.execute(select(grants).where(grants.c.id == number)).one_or_none()
            if row is None:
                raise UnknownGrant(f"there is no grant {number}", hint="rowkeeper grants list")
            gone = _grant_of(row)
            connection.execute(delete(grants).where(grants.c.id == number))
            self._audit.write(connection, Event("grant.remove", self._on(connection, gone)))
            self.version.bump(connection)
        return gone

    def _add(self, connection: Connection, grant: NewGrant) -> Grant:
        at = self._clock()
        values = {
            "to_kind": grant.to_kind.value,
            "to_name": grant.to,
            "gives_kind": grant.gives_kind.value,
            "gives": grant.gives,
            "on_kind": grant.on_kind,
            "on_id": grant.on,
            "purpose": grant.purpose,
            "expires_at": grant.expires_at,
            "created_at": at,
        }
        number = connection.execute(insert(grants).values(**values).returning(grants.c.id)).scalar_one()
        found = _grant_of(connection.execute(select(grants).where(grants.c.id == number)).one())
        detail = {
            found.gives_kind.value: found.gives,
            "on": ANY if found.on_kind == ANY else f"{found.on_kind}:{found.on}",
            **({} if found.purpose is None else {"for_purpose": found.purpose}),
            **({} if found.expires_at is None else {"expires_at": found.expires_at.isoformat()}),
        }
        self._audit.write(connection, Event("grant.add", self._on(connection, found), detail=detail))
        return found

    def _on(self, connection: Connection, grant: Grant) -> dict[str, object]:
        """A grant in an audit entry: a user by an id, as a name is a person's."""
        if grant.to_kind is To.ROLE:
            return {"grant": grant.id, "role": grant.to}
        return {"grant": grant.id, "user": self._audit.user_id(connection, grant.to)}

    # ---------------------------------------------------------------------------------- roles

    def add_role(self, name: str, told: str, may: tuple[NewGrant, ...] = ()) -> Role:
        """Makes a role, and grants to it. Raises RoleExists."""
        with writing(self._engine, "role_add") as connection:
            if connection.execute(select(roles.c.name).where(roles.c.name == name)).scalar() is not None:
                raise RoleExists(f"there is a role {name} already", hint="rowkeeper roles list")
            made = Role(name, told, self._clock())
            connection.execute(insert(roles).values(**dataclasses.asdict(made)))
            self._audit.write(connection, Event("role.add", {"role": name}))
            for grant in may:
                self._add(connection, grant)
            self.version.bump(connection)
        return made

    def remove_role(self, name: str) -> int:
        """Removes a role with its grants and row filters, and takes it from all accounts; tells from how many.

        A role that is made later by the same name begins with nothing. Raises UnknownRole.
        """
        with writing(self._engine, "role_remove") as connection:
            if not connection.execute(delete(roles).where(roles.c.name == name)).rowcount:
                known = list(connection.execute(select(roles.c.name)).scalars())
                raise UnknownRole(
                    f"there is no role {name} that was added", hint=did_you_mean(name, known, "rowkeeper roles list")
                )
            to_it = (grants.c.to_kind == To.ROLE.value) & (grants.c.to_name == name)
            gives_it = (grants.c.gives_kind == Gives.ROLE.value) & (grants.c.gives == name)
            gone = list(connection.execute(select(grants.c.id).where(to_it | gives_it)).scalars())
            connection.execute(delete(grants).where(to_it | gives_it))
            connection.execute(delete(row_filters).where(row_filters.c.role == name))
            taken = connection.execute(delete(user_roles).where(user_roles.c.role == name)).rowcount
            detail = {"grants": gone, "accounts": taken}
            self._audit.write(connection, Event("role.remove", {"role": name}, detail=detail))
            self.version.bump(connection)
        return taken

    # ---------------------------------------------------------------------------- row filters

    def filter_rows(self, wanted: RowFilter) -> None:
        """Sets which rows of a table a role lets be seen, in the place of what was set before.

        The audit entry holds the condition's hash, as it may name a person.
        """
        with writing(self._engine, "role_filter") as connection:
            self._unfilter(connection, wanted.role, wanted.table)
            connection.execute(
                insert(row_filters).values(**dataclasses.asdict(wanted), created_at=self._clock()),
            )
            digest = hashlib.sha256(wanted.condition.encode()).hexdigest()
            on = {"role": wanted.role, "table": wanted.table}
            self._audit.write(connection, Event("role.filter", on, detail={"condition_sha256": digest}))
            self.version.bump(connection)

    def unfilter_rows(self, role: str, table: str) -> bool:
        """Takes a row filter back: the role lets all rows be seen again. False if there was none."""
        with writing(self._engine, "role_unfilter") as connection:
            if not self._unfilter(connection, role, table):
                return False
            self._audit.write(connection, Event("role.unfilter", {"role": role, "table": table}))
            self.version.bump(connection)
        return True

    @staticmethod
    def _unfilter(connection: Connection, role: str, table: str) -> bool:
        own = (row_filters.c.role == role, row_filters.c.table == table)
        return bool(connection.execute(delete(row_filters).where(*own)).rowcount)


def _role_of(row: Row[tuple[object, ...]]) -> Role:
    return Role(row.name, row.told, row.created_at)


def _filter_of(row: Row[tuple[object, ...]]) -> RowFilter:
    return RowFilter(row.role, row.table, row.condition)


def _grant_of(row: Row[tuple[object, ...]]) -> Grant:
    return Grant(
        To(row.to_kind),
        row.to_name,
        Gives(row.gives_kind),
        row.gives,
        row.on_kind,
        row.on_id,
        id=row.id,
        created_at=row.created_at,
        purpose=row.purpose,
        expires_at=row.expires_at,
    )

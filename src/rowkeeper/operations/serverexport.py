"""`rowkeeper access export --clickhouse`: what roles may see, as statements for a ClickHouse server."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rowkeeper.access import Column, of_role, of_user
from rowkeeper.access.builtin import BUILT_IN_ROLES
from rowkeeper.access.sql.seen import SeenTable
from rowkeeper.access.sql.server import ServerRole, statements
from rowkeeper.caller import Caller, CallerKind
from rowkeeper.destinations import read_client
from rowkeeper.errors import QueryRefused
from rowkeeper.runs.columnfacts import columns_of_table, table_names
from rowkeeper.runs.governing import Reader, canonical, seen_table
from rowkeeper.runs.workspace import Workspace


def server_statements(space: Workspace, purpose: str | None) -> tuple[str, ...]:
    """The statements, each as the embedded engine's own parser writes it; nothing is sent anywhere.

    Every role becomes one of the server's. An account with one role that sees just what the role sees becomes its
    member; any other becomes a role of its own, as what it sees need not be the sum of what its roles see.

    Args:
        purpose: what is permitted for it is permitted on the server, where nobody says what for; for none if None.

    Raises AccessDenied to whoever may not see a role or an account; QueryRefused for a row filter that cannot be used.
    """
    names = sorted({*BUILT_IN_ROLES, *(role.name for role in space.ledger.grants.state().roles)})
    accounts = [user for user in space.ledger.users.all() if user.enabled]
    for name in names:
        space.access.require("role.list", of_role(name))
    for user in accounts:
        space.access.require("user.list", of_user(user.name))
    with read_client(space.site) as reader:
        views = _Views(space, reader, purpose)
        roles = {name: ServerRole(name, views.of(f"member of {name}", CallerKind.USER, {name})) for name in names}
        for user in accounts:
            seen = views.of(user.name, user.kind, user.roles)
            role = roles.get(next(iter(user.roles))) if len(user.roles) == 1 else None
            if role is not None and role.tables == seen:
                roles[role.name] = dataclasses.replace(role, members=(*role.members, user.name))
            else:
                own = f"user:{user.name}"
                roles[own] = ServerRole(own, seen, (user.name,))
        unread = QueryRefused("a statement of the export cannot be read by ClickHouse", hint="nothing was exported")
        return tuple(canonical(reader, each, unread) for each in statements(tuple(roles.values())))


class _Views:
    """What whom sees of every table that a run has filled."""

    def __init__(self, space: Workspace, reader: Reader, purpose: str | None) -> None:
        self._permissions = space.access.permissions
        self._reader = reader
        self._purpose = purpose
        self._facts: Mapping[str, tuple[Column, ...]] = {
            name: facts for name in table_names(space.ledger) if (facts := columns_of_table(space.ledger, name))
        }

    def of(self, name: str, kind: CallerKind, roles: frozenset[str] | set[str]) -> tuple[SeenTable, ...]:
        """The tables of which an account sees something, by name."""
        caller = Caller(kind, name, roles=frozenset(roles), purpose=self._purpose)
        found = []
        for table, facts in self._facts.items():
            view = self._permissions.view(caller, table, facts)
            seen = None if view is None else seen_table(self._reader, view, facts)
            if seen is not None and seen.names:
                found.append(seen)
        return tuple(found)

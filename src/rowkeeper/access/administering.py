"""Accounts, roles and grants as people manage them: first permission, then whether it makes sense, then the change.

Nobody but the owner changes what they may do themselves: neither their own account nor a role that they have.
"""

from __future__ import annotations

import dataclasses

from rowkeeper.access.access import Access
from rowkeeper.access.builtin import BUILT_IN_ROLES
from rowkeeper.access.resource import Resource, of_role, of_user
from rowkeeper.access.rowcondition import row_condition
from rowkeeper.access.words import checked_name
from rowkeeper.caller import CallerKind
from rowkeeper.errors import RoleExists, UnknownGrant, UnknownRole
from rowkeeper.ledger import Ledger
from rowkeeper.ledger.grants import ANY, AccessState, Gives, Grant, NewGrant, Role, RowFilter, To
from rowkeeper.ledger.users import User
from rowkeeper.nearest import did_you_mean


@dataclasses.dataclass(frozen=True, slots=True)
class RoleShown:
    """A role, and what it has been given.

    Attributes:
        built_in: it comes with Rowkeeper.
        grants: to it, also those that have run out.
        users: accounts that have it, as far as the caller may see them.
    """

    name: str
    told: str
    built_in: bool
    grants: tuple[Grant, ...]
    row_filters: tuple[RowFilter, ...]
    users: tuple[str, ...]


class Administration:
    """Every method raises AccessDenied if the caller may not."""

    def __init__(self, access: Access, ledger: Ledger) -> None:
        self._access = access
        self._users = ledger.users
        self._grants = ledger.grants

    # ------------------------------------------------------------------------------- accounts

    def users(self) -> list[User]:
        """Accounts that the caller may see, by name."""
        return self._access.only("user.list", self._users.all(), lambda each: of_user(each.name))

    def user(self, name: str) -> User:
        """One account. Raises UnknownUser."""
        self._access.require("user.list", of_user(name))
        return self._users.get(name)

    def add_user(self, name: str, kind: CallerKind, roles: frozenset[str] = frozenset()) -> User:
        """Makes an account. Raises UserExists, UnknownRole, GrantInvalid."""
        self._access.require("user.change", of_user(name))
        checked_name(name, "an account")
        for role in sorted(roles):
            self._need_role(role)
        return self._users.add(name, kind, roles)

    def enable_user(self, name: str, enabled: bool) -> User:
        """Lets an account in again, or lets it do nothing from now on. Raises UnknownUser."""
        self._access.require("user.change", of_user(name))
        self._users.set_enabled(name, enabled)
        return self._users.get(name)

    def give_role(self, name: str, role: str) -> User:
        """Gives an account a role. Raises UnknownUser, UnknownRole."""
        self._access.require("user.change", of_user(name))
        self._need_role(role)
        self._users.give(name, role)
        return self._users.get(name)

    def take_role(self, name: str, role: str) -> User:
        """Takes a role from an account. Raises UnknownUser, and UnknownRole if the account does not have it."""
        self._access.require("user.change", of_user(name))
        had = self._users.get(name).roles
        if role not in had:
            has = f"it has {', '.join(sorted(had))}" if had else "it has no role"
            raise UnknownRole(f"{name} does not have the role {role}", hint=did_you_mean(role, had, has))
        self._users.take(name, role)
        return self._users.get(name)

    # ---------------------------------------------------------------------------------- roles

    def roles(self) -> list[RoleShown]:
        """Roles that the caller may see: those that come with Rowkeeper first, then by name."""
        state, users = self._grants.state(), self.users()
        names = [*BUILT_IN_ROLES, *(each.name for each in state.roles)]
        return [_shown(name, state, users) for name in self._access.only("role.list", names, of_role)]

    def role(self, name: str) -> RoleShown:
        """One role. Raises UnknownRole."""
        self._access.require("role.list", of_role(name))
        self._need_role(name)
        return _shown(name, self._grants.state(), self.users())

    def add_role(self, name: str, told: str, may: tuple[NewGrant, ...] = ()) -> Role:
        """Makes a role, and grants to it. Raises RoleExists, UnknownRole, GrantInvalid."""
        self._access.require("role.change", of_role(name))
        checked_name(name, "a role")
        if name in BUILT_IN_ROLES:
            raise RoleExists(f"the role {name} comes with Rowkeeper", hint=f"rowkeeper roles show {name}")
        for each in may:
            assert (each.to_kind, each.to) == (To.ROLE, name)
            self._need_given(each)
        return self._grants.add_role(name, told, may)

    def remove_role(self, name: str) -> int:
        """Removes a role with all that hangs on it; tells from how many accounts. Raises UnknownRole, RoleExists."""
        self._access.require("role.change", of_role(name))
        if name in BUILT_IN_ROLES:
            raise RoleExists(
                f"the role {name} comes with Rowkeeper, and stays", hint=f"rowkeeper users take USER {name}"
            )
        self._need_role(name)
        return self._grants.remove_role(name)

    def filter_rows(self, role: str, table: str, condition: str | None) -> RowFilter | None:
        """Sets which rows of a table a role lets be seen, `*` of everybody; None lets all be seen again.

        Raises UnknownRole, GrantInvalid; UnknownGrant if there is no filter to take back.
        """
        self._access.require("role.change", of_role(role))
        if role != ANY:
            self._need_role(role)
        if condition is not None:
            wanted = RowFilter(role, table, row_condition(condition))
            self._grants.filter_rows(wanted)
            return wanted
        if not self._grants.unfilter_rows(role, table):
            raise UnknownGrant(f"the role {role} has no row filter on {table}", hint=f"rowkeeper roles show {role}")
        return None

    # --------------------------------------------------------------------------------- grants

    def grants(self) -> list[Grant]:
        """Grants that the caller may see, also those that have run out, by number."""
        state = self._grants.state()
        return [each for each in state.grants if self._access.may(*_seeing(each))]

    def add_grant(self, grant: NewGrant) -> Grant:
        """Grants something. Raises UnknownUser, UnknownRole."""
        self._access.require(*_changing(grant))
        if grant.to_kind is To.USER:
            self._users.get(grant.to)
        else:
            self._need_role(grant.to)
        self._need_given(grant)
        return self._grants.add(grant)

    def remove_grant(self, number: int) -> Grant:
        """Takes a grant back. Raises UnknownGrant, also where the caller may not see it."""
        found = next((each for each in self.grants() if each.id == number), None)
        if found is None:
            raise UnknownGrant(f"there is no grant {number}", hint="rowkeeper grants list")
        self._access.require(*_changing(found))
        return self._grants.remove(number)

    # ---------------------------------------------------------------------------------- names

    def _need_given(self, grant: NewGrant) -> None:
        if grant.gives_kind is Gives.ROLE:
            self._need_role(grant.gives)

    def _need_role(self, name: str) -> None:
        known = [*BUILT_IN_ROLES, *(each.name for each in self._grants.state().roles)]
        if name not in known:
            raise UnknownRole(f"there is no role {name}", hint=did_you_mean(name, known, "rowkeeper roles list"))


def _seeing(grant: Grant) -> tuple[str, Resource]:
    return ("user.list", of_user(grant.to)) if grant.to_kind is To.USER else ("role.list", of_role(grant.to))


def _changing(grant: NewGrant) -> tuple[str, Resource]:
    return ("user.change", of_user(grant.to)) if grant.to_kind is To.USER else ("role.change", of_role(grant.to))


def _shown(name: str, state: AccessState, users: list[User]) -> RoleShown:
    own = {each.name: each.told for each in state.roles}
    return RoleShown(
        name,
        BUILT_IN_ROLES.get(name) or own[name],
        name in BUILT_IN_ROLES,
        tuple(each for each in state.grants if (each.to_kind, each.to) == (To.ROLE, name)),
        tuple(each for each in state.row_filters if each.role == name),
        tuple(each.name for each in users if name in each.roles),
    )

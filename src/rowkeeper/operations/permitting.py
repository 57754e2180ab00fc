"""Questions about permissions, as `rowkeeper access` asks them: of this installation's accounts, roles and policies."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rowkeeper.access import CedarPermissions, Decision, Resource, ResourceKind, of_installation, of_role, of_user
from rowkeeper.access.builtin import BUILT_IN_ROLES
from rowkeeper.access.expecting import Expectation, expectations_in
from rowkeeper.access.explaining import Explanation, why
from rowkeeper.access.policy import Policy
from rowkeeper.access.resource import of_column
from rowkeeper.access.written import Fault, checked
from rowkeeper.caller import Caller
from rowkeeper.ledger.users import User
from rowkeeper.runs.asking import resource_of, run_for
from rowkeeper.runs.columnfacts import columns_of_table
from rowkeeper.runs.workspace import Workspace


@dataclasses.dataclass(frozen=True, slots=True)
class Answered:
    """What was expected, and what was answered."""

    expected: Expectation
    decision: Decision

    @property
    def met(self) -> bool:
        """Whether it is as expected."""
        return self.expected.allowed is self.decision.allowed


def ask_why(space: Workspace, user: str, action: str, on: Resource, purpose: str | None) -> Explanation:
    """Why an account may do something, or may not.

    A column has the labels that are given; without any those that the runs in its table gave it.

    Raises UnknownUser; UnknownRun of a run without its pipeline that the ledger does not know; AccessDenied to whoever
    may not see the account, or the run, whether there is one or not.
    """
    account = _account(space, user)
    if on.kind is ResourceKind.RUN and on.within is None and on.id.isdecimal():
        on = resource_of(run_for(space, "run.show", int(on.id)))
    if on.kind is ResourceKind.COLUMN and not on.labels and not on.protected:
        on = _as_loaded(space, on)
    caller = Caller(account.kind, account.name, roles=account.roles, purpose=purpose)
    return why(_permissions(space), caller, action, on)


def try_expectations(space: Workspace, file: Path) -> list[Answered]:
    """Asks everything that a file expects an answer to. Raises ConfigurationError; AccessDenied as `ask_why`."""
    permissions = _permissions(space)
    roles = [*BUILT_IN_ROLES, *(each.name for each in space.ledger.grants.state().roles)]
    expected = expectations_in(file, lambda name: _account(space, name), roles)
    for role in sorted({role for each in expected for role in each.caller.roles}):
        space.access.require("role.list", of_role(role))
    return [Answered(each, permissions.decide(each.caller, each.action, each.resource)) for each in expected]


def check_policies(space: Workspace) -> tuple[Sequence[Policy], Sequence[Fault]]:
    """The policies that were written by hand, and what is wrong with them. Raises AccessPolicyInvalid, AccessDenied."""
    space.access.require("settings.show", of_installation())
    return checked(space.settings.access_policies)


def _as_loaded(space: Workspace, column: Resource) -> Resource:
    """A column with what the ledger knows of it."""
    table, _, name = column.id.rpartition(".")
    known = {each.name: each for each in columns_of_table(space.ledger, table)}.get(name)
    return column if known is None else of_column(table, name, known.labels, known.protected)


def _account(space: Workspace, name: str) -> User:
    space.access.require("user.list", of_user(name))
    return space.ledger.users.get(name)


def _permissions(space: Workspace) -> CedarPermissions:
    permissions = space.access.permissions
    assert isinstance(permissions, CedarPermissions)
    return permissions

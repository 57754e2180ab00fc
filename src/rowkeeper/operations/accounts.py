"""Accounts of people and services, for doors that have a workspace; `access.administering` asks and does it."""

from __future__ import annotations

from typing import Any

from rowkeeper.access import of_user
from rowkeeper.access.administering import Administration
from rowkeeper.caller import CallerKind
from rowkeeper.ledger import User
from rowkeeper.runs.workspace import Workspace


def list_users(workspace: Workspace) -> list[User]:
    """The accounts that the caller may see, by name."""
    return _administration(workspace).users()


def show_user(workspace: Workspace, name: str) -> User:
    """An account. Raises AccessDenied, also where there is no such account; UnknownUser to who may see any."""
    workspace.access.require("user.list", of_user(name))
    return workspace.ledger.users.get(name)


def add_user(
    workspace: Workspace, name: str, kind: CallerKind = CallerKind.USER, roles: frozenset[str] = frozenset()
) -> User:
    """Makes an account. Raises AccessDenied, UserExists, UnknownRole, GrantInvalid."""
    return _administration(workspace).add_user(name, kind, roles)


def give_role(workspace: Workspace, name: str, role: str) -> User:
    """Gives an account a role. Raises AccessDenied, UnknownUser, UnknownRole."""
    return _administration(workspace).give_role(name, role)


def take_role(workspace: Workspace, name: str, role: str) -> User:
    """Takes a role from an account. Raises AccessDenied, UnknownUser, UnknownRole."""
    return _administration(workspace).take_role(name, role)


def set_enabled(workspace: Workspace, name: str, *, enabled: bool) -> User:
    """Lets an account in again, or lets it do nothing from now on. Raises AccessDenied, UnknownUser."""
    return _administration(workspace).enable_user(name, enabled)


def _administration(workspace: Workspace) -> Administration:
    return Administration(workspace.access, workspace.ledger)


def user_document(user: User) -> dict[str, Any]:
    """One account, as JSON."""
    return {
        "name": user.name,
        "kind": user.kind.value,
        "roles": sorted(user.roles),
        "enabled": user.enabled,
        "created_at": user.created_at.isoformat(),
        "disabled_at": user.disabled_at.isoformat() if user.disabled_at else None,
    }

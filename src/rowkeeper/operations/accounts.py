"""Accounts of people and services, for who may see or change them."""

from __future__ import annotations

from typing import Any

from rowkeeper.access import of_user
from rowkeeper.caller import CallerKind
from rowkeeper.ledger import User
from rowkeeper.runs.workspace import Workspace


def list_users(workspace: Workspace) -> list[User]:
    """The accounts that the caller may see, by name."""
    return workspace.access.only("user.list", workspace.ledger.users.all(), lambda each: of_user(each.name))


def show_user(workspace: Workspace, name: str) -> User:
    """An account. Raises AccessDenied, also where there is no such account; UnknownUser to who may see any."""
    workspace.access.require("user.list", of_user(name))
    return workspace.ledger.users.get(name)


def add_user(
    workspace: Workspace, name: str, kind: CallerKind = CallerKind.USER, roles: frozenset[str] = frozenset()
) -> User:
    """Makes an account. Raises AccessDenied or UserExists."""
    _require_change(workspace, name, "add")
    return workspace.ledger.users.add(name, kind, roles)


def give_role(workspace: Workspace, name: str, role: str) -> User:
    """Gives an account a role. Raises AccessDenied or UnknownUser."""
    _require_change(workspace, name, "give")
    workspace.ledger.users.give(name, role)
    return workspace.ledger.users.get(name)


def take_role(workspace: Workspace, name: str, role: str) -> User:
    """Takes a role from an account. Raises AccessDenied or UnknownUser."""
    _require_change(workspace, name, "take")
    workspace.ledger.users.take(name, role)
    return workspace.ledger.users.get(name)


def set_enabled(workspace: Workspace, name: str, *, enabled: bool) -> User:
    """Lets an account in again, or lets it do nothing from now on. Raises AccessDenied or UnknownUser."""
    _require_change(workspace, name, "enable" if enabled else "disable")
    workspace.ledger.users.set_enabled(name, enabled)
    return workspace.ledger.users.get(name)


def _require_change(workspace: Workspace, name: str, change: str) -> None:
    workspace.access.require("user.change", of_user(name), change=change)


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

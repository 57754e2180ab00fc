"""`users`: accounts of people and services, and the roles that each has."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.markup import escape

from rowkeeper.access.administering import Administration
from rowkeeper.caller import CallerKind
from rowkeeper.cli import render
from rowkeeper.cli.door import json_option, out, print_json, workspace
from rowkeeper.ledger.users import User


@click.group()
def users() -> None:
    """Accounts of people and services: list, add, disable and enable them, give and take roles."""


@users.command("list")
@json_option
def list_users(as_json: bool) -> None:
    """Every account, with its roles."""
    with workspace() as space:
        found = Administration(space.access, space.ledger).users()
    if as_json:
        print_json({"users": [each.as_dict() for each in found]})
    elif found:
        _show(found)
    else:
        out.print("no account; whoever owns the state folder may do everything, without one")


@users.command("add")
@click.argument("name")
@click.option("--role", "roles", multiple=True, help="A role that it has from the start. May be given several times.")
@click.option("--service", is_flag=True, help="It is a machine's, not a person's.")
@json_option
def add_user(name: str, roles: tuple[str, ...], service: bool, as_json: bool) -> None:
    """Make an account. It may do nothing until it has a role or a grant."""
    kind = CallerKind.SERVICE if service else CallerKind.USER
    with workspace() as space:
        made = Administration(space.access, space.ledger).add_user(name, kind, frozenset(roles))
    _tell(made, "added", as_json)


@users.command("disable")
@click.argument("name")
@json_option
def disable_user(name: str, as_json: bool) -> None:
    """Let an account do nothing from now on. It keeps its name, roles and grants."""
    with workspace() as space:
        changed = Administration(space.access, space.ledger).enable_user(name, False)
    _tell(changed, "disabled", as_json)


@users.command("enable")
@click.argument("name")
@json_option
def enable_user(name: str, as_json: bool) -> None:
    """Let a disabled account do again what its roles and grants say."""
    with workspace() as space:
        changed = Administration(space.access, space.ledger).enable_user(name, True)
    _tell(changed, "enabled", as_json)


@users.command("give")
@click.argument("name")
@click.argument("role")
@json_option
def give_role(name: str, role: str, as_json: bool) -> None:
    """Give an account a role."""
    with workspace() as space:
        changed = Administration(space.access, space.ledger).give_role(name, role)
    _tell(changed, f"has the role {role}", as_json)


@users.command("take")
@click.argument("name")
@click.argument("role")
@json_option
def take_role(name: str, role: str, as_json: bool) -> None:
    """Take a role from an account."""
    with workspace() as space:
        changed = Administration(space.access, space.ledger).take_role(name, role)
    _tell(changed, f"has the role {role} no more", as_json)


def _show(found: Sequence[User]) -> None:
    table = render.grid("account", "kind", "roles", "since", "")
    for each in found:
        roles = ", ".join(sorted(each.roles)) or "[dim]none[/]"
        state = "" if each.enabled else "[yellow]disabled[/]"
        table.add_row(escape(each.name), each.kind.value, roles, f"{each.created_at:%Y-%m-%d}", state)
    out.print(table)


def _tell(user: User, what: str, as_json: bool) -> None:
    if as_json:
        print_json({"user": user.as_dict()})
    else:
        out.print(f"[bold]{escape(user.name)}[/] {escape(what)}")

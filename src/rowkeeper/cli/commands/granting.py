"""`roles` and `grants`: what roles there are, what each may, and what is granted besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.markup import escape

from rowkeeper.access.administering import Administration, RoleShown
from rowkeeper.access.builtin import built_in_text
from rowkeeper.access.words import checked_purpose, given, granted_on, grantee, until
from rowkeeper.cli import render
from rowkeeper.cli.door import json_option, out, print_json, workspace
from rowkeeper.ledger.grants import ANY, Gives, Grant, NewGrant, RowFilter, To
from rowkeeper.ledger.ledger import utc_now

WHAT = "an action, such as run.rollback, or role:NAME"


@click.group()
def roles() -> None:
    """What roles there are, and what each may: list, show, add, remove, filter."""


@roles.command("list")
@json_option
def list_roles(as_json: bool) -> None:
    """Every role, those that come with Rowkeeper first."""
    with workspace() as space:
        found = Administration(space.access, space.ledger).roles()
    if as_json:
        print_json({"roles": [_role_document(each) for each in found]})
        return
    table = render.grid("role", "what for", "accounts", "grants")
    for each in found:
        table.add_row(each.name, escape(each.told), escape(", ".join(each.users)), str(len(each.grants) or ""))
    out.print(table)


@roles.command("show")
@click.argument("name")
@json_option
def show_role(name: str, as_json: bool) -> None:
    """What a role may: its policy, if it comes with Rowkeeper, its grants and its row filters."""
    with workspace() as space:
        found = Administration(space.access, space.ledger).role(name)
    policy = built_in_text(name) if found.built_in else None
    if as_json:
        print_json({"role": {**_role_document(found), "policy": policy}})
        return
    out.print(f"[bold]{name}[/]: {escape(found.told)}")
    if policy:
        out.print(f"\n{escape(policy.rstrip())}")
    for each in found.row_filters:
        out.print(f"\nof {escape(each.table)} it lets rows be seen where {escape(each.condition)}")
    if found.grants:
        out.print()
        _show_grants(found.grants)


@roles.command("add")
@click.argument("name")
@click.option("--for", "told", default="", help="What it is for, in a few words.")
@click.option("--may", multiple=True, metavar="WHAT", help=f"What it may everywhere: {WHAT}. May be given again.")
@json_option
def add_role(name: str, told: str, may: tuple[str, ...], as_json: bool) -> None:
    """Make a role of your own. grants add lets it do things on one pipeline or table alone."""
    wanted = tuple(NewGrant(To.ROLE, name, *given(each)) for each in may)
    with workspace() as space:
        administration = Administration(space.access, space.ledger)
        administration.add_role(name, told.strip(), wanted)
        made = administration.role(name)
    if as_json:
        print_json({"role": _role_document(made)})
    else:
        out.print(f"the role [bold]{escape(name)}[/] is made; it has {len(made.grants)} grants")


@roles.command("remove")
@click.argument("name")
@json_option
def remove_role(name: str, as_json: bool) -> None:
    """Remove a role of your own, with its grants and row filters, and take it from all accounts."""
    with workspace() as space:
        taken = Administration(space.access, space.ledger).remove_role(name)
    if as_json:
        print_json({"role": name, "taken_from": taken})
    else:
        out.print(f"the role [bold]{escape(name)}[/] is gone; {taken} accounts had it")


@roles.command("filter")
@click.argument("name", metavar="ROLE")
@click.argument("table")
@click.argument("condition", required=False)
@click.option("--remove", is_flag=True, help="Take the filter back: the role lets all rows be seen.")
@json_option
def filter_rows(name: str, table: str, condition: str | None, remove: bool, as_json: bool) -> None:
    """Which rows of TABLE a role lets be seen: those that meet CONDITION. '*' as ROLE is for everybody."""
    if remove == (condition is not None):
        raise click.UsageError("give a condition, or --remove")
    _, where = granted_on(f"table:{table}", Gives.ACTION, "data.query")
    with workspace() as space:
        kept = Administration(space.access, space.ledger).filter_rows(name, where, condition)
    if as_json:
        print_json({"role": name, "table": where, "condition": None if kept is None else kept.condition})
    elif kept is None:
        out.print(f"{escape(name)}: all rows of {escape(where)}")
    else:
        out.print(f"{escape(name)}: rows of {escape(where)} where {escape(kept.condition)}")


@click.group()
def grants() -> None:
    """What is granted to accounts and roles, on what, for which purpose, until when: list, add, remove."""


@grants.command("list")
@json_option
def list_grants(as_json: bool) -> None:
    """Every grant, also those that have run out."""
    with workspace() as space:
        found = Administration(space.access, space.ledger).grants()
    if as_json:
        print_json({"grants": [_grant_document(each) for each in found]})
    elif found:
        _show_grants(found)
    else:
        out.print("no grant")


@grants.command("add")
@click.argument("who", metavar="user:NAME|role:NAME")
@click.argument("what", metavar="ACTION|role:NAME")
@click.argument("on", metavar="ON")
@click.option("--purpose", help="The only purpose for which it counts.")
@click.option("--until", "end", metavar="WHEN", help="It ends then: 12h, 30d, 2027-01-31, 2027-01-31T18:00.")
@json_option
def add_grant(*, who: str, what: str, on: str, purpose: str | None, end: str | None, as_json: bool) -> None:
    """Grant an action or a role ON pipeline:NAME, table:NAME, column:TABLE.NAME, label:NAME or '*'."""
    gives = given(what)
    wanted = NewGrant(
        *grantee(who),
        *gives,
        *granted_on(on, *gives),
        purpose=None if purpose is None else checked_purpose(purpose),
        expires_at=None if end is None else until(end, utc_now()),
    )
    with workspace() as space:
        made = Administration(space.access, space.ledger).add_grant(wanted)
    if as_json:
        print_json({"grant": _grant_document(made)})
    else:
        out.print(f"grant {made.id}: {escape(_told(made))}")


@grants.command("remove")
@click.argument("number", type=int)
@json_option
def remove_grant(number: int, as_json: bool) -> None:
    """Take a grant back, by its number."""
    with workspace() as space:
        gone = Administration(space.access, space.ledger).remove_grant(number)
    if as_json:
        print_json({"grant": _grant_document(gone)})
    else:
        out.print(f"taken back: {escape(_told(gone))}")


def _role_document(role: RoleShown) -> dict[str, Any]:
    return {
        "name": role.name,
        "for": role.told,
        "built_in": role.built_in,
        "accounts": list(role.users),
        "grants": [_grant_document(each) for each in role.grants],
        "row_filters": [_filter_document(each) for each in role.row_filters],
    }


def _filter_document(each: RowFilter) -> dict[str, str]:
    return {"table": each.table, "condition": each.condition}


def _grant_document(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "to": f"{grant.to_kind}:{grant.to}",
        "gives": _gives(grant),
        "on": _on(grant),
        "purpose": grant.purpose,
        "expires_at": None if grant.expires_at is None else grant.expires_at.isoformat(),
        "created_at": grant.created_at.isoformat(),
    }


def _gives(grant: Grant) -> str:
    return f"role:{grant.gives}" if grant.gives_kind is Gives.ROLE else grant.gives


def _on(grant: Grant) -> str:
    return ANY if grant.on_kind == ANY else f"{grant.on_kind}:{grant.on}"


def _told(grant: Grant) -> str:
    purpose = "" if grant.purpose is None else f" for the purpose {grant.purpose}"
    end = "" if grant.expires_at is None else f" until {grant.expires_at:%Y-%m-%d %H:%M} UTC"
    return f"{grant.to_kind}:{grant.to} {_gives(grant)} on {_on(grant)}{purpose}{end}"


def _show_grants(found: Sequence[Grant]) -> None:
    now = utc_now()
    table = render.grid("grant", "to", "what", "on", "purpose", "until")
    for each in found:
        end = "" if each.expires_at is None else f"{each.expires_at:%Y-%m-%d %H:%M}"
        over = each.expires_at is not None and each.expires_at <= now
        cells = (f"{each.to_kind}:{each.to}", _gives(each), _on(each), each.purpose or "")
        table.add_row(str(each.id), *map(escape, cells), f"[dim]{end}, over[/]" if over else end)
    out.print(table)

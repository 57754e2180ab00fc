"""`access`: why somebody may or may not, what a file expects of that, and whether written policies are sound."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from rowkeeper.access.expecting import Expectation
from rowkeeper.access.explaining import Explanation
from rowkeeper.access.words import checked_action, checked_purpose, resource
from rowkeeper.cli import render
from rowkeeper.cli.door import DONE, FAILED, json_option, out, print_json, workspace
from rowkeeper.operations.permitting import Answered, ask_why, check_policies, try_expectations


@click.group()
def access() -> None:
    """Who may do what: why, whether it is as a file expects, and whether policies are sound."""


@access.command("why")
@click.argument("user")
@click.argument("action")
@click.argument("thing", metavar="RESOURCE")
@click.option("--purpose", help="What for.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    help="A classification of the column, instead of those that its table has. May be given several times.",
)
@click.option("--protected", is_flag=True, help="The table holds the column's values protected.")
@json_option
def tell_why(
    *, user: str, action: str, thing: str, purpose: str | None, labels: tuple[str, ...], protected: bool, as_json: bool
) -> int:
    """Which policy decides whether USER may do ACTION to RESOURCE, such as pipeline:flights or run:12.

    Exit status: 0 they may, 1 they may not.
    """
    on = dataclasses.replace(resource(thing), labels=frozenset(labels), protected=protected)
    for_it = None if purpose is None else checked_purpose(purpose)
    with workspace() as space:
        told = ask_why(space, user, checked_action(action), on, for_it)
    print_json(told.as_dict()) if as_json else _explain(told)
    return DONE if told.allowed else FAILED


@access.command("test")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def try_file(file: Path, as_json: bool) -> int:
    """Ask everything that FILE (TOML) expects an answer to. Exit status 1 if an answer differs."""
    with workspace() as space:
        answered = try_expectations(space, file)
    differing = [each for each in answered if not each.met]
    if as_json:
        print_json({"asked": len(answered), "differing": [_difference(each) for each in differing]})
    else:
        _show_differences(len(answered), differing)
    return FAILED if differing else DONE


@access.command("check")
@json_option
def check(as_json: bool) -> int:
    """Validate the policies that were written by hand. Exit status 1 if one cannot be used."""
    with workspace() as space:
        policies, faults = check_policies(space)
        where = space.settings.access_policies
    if as_json:
        shown = [{"id": each.id, "place": each.place, "effect": each.cedar["effect"]} for each in policies]
        told = [dataclasses.asdict(each) for each in faults]
        print_json({"policies": shown, "faults": told})
        return FAILED if faults else DONE
    for each in faults:
        out.print(f"[red]wrong:[/] {escape(each.place)}: {escape(each.told)}")
        if each.mend:
            out.print(f"       [bold]mend[/]  {escape(each.mend)}")
    if where is None:
        out.print("no policies are written by hand: ROWKEEPER_ACCESS_POLICIES is not set")
    elif not faults:
        out.print(f"[green]sound:[/] {len(policies)} policies in {escape(str(where))}")
    return FAILED if faults else DONE


@access.command("export")
@click.option("--clickhouse", is_flag=True, required=True, help="As statements for a ClickHouse server.")
@click.option("--purpose", help="What is permitted for this purpose; a server does not ask what for.")
@json_option
def export(*, clickhouse: bool, purpose: str | None, as_json: bool) -> None:
    """Print what roles may see of tables, for a server: roles, grants, row policies and masked views."""
    from rowkeeper.operations.serverexport import server_statements  # noqa: PLC0415 - its library takes its time

    assert clickhouse  # the one form there is
    with workspace() as space:
        found = server_statements(space, None if purpose is None else checked_purpose(purpose))
    if as_json:
        print_json({"statements": list(found)})
    else:
        for each in found:
            click.echo(f"{each};")


def _explain(told: Explanation) -> None:
    may = "[green]may[/]" if told.allowed else "[red]may not[/]"
    purpose = "" if told.caller.purpose is None else f" for the purpose {told.caller.purpose}"
    out.print(f"{escape(str(told.caller))} {may} {told.action} {escape(str(told.resource))}{escape(purpose)}")
    for policy in told.policies:
        verb = "forbidden" if policy.forbids else "allowed"
        out.print(f"  {verb} by [bold]{escape(policy.id)}[/] ({escape(policy.place)})")
    for also in told.also:
        out.print(f"  {escape(also)}")
    out.print(f"  roles: {escape(', '.join(sorted(told.roles))) or 'none'}")
    for grant in told.grants:
        out.print(f"  the role {escape(grant.gives)} by grant {grant.id}")


def _word(allowed: bool) -> str:
    return "allow" if allowed else "deny"


def _on(expected: Expectation) -> str:
    return f"{expected.resource.kind}:{expected.resource.id}"


def _difference(each: Answered) -> dict[str, Any]:
    expected = each.expected
    return {
        "number": expected.number,
        "who": expected.who,
        "action": expected.action,
        "on": _on(expected),
        "purpose": expected.caller.purpose,
        "expected": _word(expected.allowed),
        "answered": _word(each.decision.allowed),
        "policies": list(each.decision.policies),
    }


def _show_differences(asked: int, differing: Sequence[Answered]) -> None:
    if not differing:
        out.print(f"[green]as expected:[/] {asked} answers")
        return
    table = render.grid("", "who", "action", "on", "purpose", "expected", "answered", "by")
    for each in differing:
        told = _difference(each)
        cells = (told["who"], told["action"], told["on"], told["purpose"] or "", told["expected"], told["answered"])
        table.add_row(str(told["number"]), *map(escape, cells), escape(", ".join(told["policies"]) or "no policy"))
    out.print(table)
    out.print(f"{len(differing)} of {asked} answers differ")

"""`reveal`: protected columns turned back."""

from __future__ import annotations

import sys

import click

from rowkeeper.cli import render
from rowkeeper.cli.door import err, json_option, print_json, workspace
from rowkeeper.errors import DeclarationError
from rowkeeper.runs.revealing import reveal_column


@click.command()
@click.argument("table", metavar="TABLE")
@click.option("--column", required=True, help="Whose values are turned back.")
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Only rows with this value; of a joinable column the clear one. COLUMN=- asks for it: other users of the "
    "machine see what stands in a command.",
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many rows.")
@click.option("--reason", default="", help="Why. It is kept beside the audit trail.")
@json_option
def reveal(*, table: str, column: str, where: tuple[str, ...], limit: int, reason: str, as_json: bool) -> None:
    """Turn the values of a protected column back, for a reason, and on the record."""
    conditions = dict(_condition(each) for each in where)
    with workspace() as space:
        shown = reveal_column(table, column, space, where=conditions, limit=limit, reason=reason)
    err.print(
        f"[bold yellow]in the clear:[/] {len(shown.rows):,} values. The audit trail has noted who saw them, and why."
    )
    if as_json:
        print_json({"table": shown.table, "column": shown.column, "rows": [dict(row) for row in shown.rows]})
        return
    names = list(shown.rows[0]) if shown.rows else [column]
    render.show_rows(names, [tuple(row.values()) for row in shown.rows])


def _condition(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise DeclarationError("--where takes COLUMN=VALUE", hint="such as --where id=7")
    return name, _asked_for(name) if value == "-" else value


def _asked_for(name: str) -> str:
    """From a terminal without showing it, else the next line of standard input."""
    if sys.stdin.isatty():
        return str(click.prompt(name, hide_input=True, err=True))
    return sys.stdin.readline().removesuffix("\n")

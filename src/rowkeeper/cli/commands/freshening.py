"""`freshness`: the keys of tables that are watched, each for itself."""

from __future__ import annotations

import click
from rich.markup import escape

from rowkeeper.cli.door import json_option, out, print_json, workspace
from rowkeeper.cli.render import grid
from rowkeeper.ledger.freshness import KnownKey
from rowkeeper.operations.health import list_keys_seen, retire_key


@click.group()
def freshness() -> None:
    """What is known of the keys that are watched for freshness: list, retire."""


@freshness.command("list")
@click.argument("pipeline")
@json_option
def list_keys(pipeline: str, as_json: bool) -> None:
    """Every key that was seen of PIPELINE's table, by rule: its newest event, and whether rows of it are left."""
    with workspace() as space:
        found = list_keys_seen(space, pipeline)
    if as_json:
        print_json({"pipeline": pipeline, "keys": [each.as_dict() for each in found]})
        return
    if not found:
        out.print("no key has been seen: rowkeeper health FILE looks, once rows are published")
        return
    table = grid("rule", "key", "newest", "rows", "expected")
    for each in found:
        table.add_row(
            escape(each.rule), escape(each.key), _newest(each), "yes" if each.present else "none", _expected(each)
        )
    out.print(table)


@freshness.command("retire")
@click.argument("pipeline")
@click.argument("key")
@click.option("--reason", metavar="TEXT", help="Why; for the audit trail.")
@json_option
def retire(pipeline: str, key: str, reason: str | None, as_json: bool) -> None:
    """Expect nothing of KEY any more, until it has a newer event than it has now."""
    with workspace() as space:
        retired = retire_key(space, pipeline, key, reason=reason)
    if as_json:
        print_json({"status": "retired", "keys": [each.as_dict() for each in retired]})
        return
    out.print(f"nothing of {escape(key)} is expected any more in {escape(pipeline)}, until it has a newer event")


def _newest(known: KnownKey) -> str:
    return "none" if known.newest is None else f"{known.newest:%Y-%m-%d %H:%M:%S} UTC"


def _expected(known: KnownKey) -> str:
    return "yes" if known.retired_at is None else f"not since {known.retired_at:%Y-%m-%d}"

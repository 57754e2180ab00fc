"""`keys`: keysets listed, rotated, wrapped anew; keys revoked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.door import err, json_option, out, print_json, tell_key_made, workspace
from rowkeeper.operations.keys import KeyFound, list_keys, revoke, rewrap, rotate
from rowkeeper.security.keysets import ENGINE


@click.group()
def keys() -> None:
    """The keys of everything at rest: list, rotate, rewrap, revoke."""


@keys.command("list")
@json_option
def show_keys(as_json: bool) -> None:
    """Every key: what it is for, whether it writes or only reads, and how many files are sealed with it."""
    with workspace() as space:
        found = list_keys(space)
    if as_json:
        print_json(found.as_dict())
        return
    _show(found.keys)
    out.print(f"\nwrapped with {escape(found.wrapped_with or 'a key that you may not see')}")


@keys.command("rotate")
@click.argument("purposes", nargs=-1, metavar="[PURPOSE]...")
@click.option("--all", "everything", is_flag=True, help="All keysets there are.")
@json_option
def rotate_keys(purposes: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Give keysets a new key to write with. What was written before stays readable; runs may be under way."""
    if bool(purposes) == everything:
        raise click.UsageError("name the keysets to rotate, or --all")
    with workspace() as space:
        rotated = rotate(space, purposes)
    if as_json:
        print_json({"status": "rotated", "keys": [each.as_dict() for each in rotated]})
        return
    for each in rotated:
        out.print(f"{escape(each.purpose)} is written with key [bold]{each.id:08x}[/] from now on")
    if any(each.purpose == ENGINE for each in rotated):
        out.print("an engine that is up goes on with the key it has until it is started again")


@keys.command("rewrap")
@click.option("--to", metavar="KEY", help="file:PATH, env:NAME, keyring:SERVICE/NAME, vault:PATH#KEY or transit:NAME.")
@json_option
def rewrap_keys(to: str | None, as_json: bool) -> None:
    """Wrap all keysets with another key, or with the newest version of one in a vault. No data are touched."""
    with workspace() as space:
        done = rewrap(space, to)
        if done.made is not None:
            tell_key_made(done.made, space.folder.path)
    if as_json:
        print_json({"status": "rewrapped", "keysets": done.keysets, "before": done.before, "after": done.after})
    else:
        out.print(f"{len(done.keysets)} keysets are wrapped with {escape(done.after)} now")
    if done.set_to:
        err.print(f"[bold]next:[/] set ROWKEEPER_KEY to {escape(done.after)}: it leads to the former key")


@keys.command("revoke")
@click.argument("key_id")
@click.option("--force", is_flag=True, help="Also if something is sealed with it, which is lost then. Needs --reason.")
@click.option("--reason", metavar="TEXT", help="Why; it is kept with the key.")
@json_option
def revoke_key(key_id: str, force: bool, reason: str | None, as_json: bool) -> None:
    """Destroy a key that nothing is sealed with any more."""
    if force and not reason:
        raise click.UsageError("--force needs --reason")
    with workspace() as space:
        revoked = revoke(space, key_id, force=force, reason=reason)
    if as_json:
        print_json({"status": "revoked", "key": revoked.as_dict()})
        return
    out.print(f"key [bold]{revoked.id:08x}[/] of {escape(revoked.purpose)} is revoked")


def _show(found: Sequence[KeyFound]) -> None:
    table = render.grid("purpose", "key", "status", "made", "files", "reason")
    for each in found:
        cells: tuple[Any, ...] = (
            escape(each.purpose),
            f"{each.id:08x}",
            each.status,
            f"{each.made:%Y-%m-%d %H:%M}",
            "" if each.files is None else f"{each.files:,}",
            escape(each.reason or ""),
        )
        table.add_row(*cells)
    out.print(table)

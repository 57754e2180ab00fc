"""`bundle`: what one attaches to a report of a fault."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from rowkeeper.cli.door import json_option, out, print_json, workspace
from rowkeeper.operations.bundle import LEFT_OUT, STILL_IN, make_bundle


@click.command()
@click.argument("number", metavar="RUN", type=int)
@click.option("--output", type=click.Path(path_type=Path), help="Default: rowkeeper-run-RUN.zip in this folder.")
@json_option
def bundle(number: int, output: Path | None, as_json: bool) -> None:
    """Make a zip to attach to a report of a fault: log, plan, settings, versions; no secrets, no values of rows."""
    with workspace() as space:
        made = make_bundle(number, space, output or Path(f"rowkeeper-run-{number}.zip"))
    if as_json:
        print_json({"run": number, "file": str(made.path), "contents": dict(made.contents), "left_out": list(LEFT_OUT)})
        return
    out.print(f"wrote [bold]{escape(str(made.path))}[/], for you alone to read; in it:")
    for name, what in made.contents.items():
        out.print(f"  {name:<18} {what}")
    out.print("not in it:")
    for what in LEFT_OUT:
        out.print(f"  {what}")
    out.print(f"still in it: {STILL_IN}")

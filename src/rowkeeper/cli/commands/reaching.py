"""`endpoints`: every place on the network that settings and pipelines declare."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from rowkeeper.cli.door import json_option, load_settings, out, print_json
from rowkeeper.operations.alerts.declaring import reached_by
from rowkeeper.pipeline import load_file
from rowkeeper.runs.reaching import declared_endpoints


@click.command()
@click.argument("files", metavar="[FILE ...]", nargs=-1, type=click.Path(path_type=Path))
@json_option
def endpoints(files: tuple[Path, ...], as_json: bool) -> None:
    """Every place on the network that the settings and the pipelines of these files declare; no other is reached."""
    settings = load_settings()
    pipelines = [pipeline for file in files for pipeline in load_file(file).values()]
    found = tuple(dict.fromkeys([*declared_endpoints(settings, pipelines), *reached_by(settings)]))
    if as_json:
        print_json({"egress": settings.egress, "endpoints": [each.document() for each in found]})
        return
    for each in found:
        way = each.document()["proxy"]
        marks = "  ".join(filter(None, ("private" if each.private else "", f"by {way}" if way else "")))
        out.print(f"[bold]{escape(str(each))}[/]  {escape(each.why)}  [dim]{escape(marks)}[/]")
    if not found:
        out.print("nothing is declared: no place on the network is reached")
    if settings.egress != "enforce":
        out.print(f"[yellow]not enforced[/]: ROWKEEPER_EGRESS is {settings.egress}")

"""`explain`: how each field of a contract is checked."""

from __future__ import annotations

from typing import Any

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.choosing import pipelines_of
from rowkeeper.cli.door import json_option, out, print_json


@click.command()
@click.argument("file", metavar="FILE[:NAME]")
@json_option
def explain(file: str, as_json: bool) -> None:
    """How each field of the contract is checked, and why; what source and destination guarantee."""
    documents = []
    for pipeline in pipelines_of(file):
        fields = pipeline.rules.explain()
        documents.append(
            {
                "pipeline": pipeline.name,
                "source": {"mode": pipeline.source.mode.value, "guarantee": pipeline.source.guarantee.value},
                "destination": {
                    "target": pipeline.destination.target,
                    "write": pipeline.destination.write_mode,
                    "guarantee": pipeline.destination.guarantee.value,
                },
                "drift": pipeline.drift,
                "fields": [
                    {"name": each.name, "kind": each.kind, "column": each.column, "why": each.why} for each in fields
                ],
            }
        )
    if as_json:
        print_json(documents[0] if len(documents) == 1 else {"pipelines": documents})
        return
    for document in documents:
        _show_plan(document)


def _show_plan(document: dict[str, Any]) -> None:
    source, destination = document["source"], document["destination"]
    out.print(f"[bold]{escape(document['pipeline'])}[/]")
    out.print(f"  source       {source['mode']} values, {source['guarantee']}")
    out.print(f"  destination  {escape(destination['target'])}, {destination['write']}, {destination['guarantee']}")
    out.print(f"  drift        {document['drift']}\n")
    table = render.grid("field", "kind", "column", "why")
    for field in document["fields"]:
        table.add_row(*(escape(str(field[key])) for key in ("name", "kind", "column", "why")))
    out.print(table)
    out.print()

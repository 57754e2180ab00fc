"""`explain` and `errors`: how each field of a contract is checked, and what an error code means."""

from __future__ import annotations

import click

from rowkeeper.cli import render
from rowkeeper.cli.choosing import pipelines_of
from rowkeeper.cli.door import json_option, print_json, workspace
from rowkeeper.errors import all_errors, error_of
from rowkeeper.runs.explaining import explained


@click.command()
@click.argument("file", metavar="FILE[:NAME]")
@json_option
def explain(file: str, as_json: bool) -> None:
    """How each field of the contract is checked, and why; what source and destination guarantee."""
    pipelines = pipelines_of(file)
    with workspace() as space:
        documents = [explained(pipeline, space) for pipeline in pipelines]
    if as_json:
        print_json(documents[0] if len(documents) == 1 else {"pipelines": documents})
        return
    for document in documents:
        render.show_plan(document)


@click.command()
@click.argument("code", required=False)
@json_option
def errors(code: str | None, as_json: bool) -> None:
    """What an error code means, and what to do; without a code, all of them."""
    documents = [each.explanation() for each in (all_errors() if code is None else [error_of(code)])]
    if as_json:
        print_json({"errors": documents})
    else:
        render.show_errors(documents)

"""`files`: which files a table of files is now."""

from __future__ import annotations

import click
from rich.markup import escape

from rowkeeper.cli.choosing import pipelines_of
from rowkeeper.cli.door import json_option, out, print_json, workspace
from rowkeeper.operations.tablefiles import files_of


@click.command()
@click.argument("file", metavar="FILE[:NAME]")
@json_option
def files(file: str, as_json: bool) -> None:
    """Which files a table of files is now, for whoever reads it."""
    pipelines = pipelines_of(file)
    with workspace() as space:
        documents = [files_of(pipeline, space) for pipeline in pipelines]
    if as_json:
        print_json(documents[0] if len(documents) == 1 else {"tables": documents})
        return
    for document in documents:
        for each in document["files"]:
            out.print(escape(each), soft_wrap=True)
        version = f"version {document['version']} of {document['target']}"
        out.print(f"{document['rows']:,} rows in {len(document['files']):,} files; {escape(version)}", style="dim")

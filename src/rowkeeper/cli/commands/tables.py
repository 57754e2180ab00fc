"""`rollback`, `verify` and `query`: what is done with tables that were published."""

from __future__ import annotations

import click

from rowkeeper.cli import render
from rowkeeper.cli.choosing import pipelines_of
from rowkeeper.cli.door import DONE, FAILED, err, json_option, print_json, workspace
from rowkeeper.cli.progress import shown
from rowkeeper.runs.querying import run_query
from rowkeeper.runs.rollback import rollback_run
from rowkeeper.runs.verifying import verify_pipeline


@click.command()
@click.argument("number", metavar="RUN", type=int)
@json_option
def rollback(number: int, as_json: bool) -> None:
    """Take a published run back; its input counts as not loaded."""
    with workspace() as space, shown(err) as observe:
        report = rollback_run(number, space, observe)
    print_json(report.as_dict()) if as_json else render.show_report(report)


@click.command()
@click.argument("file", metavar="FILE[:NAME]")
@json_option
def verify(file: str, as_json: bool) -> int:
    """Recompute what is in the tables, and compare it with the books."""
    pipelines = pipelines_of(file)
    with workspace() as space:
        reports = [verify_pipeline(pipeline, space) for pipeline in pipelines]
    if as_json:
        documents = [report.as_dict() for report in reports]
        print_json(documents[0] if len(documents) == 1 else {"tables": documents})
    else:
        for report in reports:
            render.show_verify(report)
    return DONE if all(report.sound for report in reports) else FAILED


@click.command()
@click.argument("sql")
@click.option("--purpose", help="What for, in one word; permissions may ask for it, and the audit trail keeps it.")
@json_option
def query(sql: str, purpose: str | None, as_json: bool) -> None:
    """SQL on the embedded ClickHouse, read only."""
    with workspace() as space:
        answer = run_query(space, sql, purpose=purpose, rows_max=None)
    if as_json:
        columns = [{"name": name, "type": kind} for name, kind in answer.columns]
        print_json({"columns": columns, "rows": [list(row) for row in answer.rows]})
    else:
        render.show_rows([name for name, _ in answer.columns], answer.rows)

"""`spool`: runs whose destination could not take them, and that wait in sealed files."""

from __future__ import annotations

from typing import Any

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.door import DONE, err, exit_status, json_option, out, print_json, tell_error, tell_trace, workspace
from rowkeeper.cli.progress import shown
from rowkeeper.logs.failure import document
from rowkeeper.runs.asking import list_spool
from rowkeeper.runs.draining import Drained, drain_spool


@click.group()
def spool() -> None:
    """Runs that wait in encrypted files until their destination can take them."""


@spool.command("list")
@json_option
def show_spool(as_json: bool) -> None:
    """What waits, in the order in which it is drained."""
    with workspace() as space:
        found = list_spool(space)
    if as_json:
        print_json(found.as_dict())
        return
    if not found.runs:
        out.print("nothing waits in the spool")
        return
    render.show_runs(found.runs)
    for run in found.runs:
        if run.error:
            out.print(f"run [bold]{run.run}[/] of {escape(run.pipeline)}: {escape(str(run.error['what']))}")
    out.print(f"\n{found.bytes / 1e6:,.1f} MB; rowkeeper spool drain publishes it, rowkeeper abandon RUN gives one up")


@spool.command("drain")
@click.argument("pipeline", required=False)
@click.option("--automatic", is_flag=True, help="Leave alone what a live run holds, and what its gates held before.")
@json_option
def drain(pipeline: str | None, automatic: bool, as_json: bool) -> int:
    """Publish what waits, oldest first; or what waits for the destinations of this pipeline."""
    with workspace() as space, shown(err) as observe:
        drained = drain_spool(space, pipeline, automatic=automatic, observe=observe)
    failures = [each.error for each in drained if each.error is not None]
    if as_json:
        print_json(_document(drained))
    else:
        _show(drained)
    for error in failures:
        tell_trace(error)
        tell_error(error)
    return max((exit_status(error) for error in failures), default=DONE)


def _document(drained: list[Drained]) -> dict[str, Any]:
    failures = [document(each.error) for each in drained if each.error is not None]
    return {
        "status": "failed" if failures else "drained",
        "runs": [report.as_dict() for each in drained for report in each.reports],
        **({"error": failures[0]} if failures else {}),
    }


def _show(drained: list[Drained]) -> None:
    reports = [report for each in drained for report in each.reports]
    for report in reports:
        render.show_report(report)
    if not drained:
        out.print("nothing waits in the spool")

"""`run` and `recover`: what makes runs, and what finishes dead ones."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.choosing import pipelines_of
from rowkeeper.cli.door import (
    DONE,
    DONE_IN_PART,
    err,
    exit_status,
    json_option,
    out,
    print_json,
    print_json_line,
    tell_error,
    tell_trace,
    workspace,
    worst,
)
from rowkeeper.cli.moments import INTERVAL
from rowkeeper.cli.progress import shown
from rowkeeper.errors import DeclarationError, FrameworkError, RunInterrupted
from rowkeeper.logs.failure import document
from rowkeeper.pipeline import Pipeline
from rowkeeper.resilience.deadline import deadline, process_is_ending
from rowkeeper.runs.following import follow as follow_runs
from rowkeeper.runs.following import one_run
from rowkeeper.runs.interrupt import patient
from rowkeeper.runs.loading import run_pipeline
from rowkeeper.runs.reconciling import recover as recover_runs
from rowkeeper.runs.report import RunReport
from rowkeeper.runs.workspace import Workspace
from rowkeeper.schedule import Slot, answering


@click.command()
@click.argument("file", metavar="FILE[:NAME]")
@click.option(
    "--deadline",
    "seconds",
    type=click.FloatRange(min=0, max=1e9, min_open=True),
    metavar="SECONDS",
    help="Interrupt what is not done after so long; the next run goes on. With --follow: of each run.",
)
@click.option("--follow", is_flag=True, help="Of a stream: one run after another until Ctrl-C or SIGTERM; then exit 0.")
@click.option(
    "--slot",
    "slot",
    type=INTERVAL,
    metavar="SINCE/UNTIL",
    help="The interval that the run is for, which the pipeline sees in rk.slot(): two ISO times, UTC unless they say.",
)
@click.option("--answers", "number", type=click.IntRange(min=1), hidden=True, help="The slot's number in the ledger.")
@json_option
def run(file: str, *, seconds: float | None, follow: bool, slot: Slot | None, number: int | None, as_json: bool) -> int:
    """Run the pipelines of a file, or the one of this name.

    Exit status: 0 done; 1 it failed and published nothing; 2 wrong usage or configuration; 3 published without
    partitions that failed. Of several pipelines: 1 if any ended so, else 2, else 3.
    """
    if follow and slot is not None:
        raise click.UsageError("--follow and --slot cannot be together: what is followed has no slots")
    if follow:
        return _follow(file, seconds, as_json)
    with deadline(seconds), _answering(file, slot, number):
        return _run(file, as_json)


def _answering(file: str, slot: Slot | None, number: int | None) -> AbstractContextManager[None]:
    return nullcontext() if slot is None else answering(slot, file.partition(":")[2] or None, number)


def _follow(file: str, seconds: float | None, as_json: bool) -> int:
    pipeline, *others = pipelines_of(file)
    if others:
        raise DeclarationError(f"{file} declares several pipelines", hint=f"follow one: {file}:{pipeline.name}")

    def waits(error: FrameworkError, wait: float) -> None:
        tell_error(error)
        if as_json:
            failed = {"pipeline": pipeline.name, "status": "failed", "error": document(error)}
            print_json_line({**failed, "retry_seconds": round(wait, 1)})
        else:
            err.print(f"trying again in {wait:,.0f} s")

    with workspace() as space, patient() as patience:

        def once() -> RunReport:
            with shown(err) as observe:
                report = one_run(pipeline, space, observe, seconds)
            print_json_line(report.as_dict()) if as_json else render.show_line(report)
            return report

        follow_runs(pipeline, space, once, pause=patience.pause, waits=waits, chance=random.Random())  # noqa: S311
    return DONE


def _run(file: str, as_json: bool) -> int:
    pipelines = pipelines_of(file)
    with workspace() as space:
        ended = [_run_one(pipeline, space, as_json) for pipeline in pipelines]
    documents = [document for document, _ in ended]
    if as_json:
        print_json(documents[0] if len(documents) == 1 else {"status": _worst(documents), "runs": documents})
    return worst(status for _, status in ended)


def _run_one(pipeline: Pipeline, space: Workspace, as_json: bool) -> tuple[dict[str, Any], int]:
    """Runs one pipeline; a failure is told and does not keep the file's other pipelines from running."""
    try:
        if process_is_ending():
            raise RunInterrupted(f"{pipeline.name} was not begun: the command was stopped", hint="give it again")
        with shown(err) as observe:  # the live line is gone before anything else is printed
            report = run_pipeline(pipeline, space, observe)
    except FrameworkError as error:
        tell_trace(error)
        tell_error(error)
        told = {key: error.context[key] for key in ("run", "status") if key in error.context}  # of a held run
        failed = {"pipeline": pipeline.name, "status": "failed", **told, "error": document(error)}
        return failed, exit_status(error)
    if not as_json:
        render.show_report(report)
    return report.as_dict(), DONE_IN_PART if report.failed else DONE


def _worst(documents: list[dict[str, Any]]) -> str:
    statuses = {document["status"] for document in documents}
    return next(status for status in ("failed", "held", "spooled", "published", "unchanged") if status in statuses)


@click.command()
@click.option("--discard", is_flag=True, help="Undo runs that could still be resumed.")
@click.option("--automatic", is_flag=True, help="Leave alone what a live run holds, and what a person stopped.")
@json_option
def recover(discard: bool, automatic: bool, as_json: bool) -> None:
    """Finish or undo what dead runs left behind."""
    with workspace() as space, shown(err) as observe:
        findings = recover_runs(space, discard=discard, automatic=automatic, observe=observe)
    if as_json:
        print_json(
            {
                "runs": [
                    {"run": each.run, "pipeline": each.pipeline, "outcome": each.outcome, "note": each.note}
                    for each in findings
                ]
            }
        )
        return
    for each in findings:
        out.print(f"[bold]{escape(each.pipeline)}[/]  {each.outcome}  {escape(each.note)}")
    if not findings:
        out.print("nothing to recover: no run was left unfinished")

"""`worker`, `status`: pipelines that run by themselves."""

from __future__ import annotations

import contextlib
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from rowkeeper.cli.commands.scheduling import show
from rowkeeper.cli.door import json_option, out, print_json, workspace
from rowkeeper.operations.scheduled import list_schedules
from rowkeeper.operations.worker.worker import Worker
from rowkeeper.runs.asking import list_unfinished
from rowkeeper.runs.report import run_document

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("files", metavar="[FILE ...]", nargs=-1, type=FILE)
@json_option
def worker(files: tuple[Path, ...], as_json: bool) -> None:
    """Run the scheduled pipelines of these files, and finish what dead runs left behind, until told to stop.

    With --json, one JSON document on a line for each event.
    """
    with workspace() as space:
        Worker(space, files, _tell_json if as_json else _tell_line, random.Random()).work()  # noqa: S311 - jitter


def _tell_json(event: str, **facts: Any) -> None:
    with contextlib.suppress(OSError):  # nobody listens, or the log's disk is full: the work goes on
        click.echo(json.dumps({"at": datetime.now(UTC).isoformat(), "event": event, **facts}, ensure_ascii=False))


def _tell_line(event: str, **facts: Any) -> None:
    told = "  ".join(f"{name} {escape(str(value))}" for name, value in facts.items())
    with contextlib.suppress(OSError):
        out.print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}  [bold]{event}[/]  {told}")
        out.file.flush()


@click.command()
@json_option
def status(as_json: bool) -> None:
    """What is scheduled, due next, under way, and what became of it the last time."""
    with workspace() as space:
        found = list_schedules(space)
        unfinished = list_unfinished(space)
    if as_json:
        documents = [each.as_dict() for each in found]
        print_json({"schedules": documents, "unfinished": [run_document(run) for run in unfinished]})
        return
    if not found:
        out.print("nothing is scheduled: rowkeeper worker FILE serves the pipelines that have a schedule")
    for each in found:
        show(each)
    for run in unfinished:
        out.print(f"run [bold]{run.run}[/] of {escape(run.pipeline)} is {run.status.value}")

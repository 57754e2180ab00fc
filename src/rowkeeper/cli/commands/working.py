"""`worker`, `schedule`, `status`: pipelines that run by themselves."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from rowkeeper.cli.door import json_option, load_settings, out, print_json, workspace
from rowkeeper.operations.scheduled import list_schedules
from rowkeeper.operations.worker.worker import Worker
from rowkeeper.pipeline import load_file
from rowkeeper.runs.asking import list_unfinished
from rowkeeper.runs.report import run_document
from rowkeeper.schedule import Schedule

SHOWN = 3
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
@click.argument("file", type=FILE)
@json_option
def schedule(file: Path, as_json: bool) -> None:
    """When the pipelines of a file are due."""
    load_settings()
    found = load_file(file)
    due = {name: list(islice(_instants(each.schedule), SHOWN)) for name, each in found.items()}
    if as_json:
        documents = [
            {"pipeline": name, "schedule": each.schedule, "next": [moment.isoformat() for moment in due[name]]}
            for name, each in found.items()
        ]
        print_json({"pipelines": documents})
        return
    for name, each in found.items():
        when = ", ".join(f"{moment:%Y-%m-%d %H:%M:%S}" for moment in due[name]) or "whenever it is asked for"
        out.print(f"[bold]{escape(name)}[/]  {escape(each.schedule or 'no schedule')}  {when}")


def _instants(text: str | None) -> Iterator[datetime]:
    moment = datetime.now(UTC)
    while text is not None:
        moment = Schedule.parse(text).next_after(moment)
        yield moment


@click.command()
@json_option
def status(as_json: bool) -> None:
    """What is scheduled, due next, under way, and what became of it the last time."""
    with workspace() as space:
        documents = [each.as_dict() for each in list_schedules(space)]
        unfinished = list_unfinished(space)
    if as_json:
        print_json({"schedules": documents, "unfinished": [run_document(run) for run in unfinished]})
        return
    if not documents:
        out.print("nothing is scheduled: rowkeeper worker FILE serves the pipelines that have a schedule")
    for each in documents:
        due = "under way" if each["pid"] else f"next {each['next'][:19]}"
        last = f"last {each['outcome']} {each['ended_at'][:19]}" if each["ended_at"] else "never run"
        out.print(f"[bold]{escape(each['pipeline'])}[/]  {escape(each['schedule'])}  {due}  {last}")
        if each["failures"]:
            out.print(f"  {each['failures']} failures in a row, the last: {escape(each['error'])}")
        elif each["error"]:
            out.print(f"  {escape(each['error'])}")
        if not each["served"]:
            out.print("  no worker serves it")
    for run in unfinished:
        out.print(f"run [bold]{run.run}[/] of {escape(run.pipeline)} is {run.status.value}")

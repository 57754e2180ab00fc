"""`schedule`: when pipelines are due and how they stand; paused, resumed, filled afterwards."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rowkeeper.cli.door import err, json_option, load_settings, out, print_json, workspace
from rowkeeper.cli.moments import MOMENT
from rowkeeper.errors import PipelineFileError
from rowkeeper.operations.backfilling import Filling, Watcher, backfill
from rowkeeper.operations.scheduled import (
    Scheduled,
    list_schedules,
    pause_schedule,
    resume_schedule,
    show_schedule,
)
from rowkeeper.pipeline import Pipeline, load_file, select
from rowkeeper.runs.interrupt import patient
from rowkeeper.schedule import Timing, delay_of

SHOWN = 3
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def schedule() -> None:
    """When pipelines are due, and how their schedules stand: list, pause, resume, backfill."""


# ---------------------------------------------------------------------------------------------------- list


@schedule.command("list")
@click.argument("files", metavar="[FILE ...]", nargs=-1, type=FILE)
@json_option
def list_them(files: tuple[Path, ...], as_json: bool) -> None:
    """The schedules that workers were given, and how they stand; with files, when their pipelines are due."""
    if files:
        _list_declared(files, as_json)
        return
    with workspace() as space:
        found = list_schedules(space)
    if as_json:
        print_json({"schedules": [each.as_dict() for each in found]})
        return
    if not found:
        out.print("nothing is scheduled: rowkeeper worker FILE serves the pipelines that have a schedule")
    for each in found:
        show(each)


def _list_declared(files: tuple[Path, ...], as_json: bool) -> None:
    load_settings()
    found: dict[str, Pipeline] = {}
    for file in files:
        for name, each in load_file(file).items():
            found.setdefault(name, each)
    due = {name: list(islice(_instants(name, each.timing), SHOWN)) for name, each in found.items()}
    if as_json:
        print_json({"pipelines": [_declared(each, due[name]) for name, each in found.items()]})
        return
    for name, each in found.items():
        when = ", ".join(f"{moment:%Y-%m-%d %H:%M:%S}" for moment in due[name]) or "whenever it is asked for"
        if each.timing is not None and not due[name]:
            when = "always" if each.timing.follows else "after each of their publishes"
        out.print(f"[bold]{escape(name)}[/]  {escape(each.timing.told if each.timing else 'no schedule')}  {when}")


def _declared(pipeline: Pipeline, due: list[datetime]) -> dict[str, Any]:
    timing = pipeline.timing
    return {
        "pipeline": pipeline.name,
        "schedule": timing.schedule or None if timing else None,
        "timing": timing.as_dict() if timing else None,
        "next": [moment.isoformat() for moment in due],
    }


def _instants(name: str, timing: Timing | None) -> Iterator[datetime]:
    instants = None if timing is None else timing.instants
    moment = datetime.now(UTC)
    while instants is not None and timing is not None:
        moment = instants.next_after(moment)
        yield moment + delay_of(name, moment, timing.jitter_seconds)


def show(each: Scheduled) -> None:
    """One schedule, for people."""
    record = each.record
    last = f"last {record.outcome} {record.ended_at:%Y-%m-%d %H:%M:%S}" if record.ended_at else "never run"
    out.print(f"[bold]{escape(record.pipeline)}[/]  {escape(record.timing.told)}  {_stands(each)}  {last}")
    if record.paused is not None:
        why = f": {record.paused.why}" if record.paused.why else ""
        out.print(f"  paused since {record.paused.at:%Y-%m-%d %H:%M:%S} by {escape(record.paused.by + why)}")
    if each.last is not None:
        out.print(f"  its slot was {each.last.since:%Y-%m-%d %H:%M:%S} to {each.last.until:%Y-%m-%d %H:%M:%S} UTC")
    if each.waits_for:
        out.print(f"  waits for a publish of {escape(', '.join(each.waits_for))}")
    if record.failures:
        out.print(f"  {record.failures} failures in a row, the last: {escape(record.told)}")
    elif record.told:
        out.print(f"  {escape(record.told)}")
    if not each.served:
        out.print("  no worker serves it")


def _stands(each: Scheduled) -> str:
    if each.pid is not None:
        return "under way"
    if each.record.paused is not None:
        return "paused"
    if each.next is None:
        return "next after a publish"
    late = f", {each.late_seconds:,.0f} s late" if each.late_seconds >= 1 else ""
    return f"next {each.next:%Y-%m-%d %H:%M:%S}{late}"


# ------------------------------------------------------------------------------------------ pause and resume


@schedule.command("pause")
@click.argument("pipeline", metavar="NAME")
@click.option("--reason", default="", help="Why; kept beside the audit trail.")
@json_option
def pause(pipeline: str, reason: str, as_json: bool) -> None:
    """Begin no run of this pipeline's schedule until it is resumed; one that is under way ends."""
    with workspace() as space:
        _told("paused", pause_schedule(space, pipeline, reason), as_json)


@schedule.command("resume")
@click.argument("pipeline", metavar="NAME")
@json_option
def resume(pipeline: str, as_json: bool) -> None:
    """Go on with a paused schedule; what was missed meanwhile is caught up with as it declares."""
    with workspace() as space:
        _told("resumed", resume_schedule(space, pipeline), as_json)


def _told(status: str, found: Scheduled, as_json: bool) -> None:
    if as_json:
        print_json({"status": status, "schedule": found.as_dict()})
        return
    show(found)


# ------------------------------------------------------------------------------------------------- backfill


@schedule.command("backfill")
@click.argument("pipeline", metavar="NAME|FILE[:NAME]")
@click.argument("since", metavar="FROM", type=MOMENT)
@click.argument("until", metavar="TO", type=MOMENT)
@json_option
def fill(pipeline: str, since: datetime, until: datetime, as_json: bool) -> None:
    """Answer the slots between two moments that nobody has answered, one after another.

    NAME is a pipeline that a worker was given. FROM and TO are ISO dates or times, of this machine's zone unless they
    say another, or how long ago (7d). Given again after it was stopped, it goes on where it stopped.
    """
    with workspace() as space, patient() as patience, _progress(err) as observe:
        declared = _pipeline(pipeline, None if _is_file(pipeline) else show_schedule(space, pipeline).record.file)
        filled = backfill(
            declared,
            space,
            since,
            until,
            observe=observe,
            pause=patience.pause,
            chance=random.Random(),  # noqa: S311 - jitter
        )
    if as_json:
        print_json(filled.as_dict())
        return
    left = f"; {filled.left:,} are due by themselves, and left to the worker" if filled.left else ""
    before = f", {filled.before:,} were answered before" if filled.before else ""
    out.print(f"[bold]{escape(filled.pipeline)}[/]: {filled.done:,} of {filled.slots:,} slots filled{before}{left}")


def _is_file(given: str) -> bool:
    return Path(given.partition(":")[0]).suffix == ".py"


def _pipeline(given: str, file: str | None) -> Pipeline:
    path, _, name = given.partition(":")
    if file is not None:
        return select(Path(file), given)[0]
    first, *others = select(Path(path), name or None)
    if others:
        raise PipelineFileError(f"{path} declares several pipelines", hint=f"name one of them: {path}:{first.name}")
    return first


@contextmanager
def _progress(console: Console) -> Iterator[Watcher]:
    """A bar on a terminal, a line for each slot elsewhere; always on standard error."""
    if not console.is_terminal:
        yield _tell_line
        return
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[doing]}"), console=console, transient=True) as bar:
        task = bar.add_task("backfill", total=None, doing="")

        def observe(stands: Filling) -> None:
            doing = escape(stands.waits) if stands.waits else _slot_of(stands)
            ended = stands.before + stands.done
            bar.update(task, description=stands.pipeline, total=stands.slots, completed=ended, doing=doing)

        yield observe


def _tell_line(stands: Filling) -> None:
    ended = stands.before + stands.done
    doing = f", waiting: {stands.waits}" if stands.waits else ""
    err.print(f"{stands.pipeline}: {ended:,} of {stands.slots:,} slots{doing}  {_slot_of(stands)}", style="dim")


def _slot_of(stands: Filling) -> str:
    return "" if stands.now is None else f"{stands.now.since:%Y-%m-%d %H:%M} to {stands.now.until:%Y-%m-%d %H:%M} UTC"

"""`restore`: the state folder as it was at a point in time, from backups."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import click
from rich.markup import escape

from rowkeeper.cli.door import err, json_option, out, print_json
from rowkeeper.logs import about
from rowkeeper.operations.configuring import read_settings
from rowkeeper.operations.restoring.restoring import Built, Restored, Wanted
from rowkeeper.operations.restoring.restoring import restore as put_back
from rowkeeper.runs.reaching import guard_process
from rowkeeper.settings import Settings

LATEST = "latest"
FROM = "Where the backups are: a folder, or s3://, gs://, az://. Default: ROWKEEPER_BACKUP_TO."
BACKUP = "The backup whose ledger and keys are taken, where the newest one is not to be used: its id."
RUNS_NAMED = 12


class Point(click.ParamType[int | datetime | None]):
    """A run's number, a moment with its zone, or None for the newest state that there is."""

    name = "time_or_run"

    def convert(
        self, value: str | int | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | datetime | None:
        """Reads it."""
        if not isinstance(value, str):
            return value
        if value == LATEST:
            return None
        if re.fullmatch(r"\d{1,12}", value):
            return int(value)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            wrong = f"{value!r} is neither a run's number nor a time with its zone, such as 2026-11-26T17:00+01:00"
            self.fail(wrong, param, ctx)
        return moment


TO_POINT = click.option(
    "--to",
    type=Point(),
    metavar="TIME_OR_RUN",
    default=LATEST,
    show_default=True,
    help="To after this run, or after the last one that was published by this time.",
)


@click.command("restore")
@TO_POINT
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Into an empty folder, which is then a state folder of its own. Default: where the state folder is.",
)
@click.option("--force", is_flag=True, help="In the place of a state folder with data, which is set aside.")
@click.option("--from", "place", help=FROM)
@click.option("--backup", metavar="ID", help=BACKUP)
@json_option
def restore(
    *, to: int | datetime | None, into: Path | None, force: bool, place: str | None, backup: str | None, as_json: bool
) -> None:
    """Restore tables, ledger, keysets and sealed files from backups, all of it as it was at one point in time."""
    settings = read_settings()
    if place is not None:
        settings = settings.model_copy(update={"backup_to": place})
    guard_process(settings)
    with about(command="restore"):
        done = put_back(settings, Wanted(to, backup), into=into, force=force, tell=tell)
    if as_json:
        print_json(done.as_dict())
    else:
        _show(done)
    _advise(done, settings, into)


def tell(step: str) -> None:
    """What is done next, for whoever waits."""
    err.print(f"[dim]{escape(step)} ...[/]")


def show_built(built: Built) -> None:
    """Tables, and what was undone."""
    for table in built.tables:
        rows = "there was none yet" if table.run is None else f"{table.fingerprint.rows:,} rows, {table.fingerprint}"
        out.print(f"  {escape(table.target)}: {rows}")
    if built.undone:
        named = ", ".join(map(str, built.undone[:RUNS_NAMED])) + ", ..." * (len(built.undone) > RUNS_NAMED)
        out.print(f"  undone: run {named}; what they brought counts as not loaded, and the next run loads it")
    if built.revived:
        out.print(f"  in force again: run {', '.join(map(str, built.revived[:RUNS_NAMED]))}")
    for pipeline, target in built.elsewhere.items():
        out.print(f"  [yellow]not rolled back[/]: {escape(target)}, where {escape(pipeline)} went")
    for note in built.notes:
        out.print(f"  [yellow]{escape(note)}[/]")


def _show(done: Restored) -> None:
    point = done.built.point
    at = "" if point.published_at is None else f", published {point.published_at:%Y-%m-%d %H:%M:%S} UTC"
    what = f"as run {point.run} left it{at}" if point.run else "as it was before the first run"
    out.print(f"[bold]restored[/] {escape(str(done.folder))} {what}, from {done.built.backup}")
    show_built(done.built)
    if done.aside is not None:
        out.print(f"  what was there is in {escape(str(done.aside))}: remove it when you are sure")


def _advise(done: Restored, settings: Settings, into: Path | None) -> None:
    if into is not None and done.folder != settings.home.expanduser().absolute().resolve():
        ledger = ", without ROWKEEPER_LEDGER_URL: it has a ledger of its own" if settings.ledger_url else ""
        err.print(f"[bold]next:[/]  ROWKEEPER_HOME={escape(str(done.folder))} uses it{ledger}")

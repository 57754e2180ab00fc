"""`backup`: made, listed, verified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import click
from rich.markup import escape
from rich.table import Table

from rowkeeper.cli.commands.restoring import BACKUP, TO_POINT, show_built, tell
from rowkeeper.cli.door import DONE, FAILED, err, json_option, load_settings, out, print_json, tell_of_key
from rowkeeper.operations.backups.automatic import backup_if_due, backup_now, drill_if_due, prune_if_due
from rowkeeper.operations.backups.creating import BOUNDARY_SECONDS_MAX, CreatedBackup, create_backup
from rowkeeper.operations.backups.listing import BROKEN, ListedBackup, list_backups
from rowkeeper.operations.backups.pruning import Pruned, prune_backups
from rowkeeper.operations.backups.verifying import BackupCheck, verify_backups
from rowkeeper.operations.restoring.drilling import drill as try_restore
from rowkeeper.operations.restoring.restoring import Wanted
from rowkeeper.runs.workspace import Workspace

TO = "Where backups are: a folder, or s3://, gs://, az://. Default: ROWKEEPER_BACKUP_TO."
UNITS = ("B", "kB", "MB", "GB", "TB")


@click.group()
def backup() -> None:
    """Backups of tables, ledger, keysets and settings: create, list, verify, drill."""


@contextmanager
def _workspace() -> Iterator[Workspace]:
    with Workspace.open(load_settings()) as workspace:
        tell_of_key(workspace.folder)
        yield workspace


@backup.command()
@click.option("--full", is_flag=True, help="A full one, although there is one to go on from.")
@click.option("--quick", is_flag=True, help="Do not read the base: look only for its files, and at their sizes.")
@click.option("--to", "place", help=TO)
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=0),
    default=BOUNDARY_SECONDS_MAX,
    show_default=True,
    help="Seconds to wait for a moment between runs.",
)
@click.option("--automatic", is_flag=True, help="Only if one is due, as the worker asks; the other options go unheard.")
@json_option
def create(*, full: bool, quick: bool, place: str | None, wait_seconds: float, automatic: bool, as_json: bool) -> None:
    """Make a backup: an incremental one where there is one to go on from, otherwise a full one."""
    with _workspace() as workspace:
        if automatic:
            made = backup_if_due(workspace)
        elif place is None:
            made = backup_now(workspace, full=full, quick=quick, wait_seconds=wait_seconds)
        else:
            made = create_backup(workspace, full=full, quick=quick, place=place, wait_seconds=wait_seconds)
    if made is None:
        print_json({"status": "not due"}) if as_json else out.print("no backup is due")
    elif as_json:
        print_json(made.as_dict())
    else:
        _show_created(made)


@backup.command(name="list")
@click.option("--to", "place", help=TO)
@json_option
def list_(place: str | None, as_json: bool) -> None:
    """Which backups there are, what they hold, and which of them can be used."""
    with _workspace() as workspace:
        found = list_backups(workspace, place=place)
    if as_json:
        print_json(found.as_dict())
        return
    if not found.backups:
        out.print(f"there is no backup in {escape(found.place)}: rowkeeper backup create makes one")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("backup", "of", "size", "runs", "state"):
        table.add_column(heading, overflow="fold")
    for each in found.backups:
        table.add_row(*_row(each))
    out.print(table)


@backup.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--to", "place", help=TO)
@json_option
@click.pass_context
def verify(context: click.Context, ids: tuple[str, ...], place: str | None, as_json: bool) -> None:
    """Read every byte of these backups (of all, without an ID) and of those that they need, and compare."""
    with _workspace() as workspace:
        checks = verify_backups(workspace, ids, place=place)
    if as_json:
        print_json({"backups": [each.as_dict() for each in checks], "sound": all(each.sound for each in checks)})
    else:
        for check in checks:
            _show_check(check)
    context.exit(DONE if all(each.sound for each in checks) else FAILED)


@backup.command()
@click.option("--keep", metavar="RULE", help="How many are kept: 7 daily, 4 weekly. Default: ROWKEEPER_BACKUP_KEEP.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed; nothing is changed.")
@click.option("--damaged", is_flag=True, help="Remove what cannot be restored as well.")
@click.option("--automatic", is_flag=True, help="Only if it is due, as the worker asks; the other options go unheard.")
@click.option("--to", "place", help=TO)
@json_option
def prune(*, keep: str | None, dry_run: bool, damaged: bool, automatic: bool, place: str | None, as_json: bool) -> int:
    """Remove the backups that are kept no longer; never one that a kept one needs, and never the newest good one."""
    with _workspace() as workspace:
        if automatic:
            found = prune_if_due(workspace)
        else:
            found = prune_backups(workspace, keep=keep, dry_run=dry_run, damaged=damaged, place=place)
    if found is None:
        print_json({"status": "not due"}) if as_json else out.print("it is not due")
        return DONE
    print_json(found.as_dict()) if as_json else _show_pruned(found)
    return FAILED if found.refused else DONE


def _show_pruned(found: Pruned) -> None:
    for id, why in found.kept.items():
        out.print(f"[green]kept[/] {id}: {escape(', '.join(why))}")
    removed = "would remove" if found.dry_run else "removed"
    for id in found.removed:
        out.print(f"{removed} {id}")
    for id in found.leftovers:
        out.print(f"{removed} {id}, which a process that died had left")
    for error in found.refused.values():
        err.print(f"[bold red]error:[/] {escape(str(error['what']))} [dim]({error['code']})[/]")
    out.print(f"{len(found.removed)} of {len(found.kept) + len(found.removed)}: {size_of(found.bytes)}")


@backup.command()
@TO_POINT
@click.option("--backup", "id", metavar="ID", help=BACKUP)
@click.option("--automatic", is_flag=True, help="Only if it is due, as the worker asks; the other options go unheard.")
@json_option
def drill(to: int | datetime | None, id: str | None, automatic: bool, as_json: bool) -> None:
    """Restore a backup into an empty place, prove all of it, and take it away again. What came of it is kept."""
    with _workspace() as workspace:
        done = drill_if_due(workspace, tell) if automatic else try_restore(workspace, Wanted(to, id), tell)
    if done is None:
        print_json({"status": "not due"}) if as_json else out.print("it is not due")
        return
    if as_json:
        print_json(done.as_dict())
        return
    record = done.record
    out.print(f"[green]sound[/] {done.built.backup}: restored to run {record.run} and proved in {record.seconds:.1f} s")
    show_built(done.built)
    out.print(f"  {record.files:,} sealed files were opened, and every keyset")


def _show_created(made: CreatedBackup) -> None:
    manifest = made.manifest
    why = f" ({escape(made.why_full)})" if made.why_full else ""
    base = f" on {manifest.base}" if manifest.base else ""
    out.print(f"[bold]{manifest.id}[/]{why}{base}: {size_of(manifest.size)} in {escape(made.place)}")
    until = "no run yet" if manifest.run is None else f"run {manifest.run}"
    tables = f"{len(manifest.tables)} table{'s' * (len(manifest.tables) != 1)}"
    out.print(f"  {tables}, as of {until}; {made.seconds:.1f} s, of which publishes waited {made.held_seconds:.2f} s")
    for target, why_not in manifest.left_out.items():
        out.print(f"  [yellow]not in it[/]: {escape(target)}: {escape(why_not)}")
    if manifest.elsewhere:
        out.print(f"  rows elsewhere, which are not backed up here: {escape(', '.join(manifest.elsewhere))}")
    for id in made.removed:
        out.print(f"  took away {id}, which a process that died had begun")


def _row(listed: ListedBackup) -> tuple[str, ...]:
    made = listed.manifest
    state = f"[red]{listed.state}: {escape(listed.told)}[/]" if listed.state == BROKEN else listed.state
    if made is None:
        return listed.id, "", "", "", state
    left = f"; without {', '.join(made.left_out)}" if made.left_out else ""
    when = f"{made.boundary:%Y-%m-%d %H:%M:%S}"
    return listed.id, when, size_of(made.size), runs_of(made.points), state + escape(left)


def _show_check(check: BackupCheck) -> None:
    if check.sound:
        out.print(f"[green]sound[/] {check.id}: {check.files:,} files, {size_of(check.size)}")
    for finding in check.findings:
        out.print(f"[red]damaged[/] {check.id}: {escape(finding)}")


def size_of(size: float) -> str:
    """Bytes, for people."""
    for unit in UNITS:
        if size < 1000 or unit == UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def runs_of(points: tuple[int, ...]) -> str:
    """Numbers of runs, those that follow each other as a range."""
    ranges = list[tuple[int, int]]()
    for run in points:
        if ranges and ranges[-1][1] == run - 1:
            ranges[-1] = (ranges[-1][0], run)
        else:
            ranges.append((run, run))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)

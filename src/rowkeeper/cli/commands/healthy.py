"""`health`: how it stands with an installation and with pipelines, the worst first."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import click
from rich.markup import escape

from rowkeeper.cli.choosing import pipelines_of
from rowkeeper.cli.door import DONE, FAILED, json_option, load_settings, out, print_json
from rowkeeper.operations.health import Check, Health, State, look_around

COLOURS = {State.BAD: "red", State.UNKNOWN: "magenta", State.WARNING: "yellow", State.GOOD: "green"}


@click.command()
@click.argument("files", metavar="[FILE[:NAME] ...]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Show what is well, too.")
@json_option
def health(files: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """How it stands with the installation, and with the pipelines of FILE: the worst first, with the mend.

    Exit status: 1 if anything is bad, or cannot be looked at; warnings are no failure.
    """
    settings = load_settings()
    pipelines = [pipeline for file in files for pipeline in pipelines_of(file)]
    found = look_around(settings, pipelines)
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found, {each.name for each in pipelines}, everything=everything)
    return FAILED if found.state.fails else DONE


def _show(found: Health, named: set[str], *, everything: bool) -> None:
    for check in found.checks:
        if everything or check.state is not State.GOOD or check.subject.partition("/")[0] in named:
            _show_check(check, found)
    for lease in found.held.leases if everything and found.held else ():
        dead = "  [yellow]its process is dead; whoever needs it takes it over[/]" if lease.is_dead else ""
        host = escape(lease.host.partition(":")[0])
        out.print(f"[dim]lease[/]    {escape(lease.name)}: process {lease.pid} on {host}{dead}")
    counts = Counter(each.state for each in found.checks)
    told = ", ".join(f"{counts[state]:,} {state.value}" for state in COLOURS if counts[state])
    out.print(f"[{COLOURS[found.state]}]{found.state.value}[/]: {told}")


def _show_check(check: Check, found: Health) -> None:
    since = ""
    if check.since is not None and check.state is not State.GOOD:
        since = f"  [dim]for {_told(found.looked_at - check.since)}[/]"
    what = f"{check.name} {check.subject}".rstrip()
    out.print(f"[{COLOURS[check.state]}]{check.state.value:<8}[/] {escape(what)}: {escape(check.told)}{since}")
    if check.limit and check.state is not State.GOOD:
        out.print(f"         [dim]limit[/] {escape(check.limit)}")
    if check.mend:
        out.print(f"         [dim]mend[/]  {escape(check.mend)}")


def _told(span: timedelta) -> str:
    """A span in its largest unit: `3 h`."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:,} {unit}"
    return f"{seconds} s"

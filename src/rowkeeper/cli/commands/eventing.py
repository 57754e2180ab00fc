"""`events`: the audit trail as security events of OCSF, and what stands out in it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TextIO

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.door import json_option, out, print_json, workspace
from rowkeeper.cli.moments import MOMENT
from rowkeeper.errors import EventsUnwritten
from rowkeeper.ledger.audit import Outcome
from rowkeeper.ledger.audit.listing import Wanted
from rowkeeper.operations.events import CLASSES, SecurityEvent, export_events, newest_events

COLOURS = {"done": "green", "failed": "red", "refused": "yellow"}


@click.group()
def events() -> None:
    """Security events, in the classes of OCSF: list, export."""


@events.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, the newest.")
@click.option("--class", "event_class", type=click.Choice(list(CLASSES)), help="Only of this class.")
@click.option("--outcome", type=click.Choice([each.value for each in Outcome]), help="Only with this outcome.")
@click.option("--since", type=MOMENT, help="Only from then on: 2026-11-26, 2026-11-26T08:30, or 90m, 12h, 7d ago.")
@click.option("--until", type=MOMENT, help="Only before then.")
@json_option
def list_events(
    limit: int,
    event_class: str | None,
    outcome: str | None,
    *,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
) -> None:
    """The newest events, and detections among them."""
    wanted = Wanted(since=since, until=until, outcome=None if outcome is None else Outcome(outcome))
    with workspace() as space:
        found = newest_events(space, limit, wanted, CLASSES.get(event_class or ""))
    if as_json:
        print_json({"events": [dict(each.document) for each in found]})
        return
    if not found:
        out.print("no event")
        return
    table = render.grid("entry", "at", "class", "message", "who", "outcome")
    for each in found:
        table.add_row(
            str(each.number),
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            each.event_class.word,
            escape(str(each.document["message"])),
            escape(_who(each)),
            f"[{COLOURS[each.outcome]}]{each.outcome}[/]",
        )
    out.print(table)


@events.command("export")
@click.option("--since", type=MOMENT, help="Only from then on: 2026-11-26, 2026-11-26T08:30, or 90m, 12h, 7d ago.")
@click.option("--until", type=MOMENT, help="Only before then.")
@click.option("--to", type=click.Path(path_type=Path), help="A new file for them, instead of standard output.")
@json_option
def export(since: datetime | None, until: datetime | None, to: Path | None, as_json: bool) -> None:
    """All events as JSON lines, one of OCSF in each, in the order of the trail."""
    count = 0
    with workspace() as space, _target(to) as file:
        for each in export_events(space, Wanted(since=since, until=until)):
            file.write(json.dumps(each.document, ensure_ascii=False, separators=(",", ":")) + "\n")
            count += 1
    if to is not None:
        print_json({"file": str(to), "events": count}) if as_json else out.print(f"wrote {count:,} events to {to}")


@contextlib.contextmanager
def _target(to: Path | None) -> Iterator[TextIO]:
    """A file for this user alone, or standard output."""
    if to is None:
        yield sys.stdout
        return
    try:
        descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise EventsUnwritten(
            f"{to} cannot be written: {error.strerror}", hint="name a file that is not there yet: --to PATH"
        ) from error


def _who(event: SecurityEvent) -> str:
    user = event.document.get("user") or event.document.get("actor", {}).get("user") or {}
    return str(user.get("name") or user.get("uid", ""))

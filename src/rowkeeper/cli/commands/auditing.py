"""`audit`: who did what; and the proof that nobody changed what is told."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.door import DONE, FAILED, json_option, out, print_json, workspace
from rowkeeper.cli.moments import MOMENT
from rowkeeper.errors import AuditBroken, ConfigurationError, StateError
from rowkeeper.ledger.audit import Entry, Outcome
from rowkeeper.ledger.audit.listing import Wanted
from rowkeeper.ledger.audit.merkle import ProofInvalid
from rowkeeper.ledger.audit.notes import Verifier
from rowkeeper.ledger.audit.proofs import check_proof as check
from rowkeeper.operations.auditing import (
    AuditCheck,
    accept_trail,
    entry_document,
    export_trail,
    prove_entry,
    public_key,
    send_checkpoint,
    text_of,
    verify_trail,
)
from rowkeeper.operations.auditing import list_entries as audit_entries
from rowkeeper.runs.checkpoints import Sent

NEW_FILE = click.Path(path_type=Path)
COLOURS = {"done": "green", "failed": "red", "refused": "yellow"}


@click.group()
def audit() -> None:
    """Who did what, in a trail that nobody can change unnoticed: list, verify, prove."""


@audit.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, the newest.")
@click.option("--action", help="Only these: run.publish, or run for all that begin with it.")
@click.option("--who", help="Only of this person or service: a name, or an id.")
@click.option("--on", "about", help="Only about this: run, or run:12, pipeline:flights, user:ann.")
@click.option("--since", type=MOMENT, help="Only from then on: 2026-11-26, 2026-11-26T08:30, or 90m, 12h, 7d ago.")
@click.option("--until", type=MOMENT, help="Only before then.")
@click.option("--outcome", type=click.Choice([each.value for each in Outcome]), help="Only with this outcome.")
@json_option
def list_entries(  # noqa: PLR0917 - click hands them over by name
    limit: int,
    action: str | None,
    who: str | None,
    about: str | None,
    since: datetime | None,
    until: datetime | None,
    outcome: str | None,
    as_json: bool,
) -> None:
    """The newest entries of the trail, or of those that are asked for."""
    kind, colon, value = (about or "").partition(":")
    wanted = Wanted(
        actions=() if action is None else (action,),
        who=who,
        on=(kind, value if colon else None) if about else None,
        since=since,
        until=until,
        outcome=None if outcome is None else Outcome(outcome),
    )
    with workspace() as space:
        entries = audit_entries(space, limit=limit, wanted=wanted)
    if as_json:
        print_json({"entries": [entry_document(entry) for entry in entries]})
        return
    if not entries:
        out.print("no entry")
        return
    table = render.grid("entry", "at", "who", "action", "on", "outcome", "detail")
    for entry in entries:
        table.add_row(
            str(entry.number),
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            escape(entry.name or entry.who),
            entry.event.action,
            escape(_pairs(entry.event.on)),
            f"[{COLOURS[entry.event.outcome]}]{entry.event.outcome}[/]",
            escape(_pairs(_told(entry))),
        )
    out.print(table)


@audit.command("verify")
@click.option(
    "--since",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A checkpoint that you kept: the trail must be its continuation. May be given several times.",
)
@click.option("--offline", is_flag=True, help="Ask neither the URL nor the witnesses.")
@json_option
def verify(since: tuple[Path, ...], offline: bool, as_json: bool) -> int:
    """Hash the whole trail anew, and compare it with what was signed and kept elsewhere, and the runs with it."""
    with workspace() as space:
        found = verify_trail(space, {str(path): text_of(path) for path in since}, offline=offline)
    print_json(found.as_dict()) if as_json else _show(found)
    return DONE if found.sound else FAILED


@audit.command("send")
@json_option
def send(as_json: bool) -> int:
    """Bring the newest checkpoint to the URL and the witnesses that the settings name, now."""
    with workspace() as space:
        sent = send_checkpoint(space)
    if as_json:
        print_json({"sent": [_sent(each) for each in sent]})
    for each in () if as_json else sent:
        told = f"has {each.size:,} entries" if each.error is None else f"[red]{escape(each.error.what)}[/]"
        out.print(f"{escape(each.place)}: {told}; {each.lag:,} to come")
    if not sent and not as_json:
        out.print("nothing to send, or nowhere to: ROWKEEPER_AUDIT_URL, ROWKEEPER_AUDIT_WITNESSES")
    return DONE if all(each.error is None for each in sent) else FAILED


def _sent(sent: Sent) -> dict[str, Any]:
    error = None if sent.error is None else sent.error.document()
    return {"place": sent.place, "entries": sent.size, "lag": sent.lag, "error": error}


@audit.command("prove")
@click.argument("entry", type=int)
@click.option("--to", type=NEW_FILE, help="A file for the proof, instead of standard output.")
def prove(entry: int, to: Path | None) -> None:
    """The proof that an entry is in the trail; check-proof checks it, on any machine."""
    with workspace() as space:
        text = prove_entry(space, entry)
    if to is None:
        click.echo(text, nl=False)
        return
    try:
        to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StateError(f"{to} cannot be written: {error.strerror}", hint="name another file: --to PATH") from error
    out.print(f"wrote [bold]{escape(str(to))}[/]; rowkeeper audit check-proof {escape(str(to))} --key KEY checks it")


@audit.command("check-proof")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", "keys", multiple=True, required=True, help="The public key that you trust (audit key).")
@json_option
def check_proof(file: Path, keys: tuple[str, ...], as_json: bool) -> None:
    """Check a proof against a public key. Neither ledger nor state folder is looked at."""
    try:
        trusted = [Verifier.parse(key) for key in keys]
    except ProofInvalid as fault:
        raise ConfigurationError(f"--key: {fault}", hint="rowkeeper audit key prints it") from fault
    try:
        proved = check(text_of(file), trusted)
        entry: Any = json.loads(proved.entry)
    except (ProofInvalid, ValueError) as fault:
        said = fault if isinstance(fault, ProofInvalid) else "its entry is no JSON"
        raise AuditBroken(
            f"{file} proves nothing: {said}", hint="ask for the proof again: rowkeeper audit prove"
        ) from fault
    size = proved.checkpoint.size
    if as_json:
        print_json({"proved": True, "number": proved.index, "entries": size, "entry": entry})
        return
    out.print(f"[green]proved:[/] entry {proved.index:,} of {proved.checkpoint.origin}, when it had {size:,} entries")
    out.print(escape(json.dumps(entry, indent=2, ensure_ascii=False)))


@audit.command("export")
@click.argument("folder", type=NEW_FILE)
@json_option
def export(folder: Path, as_json: bool) -> None:
    """Write the trail into a folder as tiles (c2sp.org/tlog-tiles), over an older export."""
    with workspace() as space:
        size = export_trail(space, folder)
    if as_json:
        print_json({"folder": str(folder), "entries": size})
    else:
        out.print(f"{size:,} entries, their hashes and the checkpoint are in [bold]{escape(str(folder))}[/]")


@audit.command("key")
@json_option
def key(as_json: bool) -> None:
    """The public key of this installation's checkpoints: give it to whoever is to check proofs."""
    with workspace() as space:
        text = public_key(space)
    print_json({"key": text}) if as_json else click.echo(text)


@audit.command("accept")
@click.option("--reason", required=True, help="Why the ledger is older than its checkpoint: kept with the entry.")
@json_option
def accept(reason: str, as_json: bool) -> None:
    """Go on with a ledger that was put back from an older copy; the trail says so for good."""
    with workspace() as space:
        size = accept_trail(space, reason)
    print_json({"entries": size}) if as_json else out.print(f"accepted; the trail has {size:,} entries")


def _told(entry: Entry) -> dict[str, Any]:
    event = entry.event
    more = {"purpose": event.purpose, "reason": event.reason}
    return {**event.detail, **{name: value for name, value in more.items() if value is not None}}


def _pairs(values: Any) -> str:
    """`run 3, pipeline flights`; an account as its counts."""
    told = []
    for name, value in values.items():
        text = ", ".join(f"{count:,} {line}" for line, count in value.items()) if isinstance(value, dict) else value
        told += [] if value is None else [f"{name} {text}"]
    return ", ".join(told)


def _show(found: AuditCheck) -> None:
    verdict = found.verdict
    for finding in verdict.findings:
        out.print(f"[red]wrong:[/] {escape(finding)}")
    for where, size in verdict.against.items():
        out.print(f"compared with the checkpoint of {size:,} entries in {escape(where)}")
    for name, why in found.unreachable.items():
        out.print(f"[yellow]not compared[/] with {escape(name)}: {escape(why)}")
    for name, lag in found.lags.items():
        out.print(f"{escape(name)} lacks the last {lag:,} entries") if lag else None
    if verdict.sound:
        out.print(f"[green]sound:[/] {verdict.size:,} entries, as they were signed")

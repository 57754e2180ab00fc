"""`rowkeeper show RUN` on a terminal: the incident, what to do now last, where the eye is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.padding import Padding

from rowkeeper.cli import render
from rowkeeper.cli.door import out
from rowkeeper.operations.incident import Incident, Level, Reached
from rowkeeper.operations.sentences import how_much, how_often

PARTITIONS_SHOWN = 50
COLOURS = {Level.PASSED: "green", Level.WARNED: "yellow", Level.FAILED: "red"}


def show_incident(incident: Incident) -> None:
    """All of it but the lines of the log."""
    run = incident.run
    colour = COLOURS[incident.level]
    took = "" if run.seconds is None else f", {run.seconds:.1f} s"
    out.print(f"[bold]{escape(run.pipeline)}[/]  [{colour}]{incident.ended}[/]  {run.kind.value}, run {run.run}{took}")
    out.print(f"  started {run.started_at:%Y-%m-%d %H:%M:%S} UTC", style="dim")
    for sentence in incident.told:
        out.print(f"  [{colour}]{escape(sentence)}[/]")
    if run.note:
        out.print(f"  [dim]{escape(run.note)}[/]")
    out.print()
    _show_account(incident)
    out.print(f"\n  table        {escape(run.target)}")
    if run.fingerprint:
        out.print(f"  fingerprint  {run.fingerprint}")
    guarantees = run.source.get("guarantees")
    if guarantees:
        out.print(
            f"  guaranteed   {guarantees['source']} by the source, {guarantees['destination']} by the destination"
        )
    _show_partitions(incident)
    _show_schema_changes(incident)
    _show_failed(incident)
    if run.degraded:
        out.print("\n[bold]degraded[/]")
        _list(run.degraded)
    _show_gates(incident)
    _show_performance(incident)
    out.print("\n[bold]how often[/]")
    _list([how_often(incident.often, has_error=run.error is not None)])
    out.print("\n[bold]what was done about it[/]")
    _list(incident.done)
    if incident.steps:
        out.print("\n[bold]what to do now[/]")
        _list(incident.steps, numbered=True)


def _list(sentences: Sequence[str], *, numbered: bool = False) -> None:
    for number, sentence in enumerate(sentences, 1):
        told = f"{number}. {escape(sentence)}" if numbered else escape(sentence)
        if out.is_terminal:
            out.print(Padding(told, (0, 0, 0, 2)), soft_wrap=False)
        else:
            out.print(f"  {told}")


def _show_account(incident: Incident) -> None:
    """The lines of the equation; then why rows were rejected, and where some of them are."""
    width = max(len(name) for name in incident.account)
    digits = max(len(f"{count:,}") for count in incident.account.values())
    for name, count in incident.account.items():
        sign = " " if name == "read" else ("=" if name == "committed" else "+")
        out.print(f"  {sign} {name:<{width}}  {count:>{digits},}")
    for each in incident.reasons:
        where = f"in {each.partitions:,} partition{'' if each.partitions == 1 else 's'}"
        places = f", such as {'; '.join(each.places)}" if each.places else ""
        out.print(f"      {each.rows:,} x {escape(each.reason)} {where}{escape(places)}", style="dim")


def _show_partitions(incident: Incident) -> None:
    """How far the run came with each, those with something to see first."""
    shown = [each for each in incident.partitions if each[1] is not Reached.FAILED]
    if not shown:
        return
    out.print()
    table = render.grid("partition", "read", "committed", "quarantined", "duplicate", "filtered", "")
    for each, reached in shown[:PARTITIONS_SHOWN]:
        account = each.account
        counts = (each.next_row, account.committed, account.quarantined, account.duplicate, account.filtered)
        told = "" if reached is Reached.READ else reached.value
        table.add_row(escape(each.partition.key), *(f"{count:,}" for count in counts), told)
    out.print(table)
    if len(shown) > PARTITIONS_SHOWN:
        out.print(f"and {len(shown) - PARTITIONS_SHOWN:,} more: rowkeeper show {incident.run.run} --json", style="dim")


def _show_schema_changes(incident: Incident) -> None:
    """What the records of an API are made of since this load, and were not before."""
    found = [
        (partition.partition.key, change)
        for partition, _ in incident.partitions
        for change in (partition.partition.position or {}).get("changes", ())
    ]
    if found:
        out.print("\n[bold]the records have changed[/]")
    for key, change in found[:PARTITIONS_SHOWN]:
        was = ", ".join(change["was"]) or "absent"
        told = f"{change['field']} was {was}, is {change['now']}, from record {change['row'] + 1:,} on"
        out.print(f"  {escape(key)}: {escape(told)}")


def _show_failed(incident: Incident) -> None:
    if incident.failed:
        out.print("\n[bold]partitions that failed[/]")
    for each in incident.failed:
        out.print(f"  {escape(each['key'])}: {escape(str(each['what']))} [dim]({each['code']})[/]")


def _show_gates(incident: Incident) -> None:
    if not incident.gates:
        return
    out.print()
    render.show_gates([each for each, _ in incident.gates], incident.override)
    for each, places in incident.gates:
        if places:
            out.print(f"  {escape(each.gate)} objects to {escape('; '.join(places))}", style="dim")


def _show_performance(incident: Incident) -> None:
    """Which stage took what; those of the load went on side by side."""
    found = incident.performance
    if found is None:
        return
    out.print(f"\n[bold]what it took[/]\n  {how_much(found)}")
    table = render.grid("stage", "seconds", "CPU", "input wait", "room wait", "rows", "bytes")
    for each in found.stages:
        waits = (f"{wait:,.3f}" if wait else "" for wait in (each.input_wait_seconds, each.room_wait_seconds))
        counts = (f"{count:,}" if count else "" for count in (each.rows, each.bytes))
        table.add_row(each.stage, f"{each.seconds:,.3f}", f"{each.cpu_seconds:,.3f}", *waits, *counts)
    out.print(table)

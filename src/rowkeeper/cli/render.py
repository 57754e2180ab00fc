"""Answers for people: accounts, lists and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from rowkeeper.cli.door import out

if TYPE_CHECKING:
    from rowkeeper.ledger import GateResult, Override, RunRecord
    from rowkeeper.runs.report import RunReport
    from rowkeeper.runs.verifying import VerifyReport

REASONS_SHOWN = 8
COLOURS = {
    "published": "green",
    "unchanged": "cyan",
    "failed": "red",
    "held": "red",
    "passed": "green",
    "warned": "yellow",
    "unknown": "cyan",
    "interrupted": "yellow",
    "staging": "yellow",
    "prepared": "yellow",
    "spooled": "yellow",
    "rolled_back": "magenta",
}


def show_report(report: RunReport) -> None:
    """The account of a run that has just ended."""
    status = f"[{COLOURS.get(report.status, 'white')}]{report.status}[/]"
    if report.failed:
        status = f"[yellow]{report.status} in part[/]"
    speed = f" ({report.rows_per_second:,.0f} rows/s)" if report.account.read else ""
    out.print(f"[bold]{escape(report.pipeline)}[/]  {status}  run {report.run}, {report.seconds:.1f} s{speed}")
    if report.partitions:
        show_account(report.account.as_dict(), report.reasons)
    if report.gates:
        show_gates(report.gates, report.override)
    show_failed(report.failed)
    show_degraded(report.degraded)
    for note in report.notes:
        out.print(f"  [dim]{escape(note)}[/]")


def show_line(report: RunReport) -> None:
    """A run of those that follow each other: one line, and what is more than that only where there is more."""
    counts = (
        ", ".join(f"{count:,} {line}" for line, count in report.account.as_dict().items() if count) or "nothing read"
    )
    status = f"[{COLOURS.get(report.status, 'white')}]{report.status}[/]"
    out.print(f"[bold]{escape(report.pipeline)}[/]  {status}  run {report.run}  {counts}  {report.seconds:.1f} s")
    show_failed(report.failed)
    show_degraded(report.degraded)


def show_failed(failed: Sequence[Mapping[str, Any]]) -> None:
    """The partitions that a run went on without, why, and what to do."""
    for each in failed:
        out.print(f"  [red]failed[/]  {escape(each['key'])}: {escape(str(each['what']))} [dim]({each['code']})[/]")
        if each["hint"]:
            out.print(f"          [dim]next: {escape(str(each['hint']))}[/]")
    if failed:
        out.print("  [yellow]published without what failed; the next run tries that, and nothing else, again[/]")


def show_degraded(sentences: Sequence[str]) -> None:
    """What was done less well than it should have been."""
    for sentence in sentences:
        out.print(f"  [yellow]degraded[/]  {escape(sentence)}")


def show_account(account: Mapping[str, int], reasons: Mapping[str, int] | None = None) -> None:
    """The five lines of the equation, and why rows were quarantined."""
    width = max(len(f"{count:,}") for count in account.values())
    for line, count in account.items():
        sign = " " if line == "read" else ("=" if line == "committed" else "+")
        out.print(f"  {sign} {line:<12}{count:>{width},}")
    shown = list((reasons or {}).items())
    for reason, count in shown[:REASONS_SHOWN]:
        out.print(f"      {count:,} x {escape(reason)}", style="dim")
    if len(shown) > REASONS_SHOWN:
        out.print(f"      and {len(shown) - REASONS_SHOWN} reasons more: rowkeeper quarantine show", style="dim")


def show_gates(gates: Sequence[GateResult], override: Override | None = None) -> None:
    """What each quality gate said, and who published against them."""
    table = grid("gate", "dimension", "severity", "status", "found")
    for each in gates:
        status = f"[{COLOURS[each.status]}]{each.status}[/]"
        table.add_row(escape(each.gate), each.dimension, each.severity, status, escape(each.told))
    out.print(table)
    if override is not None:
        against = "critical gates as well" if override.critical else "its gates"
        when = f"{override.decided_at:%Y-%m-%d %H:%M:%S}"
        out.print(
            f"  [bold]override[/] against {against}: {escape(override.who)}, {when} UTC: {escape(override.reason)}"
        )


def show_samples(samples: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> None:
    """Rows that gates object to, with their places."""
    for gate, rows in samples:
        out.print(f"[bold]{escape(gate)}[/] objects to")
        for each in rows:
            out.print(f"  {escape(each['place'])}  [dim]{escape(str(each['row']))}[/]")


KINDS = {"V": "by column", "P": "by column where the form is narrow", "F": "by Pydantic"}


def show_plan(document: Mapping[str, Any]) -> None:
    """How a pipeline's contract is checked."""
    source, destination = document["source"], document["destination"]
    out.print(f"[bold]{escape(document['pipeline'])}[/]")
    out.print(f"  source       {source['mode']} values, {source['guarantee']}")
    out.print(f"  destination  {escape(destination['target'])}, {destination['write']}, {destination['guarantee']}")
    out.print(f"  drift        {document['drift']}")
    if last := document["last_run"]:
        out.print(f"  last run     {last['run']}: Pydantic judged {last['share_by_pydantic']:.1%} of the rows")
    out.print()
    table = grid("field", "kind", "column", "check", "why")
    for field in document["fields"]:
        table.add_row(*(escape(str(field[key])) for key in ("name", "kind", "column", "check", "why")))
    out.print(table)
    for each in document["rules"]:
        out.print(f"  rule  {escape(each)}")
    out.print("  " + "; ".join(f"{kind} {meaning}" for kind, meaning in KINDS.items()) + "\n", style="dim")


def show_errors(errors: Sequence[Mapping[str, Any]]) -> None:
    """One error with all that is to be said of it, or a line for each."""
    if len(errors) == 1:
        error = errors[0]
        again = "the same command again may help" if error["retryable"] else "the same command again will not help"
        out.print(f"[bold]{error['code']} {error['name']}[/]  {error['category']}; {again}")
        out.print(f"{escape(error['meaning'])}\n[bold]next:[/] {escape(error['advice'])}")
        return
    table = grid("code", "error", "category", "retryable", "meaning")
    for error in sorted(errors, key=lambda each: str(each["code"])):
        retryable = "yes" if error["retryable"] else ""
        table.add_row(error["code"], error["name"], error["category"], retryable, escape(error["meaning"]))
    out.print(table)


def show_runs(runs: Sequence[RunRecord]) -> None:
    """A line per run, newest first."""
    if not runs:
        out.print("no run yet: rowkeeper run FILE makes the first one")
        return
    table = grid("run", "pipeline", "kind", "status", "read", "committed", "quarantined", "started", "seconds")
    for run in runs:
        table.add_row(
            str(run.run),
            escape(run.pipeline),
            run.kind.value,
            f"[{COLOURS.get(run.status.value, 'white')}]{run.status.value}[/]",
            f"{run.account.read:,}",
            f"{run.account.committed:,}",
            f"{run.account.quarantined:,}",
            f"{run.started_at:%Y-%m-%d %H:%M:%S}",
            "" if run.seconds is None else f"{run.seconds:.1f}",
        )
    out.print(table)


def show_verify(report: VerifyReport) -> None:
    """Whether the table is as the books say, and if not, which runs' rows are not."""
    if report.sound:
        out.print(
            f"[bold]{escape(report.pipeline)}[/]  [green]sound[/]  {report.expected.rows:,} rows, {report.expected}"
        )
        return
    out.print(f"[bold]{escape(report.pipeline)}[/]  [red]not as published[/]  {escape(report.target)}")
    table = grid("run", "expected", "missing", "added", "changed")
    for each in report.runs:
        if not each.sound:
            name = str(each.run) if each.run else "none (rows that no run brought)"
            counts = (each.expected.rows, each.missing, each.added, each.changed)
            table.add_row(name, *(f"{count:,}" for count in counts))
    out.print(table)


def show_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """The result of a query."""
    table = grid(*columns)
    for row in rows:
        table.add_row(*("[dim]NULL[/]" if value is None else escape(str(value)) for value in row))
    out.print(table)
    out.print(f"{table.row_count:,} row{'' if table.row_count == 1 else 's'}", style="dim")


def grid(*columns: str) -> Table:
    """A plain table in the house's manner."""
    table = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    for column in columns:
        table.add_column(column, justify="right" if column in NUMBERS else "left", overflow="fold")
    return table


NUMBERS = frozenset(
    {
        "run", "read", "committed", "quarantined", "duplicate", "filtered", "seconds",
        "expected", "missing", "added", "changed", "rows", "CPU", "input wait", "room wait", "bytes",
    }
)  # fmt: skip

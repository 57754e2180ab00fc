"""`staging`, `publish`, `resume`, `abandon`: what is done with a run that waits for somebody."""

from __future__ import annotations

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.door import err, json_option, out, print_json, workspace
from rowkeeper.cli.progress import shown
from rowkeeper.operations.staged import show_staged
from rowkeeper.runs.holding import StagedRun, discard_held, publish_held
from rowkeeper.runs.parked import abandon as abandon_run
from rowkeeper.runs.parked import resume as resume_run


@click.command()
@click.argument("number", metavar="RUN", type=int)
@click.option("--sql", help="A query on the staged rows: they are {staged} in it.")
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="How many rows without --sql.")
@click.option("--discard", is_flag=True, help="Drop what is staged; the run's input is as if never read.")
@json_option
def staging(number: int, sql: str | None, limit: int, discard: bool, as_json: bool) -> None:
    """What a run has staged and not published: its account, its quality gates, its rows."""
    with workspace() as space:
        if discard:
            finding = discard_held(number, space)
            print_json({"run": number, "outcome": finding.outcome}) if as_json else out.print(escape(finding.note))
            return
        look = show_staged(number, space, limit=limit, sql=sql)
    if as_json:
        print_json(look.as_dict())
        return
    if sql is None:
        _show(look.staged)
    render.show_rows([name for name, _ in look.columns], look.rows)


def _show(found: StagedRun) -> None:
    account = found.account
    render.show_runs([found.run])
    out.print(
        f"\n  {account.read:,} rows read: {account.committed:,} staged, {account.quarantined:,} quarantined, "
        f"{account.filtered:,} filtered\n"
    )
    if found.gates:
        render.show_gates(found.gates)
        out.print()
    render.show_samples(found.samples)
    out.print("\n[bold]staged rows[/]")


@click.command()
@click.argument("number", metavar="RUN", type=int)
@click.option("--override", "reason", required=True, help="Why; it is kept in the ledger with your name and the time.")
@click.option("--critical", is_flag=True, help="Publish against critical gates as well.")
@json_option
def publish(number: int, reason: str, critical: bool, as_json: bool) -> None:
    """Publish a run that its quality gates hold, on the record."""
    with workspace() as space, shown(err) as observe:
        report = publish_held(number, reason, space, critical=critical, observe=observe)
    print_json(report.as_dict()) if as_json else render.show_report(report)


@click.command()
@click.argument("number", metavar="RUN", type=int)
@json_option
def resume(number: int, as_json: bool) -> None:
    """Go on with a run that died, was stopped, or is held: its pipeline is run again."""
    with workspace() as space, shown(err) as observe:
        report = resume_run(number, space, observe)
    print_json(report.as_dict()) if as_json else render.show_report(report)


@click.command()
@click.argument("number", metavar="RUN", type=int)
@click.option("--reason", default="no reason was given", help="Why; it is kept with the run.")
@json_option
def abandon(number: int, reason: str, as_json: bool) -> None:
    """Give up a run that died, was stopped, or is held: its input is as if never read."""
    with workspace() as space, shown(err) as observe:
        finding = abandon_run(number, space, reason, observe)
    print_json({"run": number, "outcome": finding.outcome}) if as_json else out.print(escape(finding.note))

"""`health`: what is held and left alone, what waits, and how far streams are behind."""

from __future__ import annotations

import click
from rich.markup import escape

from rowkeeper.cli.choosing import pipelines_of
from rowkeeper.cli.door import DONE, FAILED, json_option, out, print_json, workspace
from rowkeeper.operations.health import Health, show_health
from rowkeeper.operations.lagging import PipelineLag, show_lag


@click.command()
@click.argument("files", metavar="[FILE[:NAME] ...]", nargs=-1)
@json_option
def health(files: tuple[str, ...], as_json: bool) -> int:
    """Leases, breakers, runs that wait; of pipelines with a stream, how many messages wait to be read.

    Exit status: 1 if more messages wait than `lag_max` allows, or a broker cannot be asked.
    """
    pipelines = [pipeline for file in files for pipeline in pipelines_of(file)]
    with workspace() as space:
        found, lags = show_health(space), show_lag(pipelines, space)
    if as_json:
        print_json({**found.as_dict(), "lag": [each.as_dict() for each in lags]})
    else:
        _show(found, lags)
    return FAILED if any(each.is_late for each in lags) else DONE


def _show(found: Health, lags: list[PipelineLag]) -> None:
    for lease in found.leases:
        dead = "  [red]its process is dead[/]" if lease.is_dead else ""
        out.print(f"lease    {escape(lease.name)}  process {lease.pid} on {escape(lease.host.partition(':')[0])}{dead}")
    for breaker in found.breakers:
        state = f"[red]left alone for {breaker.open_seconds:,.0f} s[/]" if breaker.open_seconds else "closed"
        out.print(f"breaker  {escape(breaker.name.host)} {escape(breaker.name.operation)}  {state}")
    out.print(f"runs     {found.unfinished:,} unfinished, {found.spooled:,} in the spool")
    for each in lags:
        for name, lag in each.partitions.items():
            late = f"  [red]late: {lag.most:,} may wait[/]" if lag.is_late else ""
            out.print(f"lag      {escape(each.pipeline)}  {escape(name)}  {lag.messages:,} messages wait{late}")
        if each.error is not None:
            out.print(f"lag      {escape(each.pipeline)}  [red]{escape(each.error.what)}[/] ({each.error.code})")

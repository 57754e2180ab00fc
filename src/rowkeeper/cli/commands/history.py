"""`runs` and `show`: what ran, and what became of it."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.door import err, json_option, out, print_json, workspace, write_page
from rowkeeper.runs.asking import list_runs
from rowkeeper.runs.report import run_document


@click.command()
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many, newest first.")
@click.option("--pipeline", help="Only those of this pipeline.")
@click.option("--parked", "only_parked", is_flag=True, help="Those that wait for somebody, and what for.")
@json_option
def runs(limit: int, pipeline: str | None, only_parked: bool, as_json: bool) -> None:
    """What ran."""
    if only_parked:
        _parked(pipeline, as_json)
        return
    with workspace() as space:
        page = list_runs(space, limit=limit, pipeline=pipeline)
    if page.hint:
        err.print(f"no run of {escape(str(pipeline))} yet; {escape(page.hint)}")
    if as_json:
        print_json(page.as_dict())
    else:
        render.show_runs(page.runs)


def _parked(pipeline: str | None, as_json: bool) -> None:
    from rowkeeper.runs.parked import parked  # noqa: PLC0415 - it knows how runs go on: all there is

    with workspace() as space:
        waiting = [each for each in parked(space) if pipeline in (None, each.run.pipeline)]
    if as_json:
        print_json({"runs": [{**run_document(each.run), "why": each.why} for each in waiting]})
        return
    for each in waiting:
        out.print(f"run [bold]{each.run.run}[/] of {escape(each.run.pipeline)}  {escape(each.why)}")
    out.print(
        "\nrowkeeper resume RUN goes on with it, rowkeeper abandon RUN gives it up"
        if waiting
        else "no run waits for anybody"
    )


@click.command()
@click.argument("number", metavar="RUN", type=int)
@click.option("--html", type=click.Path(path_type=Path), help="Write the same as a page, with the lines of the log.")
@json_option
def show(number: int, html: Path | None, as_json: bool) -> None:
    """One run: its account, what failed, where, how often, what was done about it, and what to do now."""
    from rowkeeper.cli.showing import show_incident  # noqa: PLC0415 - a list of runs needs none of it
    from rowkeeper.operations.incident import incident_of  # noqa: PLC0415
    from rowkeeper.operations.incident_page import incident_page  # noqa: PLC0415

    with workspace() as space:
        incident = incident_of(number, space)
    if html is not None:
        write_page(html, incident_page(incident))
    if as_json:
        print_json(incident.as_dict())
    elif html is not None:
        out.print(f"wrote [bold]{escape(str(html))}[/]")
    else:
        show_incident(incident)

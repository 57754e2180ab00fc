"""`profile`: what the columns of a load look like."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.charts import bar, spark
from rowkeeper.cli.choosing import pipelines_of
from rowkeeper.cli.door import json_option, out, print_json, workspace, write_page
from rowkeeper.quality.changes import changes, figure, share
from rowkeeper.quality.page import page
from rowkeeper.quality.profile import ColumnProfile
from rowkeeper.runs.profiling import ProfileReport, profile_report

TEXT_WIDTH = 28


@click.command()
@click.argument("file", metavar="FILE[:NAME]")
@click.option("--run", "number", type=int, help="Of this run, instead of the last load that was published.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page with plots that needs nothing else.")
@json_option
def profile(file: str, number: int | None, html: Path | None, as_json: bool) -> None:
    """What the columns of the last load look like, and what changed since the one before."""
    with workspace() as space:
        reports = [profile_report(pipeline, space, number) for pipeline in pipelines_of(file)]
    if html is not None:
        write_page(html, page([(each.run, each.profile, each.former, each.gates) for each in reports]))
    if as_json:
        documents = [each.as_dict() for each in reports]
        print_json(documents[0] if len(documents) == 1 else {"profiles": documents})
        return
    if html is not None:
        out.print(f"wrote [bold]{escape(str(html))}[/]")
        return
    for report in reports:
        _show(report)


def _show(report: ProfileReport) -> None:
    run, found = report.run, report.profile
    status = f"[{render.COLOURS.get(run.status.value, 'white')}]{run.status.value}[/]"
    out.print(f"[bold]{escape(run.pipeline)}[/]  {status}  run {run.run}, {found.rows:,} rows")
    if found.sampled < found.rows:
        out.print(f"  distinct, quantiles, plots and values from {found.sampled:,} rows spread over all", style="dim")
    if report.former_run is not None:
        out.print(f"  changes since run {report.former_run}", style="dim")
    table = render.grid("column", "type", "nulls", "distinct", "least", "median", "greatest", "", "changes")
    for column in found.columns:
        table.add_row(
            escape(column.name),
            f"[dim]{escape(_kind(column.kind))}[/]",
            f"{bar(column.null_share, 4)} {share(column.null_share)}",
            "" if column.distinct is None else f"{column.distinct:,}",
            escape(_cut(figure(column.minimum))),
            escape(_cut(figure(column.quantiles[2]) if column.quantiles else "")),
            escape(_cut(figure(column.maximum))),
            _picture(column),
            f"[yellow]{escape(', '.join(changes(column, report.former)))}[/]",
        )
    out.print(table)
    out.print()


def _kind(kind: str) -> str:
    """A type in a word or two: what an enum lists is told by its values."""
    return kind.split("(", maxsplit=1)[0] if kind.startswith("Enum") else kind


def _picture(column: ColumnProfile) -> str:
    """The shape of numbers and times, the shares of values that repeat, or why there is neither."""
    if column.classified:
        return "[dim]classified[/]"
    if column.long_text:
        return "[dim]long text[/]"
    if column.bins and (not column.top or len(column.top) < (column.distinct or 0)):
        return f"[cyan]{spark([each.count for each in column.bins])}[/]"
    shown = column.top[:3]
    return "  ".join(f"{escape(_cut(value, 14))} [cyan]{share(part)}[/]" for value, part in shown)


def _cut(text: str, width: int = TEXT_WIDTH) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"

"""`metrics`: what there is to count: shown, written for node_exporter; alert rules and a dashboard for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.door import err, json_option, out, print_json, workspace
from rowkeeper.errors import UnknownMetric
from rowkeeper.nearest import did_you_mean

if TYPE_CHECKING:
    from rowkeeper.operations.metrics import Definition, Spread


@click.group()
def metrics() -> None:
    """What there is to count: show, write to a file, alert rules and a dashboard."""


@metrics.command("show")
@click.argument("names", metavar="[NAME ...]", nargs=-1)
@json_option
def show(names: tuple[str, ...], as_json: bool) -> None:
    """Every metric now, or those with one of these words in their name; not what a server alone counts."""
    from rowkeeper.operations.metrics import collect_now  # noqa: PLC0415 - the list of commands needs none of it

    _refuse_unknown(names)
    with workspace() as space:
        found = [each for each in collect_now(space) if not names or any(name in each.name for name in names)]
    if as_json:
        print_json({"metrics": [each.as_dict() for each in found]})
        return
    table = render.grid("metric", "labels", "value", "unit")
    for each in found:
        for sample in each.samples:
            labels = ", ".join(f"{name}={text}" for name, text in sample.labels.items())
            table.add_row(escape(each.name), escape(labels), *_told(each.definition, sample.value))
    out.print(table)


def _refuse_unknown(names: tuple[str, ...]) -> None:
    """Raises UnknownMetric for a word that no metric has, or that those alone have which a server counts."""
    from rowkeeper.operations.metrics import FAMILIES  # noqa: PLC0415

    for name in names:
        having = [each for each in FAMILIES if name in each.name]
        if not having:
            known = [each.name for each in FAMILIES]
            hint = did_you_mean(name, known, "rowkeeper metrics show, without a word, shows every metric")
            raise UnknownMetric(f"no metric has {name!r} in its name", hint=hint)
        if all(each.served for each in having):
            raise UnknownMetric(f"{having[0].name} is counted by a server alone", hint="ask rowkeeper serve: /metrics")


def _told(definition: Definition, value: float | Spread) -> tuple[str, str]:
    """A value as people read it, and its unit."""
    if not isinstance(value, (int, float)):
        return f"{value.count:,}, {value.total:,.3f} together", definition.unit
    if definition.name.endswith("_timestamp_seconds"):
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S}", "UTC"
    return f"{value:,.10g}", definition.unit


@metrics.command("write")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def write(file: Path, as_json: bool) -> None:
    """Write every metric into a file, in one step, for the textfile collector of node_exporter."""
    from rowkeeper.operations.metrics.textfile import write_metrics  # noqa: PLC0415

    with workspace() as space:
        found = write_metrics(space, file)
    samples = sum(len(each.samples) for each in found)
    if as_json:
        print_json({"file": str(file), "samples": samples})
    else:
        out.print(f"wrote {samples:,} samples to [bold]{escape(str(file))}[/]")
    if file.suffix != ".prom":
        err.print(
            f"[yellow]note[/]: node_exporter reads only files that end in .prom, and {escape(file.name)} does not"
        )


@metrics.command("rules")
@click.option("--out", "file", type=click.Path(path_type=Path), help="A file for them, instead of standard output.")
@click.option("--job", default="rowkeeper", show_default=True, help="The name of the scrape job in Prometheus.")
@click.option("--runbooks", metavar="URL", help="Where docs/metrics.md is, for the links of the alerts.")
@json_option
def rules(file: Path | None, job: str, runbooks: str | None, as_json: bool) -> None:
    """Alert rules for Prometheus (YAML): each with its severity, summary, description and a link to its runbook."""
    from rowkeeper.operations.metrics.rules import RULES, RUNBOOKS, rules_text  # noqa: PLC0415
    from rowkeeper.operations.metrics.textfile import write_text  # noqa: PLC0415

    text = rules_text(job=job, runbooks=runbooks or RUNBOOKS)
    if file is not None:
        write_text(file, text)
    if as_json:
        print_json({"file": None if file is None else str(file), "rules": [each.name for each in RULES], "text": text})
    elif file is not None:
        out.print(f"wrote {len(RULES)} rules to [bold]{escape(str(file))}[/]")
    else:
        click.echo(text, nl=False)


@metrics.command("dashboard")
@click.option("--out", "file", type=click.Path(path_type=Path), help="A file for it, instead of standard output.")
@click.option("--title", default="Rowkeeper", show_default=True, help="What Grafana calls it.")
@json_option
def dashboard(file: Path | None, title: str, as_json: bool) -> None:
    """A dashboard for Grafana (JSON, to import): every metric, with a variable for the Prometheus that has them."""
    from rowkeeper.operations.metrics.dashboard import dashboard as made  # noqa: PLC0415
    from rowkeeper.operations.metrics.dashboard import dashboard_text  # noqa: PLC0415
    from rowkeeper.operations.metrics.textfile import write_text  # noqa: PLC0415

    text = dashboard_text(title)
    if file is not None:
        write_text(file, text)
    if as_json:
        print_json({"file": None if file is None else str(file), "dashboard": made(title)})
    elif file is not None:
        out.print(f"wrote the dashboard to [bold]{escape(str(file))}[/]")
    else:
        click.echo(text, nl=False)

"""`quarantine`: rejected rows listed, shown, given out to be mended, and replayed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.door import err, json_option, out, print_json, workspace
from rowkeeper.cli.progress import shown
from rowkeeper.runs.asking import list_rejected, show_rejected
from rowkeeper.runs.replaying import export_rejected, replay
from rowkeeper.runs.report import rejected_document
from rowkeeper.runs.revealing import reveal_rejected


@click.group()
def quarantine() -> None:
    """Rejected rows: list, show, export, replay."""


@quarantine.command("list")
@json_option
def quarantine_list(as_json: bool) -> None:
    """Which runs rejected rows, how many, and why."""
    with workspace() as space:
        summaries = list_rejected(space)
    if as_json:
        print_json({"quarantine": [rejected_document(each) for each in summaries]})
        return
    if not summaries:
        out.print("no row is in quarantine")
        return
    table = render.grid("run", "pipeline", "rows", "replayed", "exports", "reasons")
    for each in summaries:
        reasons = ", ".join(f"{count:,} x {reason}" for reason, count in list(each.reasons.items())[:3])
        gone = "" if each.kept else " (removed)"
        table.add_row(
            str(each.run),
            escape(each.pipeline),
            f"{each.rows:,}{gone}",
            f"{each.rows_replayed:,}",
            str(each.exports),
            escape(reasons),
        )
    out.print(table)


@quarantine.command("show")
@click.argument("number", metavar="RUN", type=int)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many rows.")
@click.option("--reveal", is_flag=True, help="Show classified values in the clear; it is noted.")
@click.option("--reason", default="", help="Why, with --reveal.")
@json_option
def quarantine_show(number: int, limit: int, reveal: bool, reason: str, as_json: bool) -> None:
    """The rejected rows of a run, with their place, their errors and their values; classified ones are masked."""
    with workspace() as space:
        if reveal:
            rows = reveal_rejected(number, space, limit=limit, reason=reason)
        else:
            rows = show_rejected(number, space, limit=limit)
    if as_json:
        print_json({"run": number, "rows": rows})
        return
    if not rows:
        out.print(f"run {number} rejected no row")
    for row in rows:
        out.print(f"[bold]{escape(row['place'])}[/]")
        for error in row["errors"]:
            where = ".".join(map(str, error["loc"])) or "row"
            out.print(f"  [red]{escape(where)}[/]: {escape(error['msg'])} [dim]({escape(error['type'])})[/]")
        out.print(f"  [dim]{escape(str(row.get('text', row.get('row'))))}[/]")


@quarantine.command("export")
@click.argument("number", metavar="RUN", type=int)
@click.option(
    "--to", type=click.Path(path_type=Path), required=True, help="A new file; what is there is not overwritten."
)
@click.option("--reveal", is_flag=True, help="Write classified values in the clear as well; it is noted.")
@click.option("--reason", default="", help="Why, with --reveal.")
@json_option
def quarantine_export(number: int, to: Path, reveal: bool, reason: str, as_json: bool) -> None:
    """Write the rejected rows of a run, in the clear, to a file: to mend them and replay them from there."""
    with workspace() as space:
        written = export_rejected(number, space, to, reveal=reveal, reason=reason)
    err.print(
        f"[bold yellow]in the clear:[/] {escape(str(to))} holds the values of {written.rows:,} rejected rows, "
        "unencrypted and readable by you alone. Delete it when they are replayed. The ledger has noted the export."
        + ("" if reveal else " Values of classified columns are sealed, unless --reveal asks for them.")
    )
    if as_json:
        print_json({**dataclasses.asdict(written), "path": str(written.path)})
        return
    out.print(f"{written.rows:,} rows written to {escape(str(to))}")
    if written.unreadable:
        out.print(f"{written.unreadable:,} of them could not be read as rows: write what is in their text as row")
    if written.replayed:
        out.print(f"{written.replayed:,} rows were replayed before, and are left out")
    out.print(f"mend what is in row, then: rowkeeper quarantine replay {number} --from {escape(str(to))}")


@quarantine.command("replay")
@click.argument("number", metavar="RUN", type=int)
@click.option(
    "--from",
    "mended",
    type=click.Path(path_type=Path),
    help="A file of mended rows, from export: they are replayed in the place of those that were read; others stay.",
)
@click.option("--file", type=click.Path(path_type=Path), help="The pipeline file, if it is elsewhere now.")
@json_option
def quarantine_replay(number: int, mended: Path | None, file: Path | None, as_json: bool) -> None:
    """Run the rejected rows of a run through its pipeline as it is now."""
    with workspace() as space, shown(err) as observe:
        report = replay(number, space, file, observe, mended=mended)
    print_json(report.as_dict()) if as_json else render.show_report(report)

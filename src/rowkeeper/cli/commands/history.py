"""`runs` and `show`: what ran, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.door import err, json_option, out, print_json, workspace, write_page
from rowkeeper.ledger import GateResult, Override, RunPartition, RunRecord
from rowkeeper.nearest import did_you_mean
from rowkeeper.operations.incident import incident_of
from rowkeeper.operations.incident_page import incident_page
from rowkeeper.runs.parked import parked
from rowkeeper.runs.report import failed_partitions, gate_document, override_document, partition_document


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
        records = space.ledger.runs(limit=limit, pipeline=pipeline)
        if pipeline is not None and not records:
            names = space.ledger.pipelines()
            err.print(f"no run of {escape(pipeline)} yet; {escape(did_you_mean(pipeline, names, _known(names)))}")
    if as_json:
        print_json({"runs": [run_document(each) for each in records]})
    else:
        render.show_runs(records)


def _known(names: Sequence[str]) -> str:
    return f"there are runs of {', '.join(names)}" if names else "there is no run of any pipeline"


def _parked(pipeline: str | None, as_json: bool) -> None:
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


def run_document(record: Any) -> dict[str, Any]:
    """One run as JSON."""
    return {
        "run": record.run,
        "pipeline": record.pipeline,
        "target": record.target,
        "kind": record.kind.value,
        "status": record.status.value,
        "account": record.account.as_dict(),
        "fingerprint": str(record.fingerprint) if record.fingerprint else "",
        "reverses": record.reverses,
        "started_at": record.started_at.isoformat(),
        "finished_at": record.finished_at.isoformat() if record.finished_at else None,
        "seconds": record.seconds,
        "error": dict(record.error) if record.error else None,
        "note": record.note,
        "degraded": list(record.degraded),
    }


@click.command()
@click.argument("number", metavar="RUN", type=int)
@click.option("--html", type=click.Path(path_type=Path), help="Write a page: what failed, where, what to do now.")
@json_option
def show(number: int, html: Path | None, as_json: bool) -> None:
    """One run: its account, by partition, and what became of it."""
    with workspace() as space:
        if html is not None:
            write_page(html, incident_page(incident_of(number, space)))
        record = space.ledger.run(number)
        partitions = space.ledger.partitions(number)
        failed = failed_partitions(partitions)
        gates, override = space.ledger.gate_results(number), space.ledger.override(number)
        reasons: dict[str, int] = {}
        for batch in space.ledger.quarantine(number):
            for reason, count in batch.reasons.items():
                reasons[reason] = reasons.get(reason, 0) + count
    if as_json:
        document = run_document(record)
        parts = [partition_document(each) for each in partitions if each.error is None]
        said = [gate_document(each) for each in gates]
        decided = override_document(override)
        print_json(
            {
                **document,
                "partitions": parts,
                "failed_partitions": list(failed),
                "reasons": reasons,
                "gates": said,
                "override": decided,
            }
        )
        return
    if html is not None:
        out.print(f"wrote [bold]{escape(str(html))}[/]")
        return
    _show(record, partitions, reasons, gates, override)


def _show(
    record: RunRecord,
    partitions: Sequence[RunPartition],
    reasons: Mapping[str, int],
    gates: Sequence[GateResult],
    override: Override | None,
) -> None:
    render.show_runs([record])
    out.print()
    render.show_account(record.account.as_dict(), reasons)
    out.print(f"\n  table        {escape(record.target)}")
    out.print(f"  fingerprint  {record.fingerprint or ''}")
    if record.error:
        out.print(
            f"  error        {escape(str(record.error['what']))}\n  next         {escape(str(record.error['hint']))}"
        )
    render.show_degraded(record.degraded)
    if record.note:
        out.print(f"  note         {escape(record.note)}")
    if gates:
        out.print()
        render.show_gates(gates, override)
    failed = failed_partitions(partitions)
    if failed:
        out.print()
        render.show_failed(failed)
    if partitions:
        _show_partitions(partitions)


def _show_partitions(partitions: Sequence[RunPartition]) -> None:
    out.print()
    table = render.grid("partition", "read", "committed", "quarantined", "duplicate", "filtered")
    for each in partitions:
        if each.error is not None:
            continue
        account = each.account
        counts = (account.read, account.committed, account.quarantined, account.duplicate, account.filtered)
        table.add_row(escape(each.partition.key), *(f"{count:,}" for count in counts))
    out.print(table)

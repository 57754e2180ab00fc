"""Every command: its words, and the function behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.door import (
    DONE,
    FAILED,
    Door,
    err,
    exit_status,
    json_option,
    out,
    print_json,
    tell_error,
    workspace,
)
from rowkeeper.cli.progress import shown
from rowkeeper.destinations import read_client
from rowkeeper.errors import FrameworkError, all_errors, error_of
from rowkeeper.operations.doctor import examine
from rowkeeper.operations.scaffold import scaffold
from rowkeeper.pipeline import Pipeline, select
from rowkeeper.runs.loading import run_pipeline
from rowkeeper.runs.reconciling import recover as recover_runs
from rowkeeper.runs.rejects import describe_rejects, open_rejects
from rowkeeper.runs.replaying import replay
from rowkeeper.runs.report import partition_document
from rowkeeper.runs.rollback import rollback_run
from rowkeeper.runs.verifying import verify_pipeline
from rowkeeper.runs.workspace import Workspace

main = Door("rowkeeper", help=__doc__)
main.help = "Double-entry bookkeeping for data pipelines: every row that was read is on one line of the run's account."
main.params.append(click.Option(["--debug"], is_flag=True, expose_value=False, help="Show tracebacks."))
click.version_option(package_name="rowkeeper")(main)


def _pipelines(reference: str) -> list[Pipeline]:
    """FILE or FILE:NAME."""
    path, _, name = reference.partition(":")
    return select(Path(path), name or None)


@main.command()
@click.argument("file", metavar="FILE[:NAME]")
@json_option
def run(file: str, as_json: bool) -> int:
    """Run the pipelines of a file, or the one of this name."""
    pipelines = _pipelines(file)
    documents: list[dict[str, Any]] = []
    status = DONE
    with workspace() as space:
        for pipeline in pipelines:
            document, outcome = _run_one(pipeline, space, as_json)
            documents.append(document)
            status = max(status, outcome)
    if as_json:
        print_json(documents[0] if len(documents) == 1 else {"status": _worst(documents), "runs": documents})
    return status


def _run_one(pipeline: Pipeline, space: Workspace, as_json: bool) -> tuple[dict[str, Any], int]:
    """Runs one pipeline; a failure is told and does not keep the file's other pipelines from running."""
    try:
        with shown(err) as observe:  # the live line is gone before anything else is printed
            report = run_pipeline(pipeline, space, observe)
    except FrameworkError as error:
        tell_error(error)
        document = {"pipeline": pipeline.name, "status": "failed", "error": error.document()}
        return document, exit_status(error)
    if not as_json:
        render.show_report(report)
    return report.as_dict(), DONE


def _worst(documents: list[dict[str, Any]]) -> str:
    statuses = {document["status"] for document in documents}
    return next(status for status in ("failed", "published", "unchanged") if status in statuses)


@main.command()
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many, newest first.")
@click.option("--pipeline", help="Only those of this pipeline.")
@json_option
def runs(limit: int, pipeline: str | None, as_json: bool) -> None:
    """What ran."""
    with workspace() as space:
        records = space.ledger.runs(limit=limit, pipeline=pipeline)
    if as_json:
        print_json({"runs": [run_document(each) for each in records]})
    else:
        render.show_runs(records)


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
    }


@main.command()
@click.argument("number", metavar="RUN", type=int)
@json_option
def show(number: int, as_json: bool) -> None:
    """One run: its account, by partition, and what became of it."""
    with workspace() as space:
        record = space.ledger.run(number)
        partitions = space.ledger.partitions(number)
        reasons: dict[str, int] = {}
        for batch in space.ledger.quarantine(number):
            for reason, count in batch.reasons.items():
                reasons[reason] = reasons.get(reason, 0) + count
    if as_json:
        document = run_document(record)
        print_json({**document, "partitions": [partition_document(each) for each in partitions], "reasons": reasons})
        return
    render.show_runs([record])
    out.print()
    render.show_account(record.account.as_dict(), reasons)
    out.print(f"\n  table        {escape(record.target)}")
    out.print(f"  fingerprint  {record.fingerprint or ''}")
    if record.error:
        out.print(
            f"  error        {escape(str(record.error['what']))}\n  next         {escape(str(record.error['hint']))}"
        )
    if record.note:
        out.print(f"  note         {escape(record.note)}")
    if partitions:
        out.print()
        table = render.grid("partition", "read", "committed", "quarantined", "duplicate", "filtered")
        for each in partitions:
            account = each.account
            counts = (account.read, account.committed, account.quarantined, account.duplicate, account.filtered)
            table.add_row(escape(each.partition.key), *(f"{count:,}" for count in counts))
        out.print(table)


@main.command()
@click.argument("file", metavar="FILE[:NAME]")
@json_option
def explain(file: str, as_json: bool) -> None:
    """How each field of the contract is checked, and why; what source and destination guarantee."""
    documents = []
    for pipeline in _pipelines(file):
        fields = pipeline.rules.explain()
        documents.append(
            {
                "pipeline": pipeline.name,
                "source": {"mode": pipeline.source.mode.value, "guarantee": pipeline.source.guarantee.value},
                "destination": {
                    "target": pipeline.destination.target,
                    "write": pipeline.destination.write_mode,
                    "guarantee": pipeline.destination.guarantee.value,
                },
                "drift": pipeline.drift,
                "fields": [
                    {"name": each.name, "kind": each.kind, "column": each.column, "why": each.why} for each in fields
                ],
            }
        )
    if as_json:
        print_json(documents[0] if len(documents) == 1 else {"pipelines": documents})
        return
    for document in documents:
        _show_plan(document)


def _show_plan(document: dict[str, Any]) -> None:
    source, destination = document["source"], document["destination"]
    out.print(f"[bold]{escape(document['pipeline'])}[/]")
    out.print(f"  source       {source['mode']} values, {source['guarantee']}")
    out.print(f"  destination  {escape(destination['target'])}, {destination['write']}, {destination['guarantee']}")
    out.print(f"  drift        {document['drift']}\n")
    table = render.grid("field", "kind", "column", "why")
    for field in document["fields"]:
        table.add_row(*(escape(str(field[key])) for key in ("name", "kind", "column", "why")))
    out.print(table)
    out.print()


@main.group()
def quarantine() -> None:
    """Rejected rows: list, show, replay."""


@quarantine.command("list")
@json_option
def quarantine_list(as_json: bool) -> None:
    """Which runs rejected rows, how many, and why."""
    with workspace() as space:
        summaries = space.ledger.quarantine_summary()
    if as_json:
        print_json(
            {
                "quarantine": [
                    {
                        "run": each.run,
                        "pipeline": each.pipeline,
                        "rows": each.rows,
                        "reasons": dict(each.reasons),
                        "replayed": each.replayed,
                    }
                    for each in summaries
                ]
            }
        )
        return
    if not summaries:
        out.print("no row is in quarantine")
        return
    table = render.grid("run", "pipeline", "rows", "replayed", "reasons")
    for each in summaries:
        reasons = ", ".join(f"{count:,} x {reason}" for reason, count in list(each.reasons.items())[:3])
        table.add_row(
            str(each.run), escape(each.pipeline), f"{each.rows:,}", "yes" if each.replayed else "no", escape(reasons)
        )
    out.print(table)


@quarantine.command("show")
@click.argument("number", metavar="RUN", type=int)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many rows.")
@json_option
def quarantine_show(number: int, limit: int, as_json: bool) -> None:
    """The rejected rows of a run, with their place, their errors and their values."""
    rows: list[dict[str, Any]] = []
    with workspace() as space:
        space.ledger.run(number)
        for record in space.ledger.quarantine(number):
            for row in describe_rejects(open_rejects(space.quarantine, str(record.quarantine_file))):
                if len(rows) == limit:
                    break
                rows.append(row)
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


@quarantine.command("replay")
@click.argument("number", metavar="RUN", type=int)
@click.option("--file", type=click.Path(path_type=Path), help="The pipeline file, if it is elsewhere now.")
@json_option
def quarantine_replay(number: int, file: Path | None, as_json: bool) -> None:
    """Run the rejected rows of a run through its pipeline as it is now."""
    with workspace() as space, shown(err) as observe:
        report = replay(number, space, file, observe)
    print_json(report.as_dict()) if as_json else render.show_report(report)


@main.command()
@click.argument("number", metavar="RUN", type=int)
@json_option
def rollback(number: int, as_json: bool) -> None:
    """Take a published run back; its input counts as not loaded."""
    with workspace() as space, shown(err) as observe:
        report = rollback_run(number, space, observe)
    print_json(report.as_dict()) if as_json else render.show_report(report)


@main.command()
@click.argument("file", metavar="FILE[:NAME]")
@json_option
def verify(file: str, as_json: bool) -> int:
    """Recompute what is in the tables, and compare it with the books."""
    pipelines = _pipelines(file)
    with workspace() as space:
        reports = [verify_pipeline(pipeline, space) for pipeline in pipelines]
    if as_json:
        documents = [report.as_dict() for report in reports]
        print_json(documents[0] if len(documents) == 1 else {"tables": documents})
    else:
        for report in reports:
            render.show_verify(report)
    return DONE if all(report.sound for report in reports) else FAILED


@main.command()
@click.argument("sql")
@json_option
def query(sql: str, as_json: bool) -> None:
    """SQL on the embedded ClickHouse, read only."""
    with workspace() as space, read_client(space.site) as client:
        result = client.query(sql)
    if as_json:
        columns = [{"name": name, "type": kind} for name, kind in result.columns]
        print_json({"columns": columns, "rows": [list(row) for row in result.rows]})
    else:
        render.show_rows([name for name, _ in result.columns], result.rows)


@main.command()
@click.option("--discard", is_flag=True, help="Undo runs that could still be resumed.")
@json_option
def recover(discard: bool, as_json: bool) -> None:
    """Finish or undo what dead runs left behind."""
    with workspace() as space, shown(err) as observe:
        findings = recover_runs(space, discard=discard, observe=observe)
    if as_json:
        print_json(
            {
                "runs": [
                    {"run": each.run, "pipeline": each.pipeline, "outcome": each.outcome, "note": each.note}
                    for each in findings
                ]
            }
        )
        return
    for each in findings:
        out.print(f"[bold]{escape(each.pipeline)}[/]  {each.outcome}  {escape(each.note)}")
    if not findings:
        out.print("nothing to recover: no run was left unfinished")


@main.command()
@json_option
def doctor(as_json: bool) -> int:
    """What is wrong with this installation, and the mend."""
    with workspace() as space:
        findings = examine(space)
    if as_json:
        print_json({"checks": [{"name": f.name, "ok": f.ok, "found": f.found, "mend": f.mend} for f in findings]})
    else:
        for each in findings:
            mark = "[green]ok[/]   " if each.ok else "[red]wrong[/]"
            out.print(f"{mark}  {each.name:<16} {escape(each.found)}")
            if not each.ok:
                out.print(f"       [bold]mend[/]             {escape(each.mend)}")
    return DONE if all(each.ok for each in findings) else FAILED


@main.command()
@click.argument("code", required=False)
@json_option
def errors(code: str | None, as_json: bool) -> None:
    """What an error code means, and what to do; without a code, all of them."""
    documents = [each.explanation() for each in (all_errors() if code is None else [error_of(code)])]
    if as_json:
        print_json({"errors": documents})
    else:
        render.show_errors(documents)


@main.command()
@click.argument("sample", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), default=None, help="Default: NAME.py in this folder.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@json_option
def init(sample: Path, output: Path | None, force: bool, as_json: bool) -> None:
    """Write a pipeline file to start from, its contract inferred from a sample file."""
    written = scaffold(sample, output, force=force)
    if as_json:
        print_json({"file": str(written.path), "pipeline": written.pipeline, "fields": written.fields})
        return
    out.print(f"wrote [bold]{escape(str(written.path))}[/]: pipeline {written.pipeline}, {written.fields} fields")
    out.print(f"look it over, then: rowkeeper run {escape(str(written.path))}")

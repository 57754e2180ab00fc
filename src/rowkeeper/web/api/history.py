"""Runs: what ran, and what was done with its rows."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Query
from typing_extensions import TypedDict

from rowkeeper.operations.incident import incident_of
from rowkeeper.operations.staged import show_staged
from rowkeeper.runs.asking import list_rejected, list_runs, list_spool, run_for, show_rejected
from rowkeeper.runs.report import gate_document, rejected_document, run_document
from rowkeeper.web.api.documents import AccountDocument, GateDocument, RunDocument
from rowkeeper.web.api.paging import LIMIT, NUMBER_MAX, Before, Limit, RunNumber
from rowkeeper.web.governed import Routes, asks, asks_of_each
from rowkeeper.web.house import Space

routes = Routes("runs")


class RunList(TypedDict):
    """Runs, the newest first."""

    runs: list[RunDocument]
    next: int | None


class RunAccount(TypedDict):
    """Where the rows of a run are, and whether that adds up."""

    run: int
    pipeline: str
    status: str
    account: AccountDocument
    balanced: bool


class Gates(TypedDict):
    """What the quality gates of a run said when they were asked last."""

    run: int
    gates: list[GateDocument]


class ColumnDocument(TypedDict):
    """A column of an answer."""

    name: str
    type: str


class Staged(TypedDict):
    """What a run has staged and not published, as far as the caller may see it."""

    run: int
    pipeline: str
    status: str
    staged: int
    read: int
    quarantined: int
    filtered: int
    gates: list[GateDocument]
    samples: list[dict[str, Any]]
    columns: list[ColumnDocument]
    rows: list[list[Any]]


class Spool(TypedDict):
    """What waits for its destination."""

    bytes: int
    runs: list[RunDocument]


class RejectedDocument(TypedDict):
    """What one run rejected, and why."""

    run: int
    pipeline: str
    rows: int
    reasons: dict[str, int]
    replayed: bool
    rows_replayed: int
    exports: int
    kept: bool


class RejectedList(TypedDict):
    """Runs that rejected rows, the newest first."""

    quarantine: list[RejectedDocument]
    next: int | None


class RejectedRows(TypedDict):
    """Rejected rows with place, errors and values; classified values are masked."""

    run: int
    rows: list[dict[str, Any]]


@routes.get("/runs", asks_of_each("run.show"), kept=True)
def list_of_runs(
    space: Space,
    limit: Limit = LIMIT,
    before: Before = None,
    pipeline: Annotated[str | None, Query(max_length=100, description="Only those of this pipeline.")] = None,
) -> RunList:
    """What ran, the newest first."""
    page = list_runs(space, limit=limit, pipeline=pipeline, before=before)
    return {"runs": [cast("RunDocument", run_document(each)) for each in page.runs], "next": page.before}


@routes.get("/runs/{run}", asks("run.show"), kept=True)
def show_run(space: Space, run: RunNumber) -> RunDocument:
    """One run."""
    return cast("RunDocument", run_document(run_for(space, "run.show", run)))


@routes.get("/runs/{run}/account", asks("run.show"), kept=True)
def show_account(space: Space, run: RunNumber) -> RunAccount:
    """Where the rows of a run are: read = committed + quarantined + duplicate + filtered."""
    record = run_for(space, "run.show", run)
    account = cast("AccountDocument", record.account.as_dict())
    elsewhere = account["committed"] + account["quarantined"] + account["duplicate"] + account["filtered"]
    return {
        "run": run,
        "pipeline": record.pipeline,
        "status": record.status.value,
        "account": account,
        "balanced": account["read"] == elsewhere,
    }


@routes.get("/runs/{run}/gates", asks("run.show"), kept=True)
def show_gates(space: Space, run: RunNumber) -> Gates:
    """What the quality gates of a run said."""
    run_for(space, "run.show", run)
    return {"run": run, "gates": [cast("GateDocument", gate_document(each)) for each in space.ledger.gate_results(run)]}


@routes.get("/runs/{run}/incident", asks("run.show"))
def show_incident(space: Space, run: RunNumber) -> dict[str, Any]:
    """All that is known of a run, as `rowkeeper show RUN --json` has it: what failed, where, and what to do now."""
    return incident_of(run, space).as_dict()


@routes.get("/runs/{run}/staging", asks("staging.show"))
def show_staging(
    space: Space,
    run: RunNumber,
    limit: Annotated[int, Query(ge=1, le=1_000, description="How many rows.")] = 10,
) -> Staged:
    """What a run has staged and not published: its account, its gates, some of its rows."""
    return cast("Staged", show_staged(run, space, limit=limit).as_dict())


@routes.get("/spool", asks_of_each("run.show"))
def show_spool(space: Space) -> Spool:
    """Runs that wait in the spool, in the order in which they are drained."""
    return cast("Spool", list_spool(space).as_dict())


@routes.get("/quarantine", asks_of_each("quarantine.show"), kept=True)
def list_quarantine(space: Space, limit: Limit = LIMIT, before: Before = None) -> RejectedList:
    """Which runs rejected rows, how many, and why."""
    found = [each for each in list_rejected(space) if each.run < (before or NUMBER_MAX + 1)]
    shown = [cast("RejectedDocument", rejected_document(each)) for each in found[:limit]]
    return {"quarantine": shown, "next": shown[-1]["run"] if len(found) > limit else None}


@routes.get("/quarantine/{run}", asks("quarantine.show"))
def show_quarantine(
    space: Space,
    run: RunNumber,
    limit: Annotated[int, Query(ge=1, le=1_000, description="How many rows.")] = 20,
) -> RejectedRows:
    """Rejected rows of a run. It is in the audit trail before it is shown."""
    return {"run": run, "rows": show_rejected(run, space, limit=limit)}

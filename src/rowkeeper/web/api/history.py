"""What ran."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Path, Query
from typing_extensions import TypedDict

from rowkeeper.access import of_run
from rowkeeper.runs.report import run_document
from rowkeeper.web.api.documents import RunDocument
from rowkeeper.web.api.paging import LIMIT, RUN_MAX, Before, Limit
from rowkeeper.web.governed import Routes, asks, asks_of_each
from rowkeeper.web.house import Space

routes = Routes("runs")
Number = Annotated[int, Path(ge=1, le=RUN_MAX, description="The number of a run.")]


class RunPage(TypedDict):
    """Runs, the newest first."""

    runs: list[RunDocument]
    next: int | None


@routes.get("/runs", asks_of_each("run.show"))
def list_runs(
    space: Space,
    limit: Limit = LIMIT,
    before: Before = None,
    pipeline: Annotated[str | None, Query(max_length=100, description="Only those of this pipeline.")] = None,
) -> RunPage:
    """What ran, the newest first."""
    found = space.ledger.runs(limit=limit + 1, pipeline=pipeline, before=before)
    seen = space.access.only("run.show", found[:limit], lambda each: of_run(each.run, each.pipeline))
    return {
        "runs": [cast("RunDocument", run_document(each)) for each in seen],
        "next": found[limit - 1].run if len(found) > limit else None,
    }


@routes.get("/runs/{run}", asks("run.show"))
def show_run(space: Space, run: Number) -> RunDocument:
    """One run."""
    record = space.ledger.run(run)
    space.access.require("run.show", of_run(record.run, record.pipeline))
    return cast("RunDocument", run_document(record))

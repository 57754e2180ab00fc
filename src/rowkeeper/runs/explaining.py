"""`rowkeeper explain`: how a pipeline's contract is checked on the source as it is now."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pyarrow as pa

from rowkeeper.access import of_pipeline
from rowkeeper.contracts import FieldPlan
from rowkeeper.errors import SourceError, StoreError
from rowkeeper.ledger import Ledger, RunStatus
from rowkeeper.pipeline import Pipeline
from rowkeeper.runs.workspace import Workspace

LOOKED_AT_ROWS = 1_000
RUNS_LOOKED_AT = 100


def explained(pipeline: Pipeline, workspace: Workspace) -> dict[str, Any]:
    """How a pipeline's contract is checked, and what source and destination guarantee, as JSON. Raises AccessDenied."""
    workspace.access.require("pipeline.show", of_pipeline(pipeline.name))
    last = share_by_pydantic(workspace.ledger, pipeline.name)
    return {
        "pipeline": pipeline.name,
        "source": {"mode": pipeline.source.mode.value, "guarantee": pipeline.source.guarantee.value},
        "destination": {
            "target": pipeline.destination.target,
            "write": pipeline.destination.write_mode,
            "guarantee": pipeline.destination.guarantee.value,
        },
        "drift": pipeline.drift,
        "fields": [dataclasses.asdict(each) for each in plan_of(pipeline)],
        "rules": [each.definition() for each in pipeline.rules],
        "last_run": None if last is None else {"run": last[0], "share_by_pydantic": last[1]},
    }


def plan_of(pipeline: Pipeline) -> list[FieldPlan]:
    """How each field is checked, by the layout of what the source would give first; by its mode if it gives nothing."""
    return pipeline.checker.explain(pipeline.source.mode, _layout(pipeline))


def _layout(pipeline: Pipeline) -> pa.Schema | None:
    columns = pipeline.checker.columns()
    with contextlib.suppress(SourceError, StoreError):
        for partition in pipeline.source.plan({}, whole=True).to_read:
            batches = pipeline.source.read(partition, start_row=0, batch_rows=LOOKED_AT_ROWS, columns=columns)
            with contextlib.closing(batches):  # type: ignore[type-var]
                for batch in batches:
                    names = [name for name in batch.table.column_names if name in columns.known]
                    return batch.table.select(names).schema
    return None


def share_by_pydantic(ledger: Ledger, pipeline: str) -> tuple[int, float] | None:
    """The last published run of a pipeline, and the share of its rows that the columns could not decide."""
    for run in ledger.runs(pipeline=pipeline, limit=RUNS_LOOKED_AT):
        if run.status in (RunStatus.PUBLISHED, RunStatus.ROLLED_BACK):
            batches = ledger.batches(run.run)
            rows = sum(each.next_row - each.first_row for each in batches)
            if rows:
                return run.run, sum(each.by_pydantic for each in batches) / rows
    return None

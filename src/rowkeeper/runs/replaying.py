"""`rowkeeper quarantine replay`: rejected rows tried again, after the contract or the data was mended."""

from __future__ import annotations

from pathlib import Path

from rowkeeper.errors import PipelineError, RunUnfit
from rowkeeper.ledger import RunStatus
from rowkeeper.runs.declared import pipeline_of
from rowkeeper.runs.loading import replay_run
from rowkeeper.runs.rejects import QuarantineSource, check_seals, quarantine_mode
from rowkeeper.runs.report import Observer, RunReport, unobserved
from rowkeeper.runs.workspace import Workspace


def replay(number: int, workspace: Workspace, file: Path | None = None, observe: Observer = unobserved) -> RunReport:
    """Runs the rejected rows of a published run through its pipeline as the file declares it now.

    Rows that pass now are committed by a run of their own; the others are quarantined under that run. Each
    quarantine file is replayed once: asking again finds nothing new.

    Args:
        file: the pipeline file, where it is no longer the one that the run was made from.
    """
    run = workspace.ledger.run(number)
    if run.status is not RunStatus.PUBLISHED:
        raise RunUnfit(
            f"run {number} is {run.status.value}: only rejected rows of a published run can be replayed",
            hint="rowkeeper quarantine list shows what there is",
        )
    records = tuple(workspace.ledger.quarantine(number))
    if not records:
        raise PipelineError(f"run {number} rejected no row", hint="rowkeeper quarantine list shows what there is")
    pipeline = pipeline_of(run, file)
    check_seals(records, workspace.quarantine)
    mode = quarantine_mode(records, workspace.quarantine)
    source = QuarantineSource(number, records, mode, workspace.quarantine)
    return replay_run(pipeline, workspace, source, observe)

"""`rowkeeper quarantine replay`: rejected rows tried again, after the contract or the data was mended."""

from __future__ import annotations

from pathlib import Path

from rowkeeper.errors import ConfigurationError, PipelineError, RunUnfit
from rowkeeper.ledger import RunRecord, RunStatus
from rowkeeper.pipeline import Pipeline, select
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


def pipeline_of(run: RunRecord, file: Path | None = None) -> Pipeline:
    """The pipeline of a run, as its file declares it now. Raises ConfigurationError if the file is not there."""
    file = file or Path(str(run.source.get("pipeline_file", "")))
    if not file.is_file():
        raise ConfigurationError(
            f"the pipeline file of {run.pipeline} is not at {file}",
            hint="run the pipeline from where its file is now (a replay takes --file PIPELINE.py)",
        )
    return select(file, run.pipeline)[0]

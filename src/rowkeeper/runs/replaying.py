"""`rowkeeper quarantine replay` and `export`: rejected rows tried again, after the contract or the rows were mended."""

from __future__ import annotations

from pathlib import Path

from rowkeeper.errors import PipelineError, RunUnfit, SourceError
from rowkeeper.ledger import BatchRecord, RunRecord, RunStatus
from rowkeeper.runs.asking import kept_rejects, run_for
from rowkeeper.runs.declared import pipeline_of
from rowkeeper.runs.exporting import Exported, export
from rowkeeper.runs.loading import replay_run
from rowkeeper.runs.mended import MendedSource
from rowkeeper.runs.replayed import QuarantineSource, check_seals, quarantine_mode
from rowkeeper.runs.report import Observer, RunReport, unobserved
from rowkeeper.runs.revealing import export_revealed, look_at_rejected
from rowkeeper.runs.workspace import Workspace


def replay(
    number: int,
    workspace: Workspace,
    file: Path | None = None,
    observe: Observer = unobserved,
    *,
    mended: Path | None = None,
) -> RunReport:
    """Runs the rejected rows of a published run through its pipeline as the file declares it now.

    Rows that pass now are committed by a run of their own; the others are quarantined under that run. Each row is
    replayed once: asking again finds nothing new.

    Args:
        file: the pipeline file, where it is no longer the one that the run was made from.
        mended: a file of mended rows, which are replayed in the place of those that were read; all other rows stay
            in quarantine.
    """
    run, records = _rejected(run_for(workspace, "quarantine.replay", number), workspace)
    pipeline = pipeline_of(run, file)
    check_seals(records, workspace.quarantine)
    mode = quarantine_mode(records, workspace.quarantine)
    if mended is not None:
        source = MendedSource(
            mended,
            number,
            records,
            mode=mode or pipeline.source.mode,
            seal=workspace.quarantine,
            keysets=workspace.keysets,
            known=pipeline.checker.columns().known,
        )
        return replay_run(pipeline, workspace, source, observe)
    if mode is None:
        raise SourceError(
            "none of the rejected rows could be read as a row, so there is nothing to replay",
            hint=f"rowkeeper quarantine export {number} --to FILE gives them out to be mended",
        )
    rejected = QuarantineSource(number, records, mode, workspace.quarantine, workspace.keysets)
    return replay_run(pipeline, workspace, rejected, observe)


def export_rejected(number: int, workspace: Workspace, to: Path, *, reveal: bool = False, reason: str = "") -> Exported:
    """Writes the rejected rows of a published run, in the clear, to a new file that its owner alone may read.

    Args:
        reveal: classified values as well, for this reason; otherwise they are tokens.
    """
    look = look_at_rejected(number, workspace, to, reason) if reveal else None
    run, records = _rejected(run_for(workspace, "quarantine.export", number), workspace)
    check_seals(records, workspace.quarantine)
    if look is not None:
        return export_revealed(run, records, to, workspace, look)
    return export(run, records, to, workspace)


def _rejected(run: RunRecord, workspace: Workspace) -> tuple[RunRecord, tuple[BatchRecord, ...]]:
    """A run with what it rejected, but for files that a later run loaded anew.

    Raises RunUnfit if it is not published or nothing of it is left, PipelineError if it rejected nothing.
    """
    number = run.run
    if run.status is not RunStatus.PUBLISHED:
        raise RunUnfit(
            f"run {number} is {run.status.value}: only rejected rows of a published run can be replayed",
            hint="rowkeeper quarantine list shows what there is",
        )
    records = tuple(kept_rejects(workspace, number))
    if not records:
        raise PipelineError(f"run {number} rejected no row", hint="rowkeeper quarantine list shows what there is")
    replaced = workspace.ledger.replaced(run)
    current = tuple(record for record in records if record.partition_ordinal not in replaced)
    if not current:
        raise RunUnfit(
            f"what run {number} rejected was replaced since: its files were loaded anew",
            hint="what is bad in them now is in the quarantine of the later run: rowkeeper quarantine list",
        )
    return run, current

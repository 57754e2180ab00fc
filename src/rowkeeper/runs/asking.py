"""What ran and what waits, for whoever asks: a thing is shown to who may see it, and a list shows no others.

Permission comes before existence: who may not see a run is told the same whether there is one of this number or not, to
the letter. That there is none is told to who may do the same to runs of any pipeline.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from rowkeeper.access import Resource, ResourceKind, of_pipeline, of_run
from rowkeeper.errors import RunUnfit
from rowkeeper.ledger import BatchRecord, QuarantineSummary, RunRecord, RunStatus
from rowkeeper.ledger.audit import Event
from rowkeeper.nearest import did_you_mean
from rowkeeper.runs.report import run_document
from rowkeeper.runs.spoolfiles import spool_bytes
from rowkeeper.runs.workspace import Workspace

LOOKED_AT_MAX = 10_000  # runs that are looked at for one page, however few of them the caller may see
AT_ONCE = 500


# --------------------------------------------------------------------------------------------- one run


def resource_of(run: RunRecord) -> Resource:
    """A run as permissions know it."""
    return of_run(run.run, run.pipeline)


def look_for(workspace: Workspace, number: int) -> tuple[RunRecord | None, Resource]:
    """A run, or None if there is none of this number; and what permissions are to be asked about in either case."""
    run = workspace.ledger.find_run(number)
    return run, Resource(ResourceKind.RUN, str(number)) if run is None else resource_of(run)


def run_for(workspace: Workspace, action: str, number: int) -> RunRecord:
    """The run, if the caller may do this to it.

    Raises AccessDenied, also where there is no such run; UnknownRun to who may do it to any.
    """
    run, resource = look_for(workspace, number)
    about = {} if run is None else {"run": number, "pipeline": run.pipeline}
    workspace.access.require(action, resource, **about)
    return workspace.ledger.run(number) if run is None else run


def permitted(workspace: Workspace, action: str, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Of what is to be done to many runs at once: those that the caller may do it to.

    Raises AccessDenied if there are some, and none is among them.
    """
    found = workspace.access.only(action, runs, resource_of)
    if runs and not found:
        workspace.access.require(action, resource_of(runs[0]), run=runs[0].run, pipeline=runs[0].pipeline)
    return found


# ------------------------------------------------------------------------------------------ lists of runs


@dataclasses.dataclass(frozen=True, slots=True)
class RunPage:
    """Some runs, newest first.

    Attributes:
        before: the page goes on with the runs before this number; None at the end.
        hint: of a pipeline that has no run: the names that might have been meant.
    """

    runs: tuple[RunRecord, ...]
    before: int | None = None
    hint: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {"runs": [run_document(each) for each in self.runs]}


def list_runs(workspace: Workspace, *, limit: int, pipeline: str | None = None, before: int | None = None) -> RunPage:
    """The newest runs that the caller may see.

    Args:
        before: only those before the run of this number.
    """
    found: list[RunRecord] = []
    looked_at_max = max(limit, LOOKED_AT_MAX)
    for place, run in enumerate(_newest(workspace, limit, pipeline, before), 1):
        found += [run] if workspace.access.may("run.show", resource_of(run)) else []
        if len(found) == limit or place == looked_at_max:
            return RunPage(tuple(found), run.run)
    if pipeline is None or found or before is not None:
        return RunPage(tuple(found))
    names = list_pipelines(workspace)
    known = f"there are runs of {', '.join(names)}" if names else "there is no run of any pipeline"
    return RunPage((), hint=did_you_mean(pipeline, names, known))


def _newest(workspace: Workspace, first: int, pipeline: str | None, before: int | None) -> Iterator[RunRecord]:
    """Runs, newest first, read a page at a time: as many as are asked for, then more for those that are not shown."""
    size = first
    while page := workspace.ledger.runs(limit=size, pipeline=pipeline, before=before):
        yield from page
        if len(page) < size:
            return
        before, size = page[-1].run, AT_ONCE


def list_pipelines(workspace: Workspace) -> list[str]:
    """The names of the pipelines that ran, as far as the caller may see them."""
    return workspace.access.only("pipeline.show", workspace.ledger.pipelines(), of_pipeline)


def list_unfinished(workspace: Workspace) -> list[RunRecord]:
    """Runs that were begun and are neither published nor closed, and those that wait in the spool."""
    ledger = workspace.ledger
    runs = [run for target in ledger.targets(unfinished=True) for run in ledger.unfinished(target)]
    runs += [run for run in ledger.spooled() if run.status is RunStatus.SPOOLED]
    return workspace.access.only("run.show", runs, resource_of)


@dataclasses.dataclass(frozen=True, slots=True)
class Spooled:
    """Runs that wait in the spool, in the order in which they are drained.

    Attributes:
        bytes: how much disk they take.
    """

    runs: tuple[RunRecord, ...]
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {"bytes": self.bytes, "runs": [run_document(each) for each in self.runs]}


def list_spool(workspace: Workspace) -> Spooled:
    """What waits in the spool, of the runs that the caller may see."""
    waiting = workspace.ledger.spooled()
    runs = workspace.access.only("run.show", waiting, resource_of)
    whole = len(runs) == len(waiting)
    return Spooled(tuple(runs), spool_bytes(workspace, None if whole else [each.run for each in runs]))


# -------------------------------------------------------------------------------------------- quarantine


def list_rejected(workspace: Workspace) -> list[QuarantineSummary]:
    """What published runs have rejected, of those whose rejected rows the caller may see."""
    summaries = workspace.ledger.quarantine_summary()
    return workspace.access.only("quarantine.show", summaries, lambda each: of_run(each.run, each.pipeline))


def show_rejected(number: int, workspace: Workspace, *, limit: int) -> list[dict[str, Any]]:
    """Rejected rows of a run with place, errors and values, classified ones masked; on the record before it is shown.

    Raises AccessDenied or UnknownRun.
    """
    run = run_for(workspace, "quarantine.show", number)
    workspace.ledger.audit.record(Event("quarantine.show", {"run": number, "pipeline": run.pipeline}))
    return list(islice(_rejected(workspace, number), limit))


def _rejected(workspace: Workspace, number: int) -> Iterator[dict[str, Any]]:
    from rowkeeper.runs.rejects import describe_rejects, open_rejects  # noqa: PLC0415 - it knows contracts: all there is

    for record in kept_rejects(workspace, number):
        table = open_rejects(workspace.quarantine, str(record.quarantine_file))
        yield from describe_rejects(table, workspace.keysets)


def kept_rejects(workspace: Workspace, number: int) -> list[BatchRecord]:
    """The batches of a run whose rejected rows are kept. Raises RunUnfit if there were some, and they were removed."""
    found = workspace.ledger.quarantine(number, kept=True)
    if not found and workspace.ledger.quarantine(number):
        raise RunUnfit(
            f"the rows that run {number} rejected were removed: they were older than they are kept",
            hint="ROWKEEPER_QUARANTINE_KEEP_DAYS says how long; how many there were, and why, rowkeeper show tells",
        )
    return found

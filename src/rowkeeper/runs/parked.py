"""Runs that wait for somebody: what the reconciler could not finish, and must not undo by itself."""

from __future__ import annotations

import dataclasses
from functools import partial

from rowkeeper.errors import LeaseError, RunUnfit
from rowkeeper.ledger import RunKind, RunRecord, RunStatus
from rowkeeper.runs.asking import resource_of, run_for
from rowkeeper.runs.declared import pipeline_of
from rowkeeper.runs.hold import hold
from rowkeeper.runs.loading import load_pipeline
from rowkeeper.runs.reconciling import Finding, destination_of, discard_run, reconcile
from rowkeeper.runs.report import Observer, RunReport, unobserved
from rowkeeper.runs.workspace import Workspace


@dataclasses.dataclass(frozen=True, slots=True)
class Parked:
    """A run that waits, and what for."""

    run: RunRecord
    why: str


def parked(workspace: Workspace) -> list[Parked]:
    """Every run that is not ended and not under way, the oldest first, of those that the caller may see.

    What can be settled is settled on the way.
    """
    found: list[RunRecord] = []
    ledger, seen = workspace.ledger, partial(workspace.access.only, "run.show", resource_of=resource_of)
    for target in ledger.targets(unfinished=True):
        left = ledger.unfinished(target)
        if not seen(left):
            continue
        try:
            with hold(workspace, destination_of(left[0])) as held:
                reconcile(held)
        except LeaseError:
            continue  # it is under way
        found += ledger.unfinished(target)
    found += [run for run in ledger.spooled() if run.status is RunStatus.SPOOLED]
    return sorted((Parked(run, _why(run)) for run in seen(found)), key=lambda each: each.run.run)


def _why(run: RunRecord) -> str:
    if run.status is RunStatus.HELD:
        return "its quality gates hold it"
    if run.status is RunStatus.SPOOLED and not run.error:
        return "it waits in the spool"
    if run.error:
        return str(run.error.get("what", "it failed"))
    return "its process died"


def resume(number: int, workspace: Workspace, observe: Observer = unobserved) -> RunReport:
    """Runs the pipeline of a parked run again, which goes on where that one stopped.

    Raises AccessDenied or UnknownRun; RunUnfit if the run is ended, or is no load.
    """
    run = _unfinished(workspace, number)
    if run.kind is not RunKind.LOAD:
        again = f"rowkeeper quarantine replay {run.source.get('run', '')}".rstrip()
        if "mended" in run.source:
            again += f" --from {run.source['mended']}"
        raise RunUnfit(f"run {number} is a {run.kind.value}, and no load", hint=f"{again} goes on with it")
    return load_pipeline(pipeline_of(run), workspace, observe)


def abandon(number: int, workspace: Workspace, reason: str, observe: Observer = unobserved) -> Finding:
    """Drops what a parked run has staged or spooled; its input is as if never read. The reason is kept with the run.

    Raises:
        AccessDenied, UnknownRun: the caller may not, or nobody could.
        RunUnfit: the run is ended.
        LeaseError: it is under way.
    """
    with hold(workspace, destination_of(_unfinished(workspace, number)), observe=observe) as held:
        reconcile(held)
        return discard_run(held, _unfinished(workspace, number), f"abandoned: {reason}")


def _unfinished(workspace: Workspace, number: int) -> RunRecord:
    run = run_for(workspace, "run.resume", number)
    if run.status is not RunStatus.SPOOLED and all(
        each.run != number for each in workspace.ledger.unfinished(run.target)
    ):
        raise RunUnfit(
            f"run {number} is {run.status.value}: it waits for nobody",
            hint="rowkeeper runs --parked lists those that do",
        )
    return run

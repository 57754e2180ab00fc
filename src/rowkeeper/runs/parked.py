"""Runs that wait for somebody: what the reconciler could not finish, and must not undo by itself."""

from __future__ import annotations

import dataclasses

from rowkeeper.errors import LeaseError, RunUnfit
from rowkeeper.ledger import RunKind, RunRecord, RunStatus
from rowkeeper.runs.hold import hold
from rowkeeper.runs.loading import run_pipeline
from rowkeeper.runs.reconciling import Finding, destination_of, discard_run, reconcile
from rowkeeper.runs.replaying import pipeline_of
from rowkeeper.runs.report import Observer, RunReport, unobserved
from rowkeeper.runs.workspace import Workspace


@dataclasses.dataclass(frozen=True, slots=True)
class Parked:
    """A run that waits, and what for."""

    run: RunRecord
    why: str


def parked(workspace: Workspace) -> list[Parked]:
    """Every run that is not ended and not under way, the oldest first. What can be settled is settled on the way."""
    found: list[Parked] = []
    ledger = workspace.ledger
    for target in ledger.targets(unfinished=True):
        try:
            with hold(workspace, destination_of(ledger.unfinished(target)[0])) as held:
                reconcile(held)
        except LeaseError:
            continue  # it is under way
        found += [Parked(run, _why(run)) for run in ledger.unfinished(target)]
    return sorted(found, key=lambda each: each.run.run)


def _why(run: RunRecord) -> str:
    if run.status is RunStatus.HELD:
        return "its quality gates hold it"
    if run.error:
        return str(run.error.get("what", "it failed"))
    return "its process died"


def resume(number: int, workspace: Workspace, observe: Observer = unobserved) -> RunReport:
    """Runs the pipeline of a parked run again, which goes on where that one stopped.

    Raises RunUnfit if the run is ended, or is no load.
    """
    run = _unfinished(workspace, number)
    if run.kind is not RunKind.LOAD:
        again = f"rowkeeper quarantine replay {run.source.get('run', '')}".rstrip()
        if "mended" in run.source:
            again += f" --from {run.source['mended']}"
        raise RunUnfit(f"run {number} is a {run.kind.value}, and no load", hint=f"{again} goes on with it")
    return run_pipeline(pipeline_of(run), workspace, observe)


def abandon(number: int, workspace: Workspace, reason: str, observe: Observer = unobserved) -> Finding:
    """Drops what a parked run has staged; its input is as if never read. The reason is kept with the run.

    Raises:
        RunUnfit: the run is ended.
        LeaseError: it is under way.
    """
    with hold(workspace, destination_of(_unfinished(workspace, number)), observe=observe) as held:
        reconcile(held)
        return discard_run(held, _unfinished(workspace, number), f"abandoned: {reason}")


def _unfinished(workspace: Workspace, number: int) -> RunRecord:
    run = workspace.ledger.run(number)
    if all(each.run != number for each in workspace.ledger.unfinished(run.target)):
        raise RunUnfit(
            f"run {number} is {run.status.value}: it waits for nobody",
            hint="rowkeeper runs --parked lists those that do",
        )
    return run

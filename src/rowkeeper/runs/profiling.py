"""`rowkeeper profile`: what the columns of a pipeline's last load look like, beside those of the one before."""

from __future__ import annotations

import dataclasses
from typing import Any

from rowkeeper.access import of_pipeline
from rowkeeper.errors import RunUnfit
from rowkeeper.ledger import GateResult, RunRecord
from rowkeeper.ledger.audit import Event
from rowkeeper.pipeline import Pipeline
from rowkeeper.quality import Profile
from rowkeeper.runs.asking import look_for
from rowkeeper.runs.gating import open_profile
from rowkeeper.runs.report import gate_document
from rowkeeper.runs.workspace import Workspace

LOADS_LOOKED_AT = 100


@dataclasses.dataclass(frozen=True, slots=True)
class ProfileReport:
    """A run's profile, and the one to compare it with.

    Attributes:
        former: of the last published load before it; None where there is none.
    """

    run: RunRecord
    profile: Profile
    gates: tuple[GateResult, ...]
    former_run: int | None
    former: Profile | None

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "run": self.run.run,
            "pipeline": self.run.pipeline,
            "target": self.run.target,
            "status": self.run.status.value,
            "profile": self.profile.as_dict(),
            "gates": [gate_document(each) for each in self.gates],
            "former_run": self.former_run,
            "former": self.former.as_dict() if self.former else None,
        }


def profile_report(pipeline: Pipeline, workspace: Workspace, number: int | None = None) -> ProfileReport:
    """The profile of a pipeline's last published load, or of another of its runs.

    It is on the record before it is shown: a profile holds values.

    Raises AccessDenied; RunUnfit if there is none.
    """
    return profile_of(pipeline.name, pipeline.destination.target, workspace, number)


def profile_of(pipeline: str, target: str, workspace: Workspace, number: int | None = None) -> ProfileReport:
    """The same for a pipeline of this name, whose loads went to this destination."""
    workspace.access.require("profile.show", of_pipeline(pipeline))
    report = _report(pipeline, target, workspace, number)
    workspace.ledger.audit.record(Event("profile.show", {"run": report.run.run, "pipeline": pipeline}))
    return report


def _report(pipeline: str, target: str, workspace: Workspace, number: int | None) -> ProfileReport:
    ledger = workspace.ledger
    loads = ledger.former_loads(pipeline, target, limit=LOADS_LOOKED_AT)
    runs = loads if number is None else _named(workspace, number)
    for run in runs:
        profile = open_profile(workspace, run.run)
        if profile is None or run.pipeline != pipeline:
            continue
        former = [each.run for each in loads if each.run < run.run and ledger.profile(each.run)]
        before = open_profile(workspace, former[0]) if former else None
        gates = tuple(ledger.gate_results(run.run))
        return ProfileReport(run, profile, gates, former[0] if former else None, before)
    what = "no load has been published yet" if number is None else f"run {number} has no profile of it"
    raise RunUnfit(
        f"pipeline {pipeline}: {what}",
        hint="rowkeeper run FILE makes one; rowkeeper runs lists what ran",
    )


def _named(workspace: Workspace, number: int) -> list[RunRecord]:
    """The run of this number. That there is none is told to who may see any run; others are told of no other run."""
    run, resource = look_for(workspace, number)
    if run is None and workspace.access.may("run.show", resource):
        workspace.ledger.run(number)  # which says that there is none
    return [] if run is None else [run]

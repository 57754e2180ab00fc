"""Pipelines: which there are, how they are checked, when they are due, what their last load looks like."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from rowkeeper.access import of_pipeline
from rowkeeper.errors import PipelineFileError, RunUnfit
from rowkeeper.operations import scheduled
from rowkeeper.operations.scheduled import Scheduled
from rowkeeper.runs.profiling import profile_of
from rowkeeper.runs.workspace import Workspace
from rowkeeper.web.api.paging import LIMIT, NUMBER_MAX, After, Limit, PipelineName
from rowkeeper.web.catalogue import answer_of
from rowkeeper.web.governed import Routes, asks, asks_of_each
from rowkeeper.web.house import Here, House, Space

EXPLAIN_SECONDS_MAX = 20.0
routes = Routes("pipelines")


class PipelineDocument(TypedDict):
    """A pipeline: declared in a file of this server, or known by its runs, or both.

    `served`: it can be run by this server. `runs`: there are runs of it. `target`: where its last run went.
    """

    name: str
    served: bool
    schedule: str | None
    runs: bool
    target: str | None


class PipelineList(TypedDict):
    """Pipelines by name."""

    pipelines: list[PipelineDocument]
    next: str | None


class CalendarDocument(TypedDict):
    """The days on which something is expected."""

    holidays: str
    weekdays: str
    closed: list[str]
    open: list[str]


class TimingDocument(TypedDict):
    """How a schedule treats its slots, as the pipeline declares it."""

    schedule: str
    catch_up: str
    within_seconds: float | None
    jitter_seconds: float
    overlap: str
    after: list[str]
    join: str
    calendar: CalendarDocument | None


class SlotDocument(TypedDict):
    """A slot of a schedule: the interval that a run is for."""

    number: int
    cause: str
    since: str
    until: str
    not_before: str
    state: str
    tries: int
    run: int | None
    outcome: str
    error: str
    ended_at: str | None


class PausedDocument(TypedDict):
    """Since when a schedule is paused, by whom, and why."""

    at: str
    by: str
    why: str


class ScheduleDocument(TypedDict):
    """A schedule that a worker was given, and how it stands."""

    pipeline: str
    file: str
    schedule: str
    timing: TimingDocument
    next: str | None
    late_seconds: float
    waits_for: list[str]
    paused: PausedDocument | None
    due: SlotDocument | None
    last: SlotDocument | None
    served: bool
    pid: int | None
    started_at: str | None
    ended_at: str | None
    outcome: str
    error: str
    failures: int


class ScheduleList(TypedDict):
    """Schedules by pipeline."""

    schedules: list[ScheduleDocument]


def _document(house: House, name: str, target: str | None) -> PipelineDocument:
    declared = house.catalogue.pipelines.get(name)
    return {
        "name": name,
        "served": declared is not None,
        "schedule": None if declared is None else declared.schedule,
        "runs": target is not None,
        "target": target,
    }


@routes.get("/pipelines", asks_of_each("pipeline.show"), kept=True)
def list_of_pipelines(house: Here, limit: Limit = LIMIT, after: After = None) -> PipelineList:
    """The pipelines that the files of this server declare, and those that ran."""
    space = house.space
    targets = space.ledger.last_targets()
    known = {*targets, *house.catalogue.pipelines}
    names = sorted(
        each for each in space.access.only("pipeline.show", known, of_pipeline) if after is None or each > after
    )
    shown = [_document(house, each, targets.get(each)) for each in names[:limit]]
    return {"pipelines": shown, "next": names[limit - 1] if len(names) > limit else None}


def _require_known(house: House, name: str, action: str) -> PipelineDocument:
    """Permission comes before existence. Raises AccessDenied, PipelineFileError."""
    house.space.access.require(action, of_pipeline(name))
    last = house.space.ledger.runs(limit=1, pipeline=name)
    found = _document(house, name, last[0].target if last else None)
    if not found["served"] and not found["runs"]:
        raise PipelineFileError(
            f"there is no pipeline {name}", hint="GET /api/v1/pipelines lists them", context={"http_status": 404}
        )
    return found


@routes.get("/pipelines/{name}", asks("pipeline.show"))
def show_pipeline(house: Here, name: PipelineName) -> PipelineDocument:
    """One pipeline."""
    return _require_known(house, name, "pipeline.show")


@routes.get("/pipelines/{name}/contract", asks("pipeline.show"))
async def show_contract(house: Here, name: PipelineName) -> dict[str, Any]:
    """How a pipeline's contract is checked, as `rowkeeper explain FILE --json` has it.

    The file is read in a process of its own, as it is Python that somebody else wrote.
    """
    await house.pool.run(_require_known, house, name, "pipeline.show")
    declared = house.catalogue.pipelines.get(name)
    answer = {} if declared is None else await answer_of(["explain", f"{declared.file}:{name}"], EXPLAIN_SECONDS_MAX)
    if "fields" not in answer:
        raise PipelineFileError(
            f"no file of this server declares the pipeline {name}, or it cannot be read",
            hint="rowkeeper explain FILE says more",
            context={"http_status": 404},
        )
    return answer


@routes.get("/pipelines/{name}/profile", asks("profile.show"))
def show_profile(
    space: Space,
    name: PipelineName,
    run: Annotated[int | None, Query(ge=1, le=NUMBER_MAX, description="Of this run, instead of the last load.")] = None,
) -> dict[str, Any]:
    """What the columns of the last load look like. It is in the audit trail before it is shown."""
    space.access.require("profile.show", of_pipeline(name))
    return profile_of(name, _target_of(space, name), space, run).as_dict()


def _target_of(space: Workspace, name: str) -> str:
    last = space.ledger.runs(limit=1, pipeline=name)
    if not last:
        raise RunUnfit(f"pipeline {name}: no load has been published yet", hint="run it", context={"http_status": 404})
    return last[0].target


# ------------------------------------------------------------------------------------------------- schedules


class Pausing(BaseModel):
    """Why a schedule is paused; it is kept with it."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(max_length=1_000)] = ""


def _schedule_document(found: Scheduled) -> ScheduleDocument:
    return cast("ScheduleDocument", found.as_dict())


@routes.get("/schedules", asks_of_each("pipeline.show"))
def show_schedules(space: Space) -> ScheduleList:
    """What is scheduled, due next, under way, and what became of it the last time."""
    return {"schedules": [_schedule_document(each) for each in scheduled.list_schedules(space)]}


@routes.get("/schedules/{name}", asks("pipeline.show"))
def show_schedule(space: Space, name: PipelineName) -> ScheduleDocument:
    """One pipeline's schedule."""
    return _schedule_document(scheduled.show_schedule(space, name))


@routes.post("/schedules/{name}/pause", asks("schedule.change"))
def pause_schedule(space: Space, name: PipelineName, pausing: Pausing) -> ScheduleDocument:
    """Begins no run of a pipeline's schedule until it is resumed; one that is under way ends."""
    return _schedule_document(scheduled.pause_schedule(space, name, pausing.reason))


@routes.post("/schedules/{name}/resume", asks("schedule.change"))
def resume_schedule(space: Space, name: PipelineName) -> ScheduleDocument:
    """Goes on with a paused schedule; what was missed meanwhile is caught up with as it declares."""
    return _schedule_document(scheduled.resume_schedule(space, name))

"""Jobs: what is done in a process of its own, with progress, and can be cancelled."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse
from typing_extensions import TypedDict

from rowkeeper.errors import PipelineFileError
from rowkeeper.ledger import JobOrder, JobRecord
from rowkeeper.runs.asking import run_for
from rowkeeper.web.api.documents import JobDocument
from rowkeeper.web.api.paging import LIMIT, Before, Limit, PipelineName, RunNumber
from rowkeeper.web.governed import Answer, Routes, Streamed, asks, asks_of_each
from rowkeeper.web.house import Here, House
from rowkeeper.web.jobs.works import action_of

LOOKED_AT = 500
routes = Routes("jobs")

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,200}$",
        description="Sent again with the same key, a request is carried out once: the answer is the same job.",
    ),
]
JobId = Annotated[str, Path(pattern=r"^j_[0-9a-f]{16}$", description="The id of a job.")]
TAKEN: dict[int | str, dict[str, Any]] = {
    202: {"description": "The job was taken in; `Location` leads to it, and to its events."},
}


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


class Because(BaseModel):
    """Why something is done; it is kept with the run."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"\S")]


class Override(Because):
    """Why a held run is published against its gates; and whether critical ones are meant as well."""

    critical: bool = False


class JobList(TypedDict):
    """Jobs, the newest first."""

    jobs: list[JobDocument]
    next: int | None


def job_document(record: JobRecord) -> JobDocument:
    """One job, as JSON."""
    return {
        "id": record.id,
        "number": record.number,
        "work": record.order.work,
        "pipeline": record.order.pipeline,
        "run": record.order.run,
        "caller": record.caller,
        "state": record.state.value,
        "requested_at": record.requested_at,
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "outcome": None if record.outcome is None else dict(record.outcome),
    }


async def _taken(house: House, order: JobOrder, key: str | None) -> Answer[JobDocument]:
    record = await house.jobs.take(order, key)
    return Answer(job_document(record), 202, {"location": f"/api/v1/jobs/{record.id}"})


async def _about_run(house: House, work: str, run: int, key: str | None, **options: Any) -> Answer[JobDocument]:
    """A job that is done to a run: that there is none is told to who may do it to any."""
    record = await house.pool.run(run_for, house.space, action_of(JobOrder(work, "")), run)
    return await _taken(house, JobOrder(work, record.pipeline, run, options), key)


async def _about_pipeline(house: House, work: str, name: str, key: str | None) -> Answer[JobDocument]:
    """A job that is done to a pipeline that a file of this server declares."""
    declared = house.catalogue.pipelines.get(name)
    if declared is not None:
        return await _taken(house, JobOrder(work, name, options={"file": str(declared.file)}), key)
    await house.pool.run(house.jobs.require, JobOrder(work, name))  # permission comes before existence
    raise PipelineFileError(
        f"no file of this server declares the pipeline {name}",
        hint="GET /api/v1/pipelines lists those; rowkeeper serve FILE... names the files",
        context={"http_status": 404},
    )


# ------------------------------------------------------------------------------------------------- pipelines


@routes.post("/pipelines/{name}/runs", asks("pipeline.run"), status_code=202, responses=TAKEN)
async def start_run(house: Here, name: PipelineName, key: Key = None) -> Answer[JobDocument]:
    """Runs a pipeline."""
    return await _about_pipeline(house, "pipeline.run", name, key)


@routes.post("/pipelines/{name}/verify", asks("pipeline.verify"), status_code=202, responses=TAKEN)
async def verify(house: Here, name: PipelineName, key: Key = None) -> Answer[JobDocument]:
    """Recomputes what is in a pipeline's table, and compares it with the books."""
    return await _about_pipeline(house, "pipeline.verify", name, key)


@routes.post("/pipelines/{name}/drain", asks("spool.drain"), status_code=202, responses=TAKEN)
async def drain(house: Here, name: PipelineName, key: Key = None) -> Answer[JobDocument]:
    """Publishes what waits in the spool for a pipeline's destination."""
    return await _about_pipeline(house, "spool.drain", name, key)


# ------------------------------------------------------------------------------------------------------ runs


@routes.post("/runs/{run}/resume", asks("run.resume"), status_code=202, responses=TAKEN)
async def resume(house: Here, run: RunNumber, key: Key = None) -> Answer[JobDocument]:
    """Goes on with a run that died, was stopped, or is held."""
    return await _about_run(house, "run.resume", run, key)


@routes.post("/runs/{run}/abandon", asks("run.resume"), status_code=202, responses=TAKEN)
async def abandon(house: Here, run: RunNumber, because: Because, key: Key = None) -> Answer[JobDocument]:
    """Gives up a run that died, was stopped, or is held: its input is as if never read."""
    return await _about_run(house, "run.abandon", run, key, reason=because.reason)


@routes.post("/runs/{run}/publish", asks("run.publish"), status_code=202, responses=TAKEN)
async def publish(house: Here, run: RunNumber, override: Override, key: Key = None) -> Answer[JobDocument]:
    """Publishes a run that its quality gates hold, on the record."""
    return await _about_run(house, "run.publish", run, key, **override.model_dump())


@routes.post("/runs/{run}/discard", asks("staging.discard"), status_code=202, responses=TAKEN)
async def discard(house: Here, run: RunNumber, key: Key = None) -> Answer[JobDocument]:
    """Drops what a run has staged; its input is as if never read."""
    return await _about_run(house, "staging.discard", run, key)


@routes.post("/runs/{run}/rollback", asks("run.rollback"), status_code=202, responses=TAKEN)
async def rollback(house: Here, run: RunNumber, key: Key = None) -> Answer[JobDocument]:
    """Takes a published run back; its input counts as not loaded."""
    return await _about_run(house, "run.rollback", run, key)


@routes.post("/quarantine/{run}/replay", asks("quarantine.replay"), status_code=202, responses=TAKEN)
async def replay(house: Here, run: RunNumber, key: Key = None) -> Answer[JobDocument]:
    """Runs the rejected rows of a run through its pipeline as it is now."""
    return await _about_run(house, "quarantine.replay", run, key)


# ------------------------------------------------------------------------------------------------------ jobs


@routes.get("/jobs", asks_of_each("pipeline.show"))
def list_jobs(house: Here, limit: Limit = LIMIT, before: Before = None) -> JobList:
    """Jobs, the newest first: those of pipelines that one may see, and one's own."""
    found: list[JobRecord] = []
    looked = house.space.ledger.jobs.newest(limit=LOOKED_AT, before=before)
    for each in looked:
        if house.jobs.may_see(each):
            found.append(each)
        if len(found) == limit:
            return {"jobs": [job_document(job) for job in found], "next": each.number}
    last = looked[-1].number if len(looked) == LOOKED_AT else None
    return {"jobs": [job_document(job) for job in found], "next": last}


@routes.get("/jobs/{id}", asks_of_each("pipeline.show"))
def show_job(house: Here, id: JobId) -> JobDocument:
    """One job, and how it ended."""
    return job_document(house.jobs.visible(id))


@routes.post("/jobs/{id}/cancel", asks_of_each("pipeline.run"), status_code=202)
async def cancel_job(house: Here, id: JobId) -> JobDocument:
    """Tells a job to end: it finishes its batch, and what was staged is kept. For who may do what it does."""
    return job_document(await house.jobs.cancel(id))


@routes.get(
    "/jobs/{id}/events",
    asks_of_each("pipeline.show"),
    response_class=EventStream,
    response_description="Server-sent events: state, progress, outcome.",
)
async def follow_job(
    house: Here,
    id: JobId,
    last: Annotated[
        str | None,
        Header(alias="Last-Event-ID", pattern=r"^[0-9]{1,9}$", description="Goes on after the event of this number."),
    ] = None,
) -> Streamed:
    """How a job goes on, as it happens; ends when the job has ended."""
    return Streamed(await house.jobs.told(id, int(last or 0)), EventStream.media_type)

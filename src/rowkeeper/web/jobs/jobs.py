"""Jobs: taken in, started as there is room, watched, cancelled, and stopped with the server.

What is in memory is of this process: the children that are up, and what they have told. What must outlive it is in the
ledger. All methods are for the event loop; the ledger is asked in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import secrets
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from typing import Any

from rowkeeper.access import of_pipeline
from rowkeeper.caller import Caller, current_caller
from rowkeeper.errors import FrameworkError, PipelineError, RunInterrupted, ServerBusy, UnknownJob
from rowkeeper.ledger import JobOrder, JobRecord, JobState, Started
from rowkeeper.logs import logger
from rowkeeper.logs.failure import document, failure
from rowkeeper.runs.workspace import Workspace
from rowkeeper.web.jobs.child import told_to
from rowkeeper.web.jobs.telling import Telling
from rowkeeper.web.jobs.works import action_of, resource_of
from rowkeeper.web.pool import Pool

WAITING_MAX = 100
LISTENERS_MAX = 200
ENDED_KEPT_MAX = 200
LINE_BYTES_MAX = 64 * 1024**2  # a report names each partition
STOP_SECONDS = 10.0  # what a command needs to finish its batch, and a little more
CHILD = (sys.executable, "-m", "rowkeeper.web.jobs.child")

log = logger("server")


@dataclasses.dataclass
class _Job:
    """One of this process."""

    id: str
    order: JobOrder
    caller: Caller
    telling: Telling = dataclasses.field(default_factory=Telling)
    process: Process | None = None
    cancelled: bool = False

    def to_end(self) -> bool:
        """Whether somebody wants it to end; that may change while others are waited for."""
        return self.cancelled


class Jobs:
    """The jobs of a server.

    Args:
        most: that are under way at a time; others wait.
        seconds_max: for one job; it is told to stop then.
    """

    def __init__(self, space: Workspace, pool: Pool, *, most: int, seconds_max: float) -> None:
        self._space = space
        self._pool = pool
        self._most = most
        self._seconds_max = seconds_max
        self._server = Started.of(os.getpid())
        self._jobs: dict[str, _Job] = {}  # in the order in which they were asked for
        self._going: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(most)
        self._listeners = 0
        self.stopping = False

    @property
    def under_way(self) -> int:
        """How many wait or run."""
        return len(self._going)

    # -------------------------------------------------------------------------------------------- for routes

    async def take(self, order: JobOrder, key: str | None = None) -> JobRecord:
        """Takes a job in, on behalf of the current caller.

        Raises AccessDenied, ServerBusy, or RequestRefused if the caller asked for something else by that key.
        """
        await self._pool.run(self.require, order)
        if self.stopping or len(self._going) >= WAITING_MAX + self._most:
            raise ServerBusy("the server takes no more jobs at the moment", hint="ask for it again in a minute")
        id = f"j_{secrets.token_hex(8)}"
        record, new = await self._pool.run(self._space.ledger.jobs.add, id, order, self._server, key=key)
        if new:
            job = self._jobs[id] = _Job(id, order, current_caller())
            job.telling.tell("state", {"state": JobState.WAITING.value})
            task = asyncio.create_task(self._see_to(job))
            self._going.add(task)
            task.add_done_callback(self._going.discard)
        return record

    def require(self, order: JobOrder) -> None:
        """Passes if the caller may have this done. For a thread. Raises AccessDenied."""
        self._space.access.require(action_of(order), resource_of(order))

    def visible(self, id: str) -> JobRecord:
        """The job, for who may see its pipeline, or asked for it and still may. For a thread. Raises UnknownJob."""
        record = self._space.ledger.jobs.find(id)
        if record is None or not self.may_see(record):
            raise UnknownJob(f"there is no job {id} that you may see", hint="GET /api/v1/jobs lists those")
        return record

    def may_see(self, record: JobRecord) -> bool:
        """Whether the caller may see a job."""
        access, order = self._space.access, record.order
        if access.may("pipeline.show", of_pipeline(order.pipeline)):
            return True
        return record.caller == str(current_caller()) and access.may(action_of(order), resource_of(order))

    async def cancel(self, id: str) -> JobRecord:
        """Tells a job to end, for who may do what it does; one that has ended stays as it is.

        Raises UnknownJob, AccessDenied.
        """
        record = await self._pool.run(self.visible, id)
        await self._pool.run(self.require, record.order)
        job = self._jobs.get(id)
        if record.state.ended or job is None or job.cancelled:
            return record
        await self._pool.run(self._space.ledger.jobs.note_cancel, id)
        self._end(job)
        return record

    async def told(self, id: str, after: int) -> AsyncIterator[bytes]:
        """What a job tells, after the event of this number; of one that is not of this process only how it ended.

        Raises UnknownJob, ServerBusy.
        """
        record = await self._pool.run(self.visible, id)
        if self._listeners >= LISTENERS_MAX or self.stopping:
            raise ServerBusy("too many listen already", hint=f"ask now and then: GET /api/v1/jobs/{id}")
        job = self._jobs.get(id)
        if job is not None:
            return self._heard(job.telling, after)
        past = Telling()
        past.tell("outcome", {"state": record.state.value, "outcome": record.outcome}, last=True)
        return past.after(0)

    async def _heard(self, telling: Telling, after: int) -> AsyncIterator[bytes]:
        self._listeners += 1
        try:
            async for each in telling.after(after):
                yield each
        finally:
            self._listeners -= 1

    # ------------------------------------------------------------------------------------------------ one job

    async def _see_to(self, job: _Job) -> None:
        """Starts it when there is room, and stays with it to its end."""
        state, outcome = JobState.FAILED, dict[str, Any]()
        try:
            async with self._room:
                state, outcome = await self._carried_out(job)
        except (FrameworkError, OSError) as error:  # the ledger does not answer, or there is no process to be had
            log.error("a job could not be carried out", operation=job.id, **failure(error))
            told = error if isinstance(error, FrameworkError) else PipelineError("no process could be started")
            outcome = document(told)
        try:
            await self._pool.run(self._space.ledger.jobs.end, job.id, state, outcome)
        except FrameworkError as error:
            log.error("how a job ended could not be noted", operation=job.id, **failure(error))
        job.telling.tell("outcome", {"state": state.value, "outcome": outcome}, last=True)
        self._forget()

    async def _carried_out(self, job: _Job) -> tuple[JobState, dict[str, Any]]:
        if job.to_end():
            return JobState.CANCELLED, document(RunInterrupted("the job was not begun: it was cancelled"))
        await self._pool.run(self._space.ledger.jobs.start, job.id)
        job.process = process = await asyncio.create_subprocess_exec(
            *CHILD, stdin=PIPE, stdout=PIPE, limit=LINE_BYTES_MAX, start_new_session=True
        )
        job.telling.tell("state", {"state": JobState.RUNNING.value})
        if job.to_end():
            self._end(job)
        alarm = asyncio.get_running_loop().call_later(self._seconds_max, self._end, job)
        try:
            last = await self._listened(job, process)
            status = await process.wait()
        finally:
            alarm.cancel()
            _kill(process)
        log.info("job ended", operation=job.id, status=str(status))
        return _outcome(job, last, status)

    async def _listened(self, job: _Job, process: Process) -> dict[str, Any] | None:
        """Hands on what the child tells; its last word, None if it had none."""
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(ConnectionError):  # it died before it listened
            process.stdin.write(told_to(job.id, job.order, job.caller))
            await process.stdin.drain()
            process.stdin.close()
        last: dict[str, Any] | None = None
        while line := await process.stdout.readline():
            said: dict[str, Any] = json.loads(line)
            if said["event"] == "progress":
                job.telling.tell("progress", said["data"])
            else:
                last = said
        return last

    def _end(self, job: _Job) -> None:
        """Tells it to stop: it finishes its batch. One that does not is killed."""
        job.cancelled = True
        if job.process is not None and job.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                job.process.terminate()
            asyncio.get_running_loop().call_later(STOP_SECONDS, _kill, job.process)

    def _forget(self) -> None:
        ended = [id for id, job in self._jobs.items() if job.telling.over]
        for id in ended[: max(0, len(ended) - ENDED_KEPT_MAX)]:
            del self._jobs[id]

    # ------------------------------------------------------------------------------------------------ the end

    def stop(self) -> None:
        """The server stops: nothing new is begun, what goes on is told to stop, whoever listens is sent away."""
        self.stopping = True
        for job in self._jobs.values():
            if not job.telling.over:
                self._end(job)
                job.telling.hang_up()

    async def stopped(self, seconds: float) -> None:
        """Waits for what was told to stop, and ends what is left after so long."""
        if self._going:
            await asyncio.wait(self._going, timeout=seconds)
        for job in self._jobs.values():
            if job.process is not None:
                _kill(job.process)
        if self._going:
            await asyncio.wait(self._going, timeout=0.5)


def _kill(process: Process) -> None:
    """Ends it at once, with what it started. Until it is waited for, the group's number is surely its own."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _outcome(job: _Job, last: Mapping[str, Any] | None, status: int) -> tuple[JobState, dict[str, Any]]:
    if last is None:
        error = PipelineError(
            f"the process of the job ended with status {status}, and said nothing of it",
            hint="ask for it again: it goes on where it stopped, or finds out what took effect",
        )
        return JobState.CANCELLED if job.cancelled else JobState.FAILED, document(error)
    data = dict(last["data"])
    if last["event"] == "done":
        return JobState.DONE, data
    stopped = data.pop("stopped", False)
    return JobState.CANCELLED if stopped or job.cancelled else JobState.FAILED, data

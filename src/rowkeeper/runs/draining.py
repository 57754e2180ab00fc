"""From the spool to the destination: the second half of a run whose rows were sealed away when they were read.

A drain is the end of an ordinary run, its rows read from the spool. It always begins at the first of them: what a dead
drain staged is dropped with its staging area. Until the ledger says that the run is published its rows are in the
spool, and the ledger alone says whether they are to be published still: that is why they get there once.

The order is the runs' own. What cannot be drained (its gates hold it, its file is damaged, the table has another
layout) stops what comes behind it, whichever pipeline that is of: later rows may replace earlier ones.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from rowkeeper import metering
from rowkeeper.access import of_pipeline
from rowkeeper.batch import ROW_ID
from rowkeeper.errors import DatabaseError, FrameworkError, LeaseHeld, RetryError, RunInterrupted
from rowkeeper.ledger import RunKind, RunRecord, RunStatus
from rowkeeper.logs import about, failure, logger
from rowkeeper.logs.failure import document
from rowkeeper.pipeline import Pipeline
from rowkeeper.quality import rehearse
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.declared import pipeline_of
from rowkeeper.runs.gating import judge_run
from rowkeeper.runs.hold import Hold, hold
from rowkeeper.runs.interrupt import finished_first
from rowkeeper.runs.protecting import protections_for
from rowkeeper.runs.publishing import finish_load
from rowkeeper.runs.reconciling import check_commit, destination_of, discard_run, reconcile, take_over
from rowkeeper.runs.replaced import former_rows
from rowkeeper.runs.report import Observer, Progress, RunReport, unobserved
from rowkeeper.runs.room import check_room
from rowkeeper.runs.spoolfiles import read_rows, read_schema, sweep
from rowkeeper.runs.workspace import Workspace

QUEUED = (RunStatus.SPOOLED, RunStatus.HELD)
Columns = Sequence[tuple[str, str]]

log = logger("run")


@dataclasses.dataclass(frozen=True, slots=True)
class Drained:
    """What became of the spool of one destination.

    Attributes:
        reports: of the runs that were published, in order.
        error: why it was not drained to its end.
    """

    target: str
    reports: tuple[RunReport, ...]
    error: FrameworkError | None = None


def drain_spool(
    workspace: Workspace, pipeline: str | None = None, *, automatic: bool = False, observe: Observer = unobserved
) -> list[Drained]:
    """`rowkeeper spool drain`: publishes what waits, destination by destination.

    Args:
        pipeline: only the destinations for which runs of this pipeline wait.
        automatic: nobody asked for it: leave alone what a live run holds, and what gates held before.

    What waits in front of it at the same destination is published with it: the order is the runs' own.

    Raises AccessDenied if the caller may drain none of it.
    """
    if pipeline is not None:
        workspace.access.require("spool.drain", of_pipeline(pipeline))
    every = [run for run in workspace.ledger.spooled() if pipeline in (None, run.pipeline)]
    waiting = workspace.access.only("spool.drain", every, lambda run: of_pipeline(run.pipeline))
    if every and not waiting:
        workspace.access.require("spool.drain", of_pipeline(every[0].pipeline))
    sweep(workspace)
    targets = {run.target: run for run in waiting if run.status is not RunStatus.INTERRUPTED}
    return [_drain_target(workspace, run, automatic, observe) for run in targets.values()]


def _drain_target(workspace: Workspace, any_run: RunRecord, automatic: bool, observe: Observer) -> Drained:
    reports: list[RunReport] = []
    failed = None
    try:
        with hold(workspace, destination_of(any_run), observe=observe) as held:
            reconcile(held)
            if not (automatic and any(run.status is RunStatus.HELD for run in queue(held)[:1])):
                for report in drain(held):
                    reports.append(report)
    except FrameworkError as error:
        failed = None if automatic and isinstance(error, LeaseHeld) else error
    return Drained(any_run.target, tuple(reports), failed)


def queue(held: Hold) -> list[RunRecord]:
    """What waits for a destination, the oldest first."""
    return [run for run in held.ledger.spooled(held.target) if run.status in QUEUED]


def drain(held: Hold, declared: Callable[[RunRecord], Pipeline] = pipeline_of) -> Iterator[RunReport]:
    """Publishes what waits in the spool for the destination, one run after the other, and reports each.

    Args:
        declared: the pipeline of a run, as it is now: its gates are asked.

    Raises:
        FrameworkError: a run could not be published; it waits, and all that come after it.
    """
    for run in queue(held):
        for older in _before(held, run):
            with about(run=older.run, pipeline=older.pipeline), metering.metering():
                finished = _finished(held, older, declared(older))
            yield from finished
        with about(run=run.run, pipeline=run.pipeline):
            with metering.metering():
                drained = _drained(held, run, declared(run))
            sweep(held.workspace)
        yield drained


def _drained(held: Hold, run: RunRecord, pipeline: Pipeline) -> RunReport:
    """With a session of its own: the run has the columns of its time."""
    metering.measured_run(run.run)
    held.tell(run.pipeline, "drain")
    with _session(held, run, read_schema(held.workspace, run.run)) as own:
        names = [gate.name for gate in pipeline.gates]
        run = held.ledger.drain_run(held.lease, run.run, gates=names, drop_rows=_replaced(held, run))
        failpoint("drain.after_start")
        log.info("drain begun", run=run.run, pipeline=run.pipeline, token=held.lease.token)
        recorded = _published(own, run, pipeline, lambda columns: _stage_anew(own, run, columns))
        return RunReport.from_ledger(held.ledger, recorded, own.seconds, ["it waited in the spool, and is drained"])


def _before(held: Hold, run: RunRecord) -> list[RunRecord]:
    """What was being published when the destination went away, and was not: it is wholly staged, and comes first."""
    return [
        each
        for each in held.ledger.unfinished(held.target)
        if each.pipeline == run.pipeline and each.run < run.run and each.kind is RunKind.LOAD and not each.in_spool
        if all(part.complete or part.error is not None for part in held.ledger.partitions(each.run))
    ]


def _finished(held: Hold, run: RunRecord, pipeline: Pipeline) -> list[RunReport]:
    """Publishes it; unless its staging area was damaged: then its input is as if never read, and there is no report."""
    metering.measured_run(run.run)
    schema = protections_for(pipeline, held.workspace).stored(pipeline.checker.schema)
    with _session(held, run, schema) as own:
        resumed = take_over(own, run, [gate.name for gate in pipeline.gates])
        if resumed is None:
            discard_run(own, run, "its staging area was damaged")
            return []
        recorded = _published(own, resumed, pipeline, lambda columns: columns)
        return [RunReport.from_ledger(held.ledger, recorded, own.seconds, ["it was wholly staged, and comes first"])]


@contextmanager
def _session(held: Hold, run: RunRecord, schema: pa.Schema) -> Iterator[Hold]:
    session = destination_of(run).connect(held.workspace.site, schema)
    try:
        yield dataclasses.replace(held, session=session, started=time.monotonic())
    finally:
        session.close()


def _published(held: Hold, run: RunRecord, pipeline: Pipeline, stage: Callable[[Columns], Columns]) -> RunRecord:
    """Takes a run that is this process's own to its end."""
    try:
        columns: Columns = held.session.prepare()
        rehearse(pipeline.gates, held.session.rehearse(columns), columns)
        check_commit(held.ledger, held.session, held.target)
        columns = stage(columns)
        judge_run(held, run, pipeline.gates, pipeline.classified)
        return finish_load(held, run, columns)
    except KeyboardInterrupt as interrupt:
        stopped = RunInterrupted(f"the drain of run {run.run} was stopped", hint="give the command again")
        _put_back(held, run, stopped)
        raise stopped from interrupt
    except FrameworkError as error:
        log.error("drain failed", **failure(error))
        published = _put_back(held, run, error)
        if published is None:
            raise
        return published


def _replaced(held: Hold, run: RunRecord) -> list[tuple[int, int]]:
    """Found now, not when it was spooled: what came before it may have been drained, given up or taken back since."""
    if destination_of(run).write_mode != "append":
        return []
    keys = [each.partition.key for each in held.ledger.partitions(run.run) if each.error is None]
    former = former_rows(held.ledger, run.pipeline, run.target, keys)
    return [address for addresses in former.values() for address in addresses]


def _stage_anew(held: Hold, run: RunRecord, columns: Columns) -> Columns:
    """Stages all of a run's rows. Returns the columns that the run has then, those that drift brought included."""
    workspace = held.workspace
    held.session.stage_open(run.run, held.lease.token)
    known = [name for name, _ in columns]
    held.observe(Progress(run.pipeline, "load", account=run.account))
    metering.step("load")
    for rows in _together(held, run):
        schema = rows.schema.remove(rows.schema.get_field_index(ROW_ID))
        if not set(schema.names) <= set(known):
            columns = held.session.evolve(schema)
            known = [name for name, _ in columns]
        check_room(workspace.site.home, rows.nbytes, workspace.settings.disk_free_min)
        with finished_first():
            failpoint("drain.before_stage")
            with metering.timed("stage"):
                held.session.stage(rows)
            metering.took("stage", rows=rows.num_rows, bytes=rows.nbytes)
            failpoint("drain.after_stage")
    return columns


def _together(held: Hold, run: RunRecord) -> Iterator[pa.Table]:
    """The rows of the run's files, those of several small ones in one insert."""
    workspace = held.workspace
    rows_min, bytes_max = workspace.settings.insert_rows, workspace.sizes.insert_bytes
    held_back: list[pa.Table] = []
    for batch in held.ledger.batches(run.run):
        if batch.spool_file is None:
            continue
        rows = read_rows(workspace, batch)
        size = sum(each.nbytes for each in held_back)
        if held_back and (rows.schema.names != held_back[0].schema.names or size + rows.nbytes > bytes_max):
            yield pa.concat_tables(held_back)
            held_back = []
        held_back.append(rows)
        if sum(each.num_rows for each in held_back) >= rows_min:
            yield pa.concat_tables(held_back)
            held_back = []
    if held_back:
        yield pa.concat_tables(held_back)


def _put_back(held: Hold, run: RunRecord, error: FrameworkError) -> RunRecord | None:
    """A run that could not be drained waits on, with the reason; or is found to be published after all."""
    try:
        if held.ledger.run(run.run).status is RunStatus.PREPARED:
            reconcile(held)
        now = held.ledger.run(run.run)
        if now.status is RunStatus.STAGING:
            held.ledger.interrupt_run(held.lease, run.run, document(error))
    except (DatabaseError, RetryError):
        return None  # out of reach: the next command settles it
    return now if now.status is RunStatus.PUBLISHED else None

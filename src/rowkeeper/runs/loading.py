"""`rowkeeper run`: open, plan, load, and the end that all runs share."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rowkeeper import metering
from rowkeeper.access import of_pipeline
from rowkeeper.errors import (
    DatabaseError,
    DeadlineExceeded,
    FrameworkError,
    RetryError,
    RunInterrupted,
    SpoolBlocked,
    UnknownError,
    is_fault,
)
from rowkeeper.ledger import LoadedPartition, RunKind, RunRecord, RunStatus
from rowkeeper.logs import about, failure, logger
from rowkeeper.logs.failure import document
from rowkeeper.pipeline import Pipeline
from rowkeeper.protocols import Acknowledging, Change, Closing, Plan, Source
from rowkeeper.quality import Gate, rehearse
from rowkeeper.resilience.deadline import cleaning_up, deadline, process_is_ending
from rowkeeper.resilience.degrading import collecting, degraded
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.away import Away, is_of_its_own
from rowkeeper.runs.declared import pipeline_of
from rowkeeper.runs.definition import definition_of
from rowkeeper.runs.draining import drain, queue
from rowkeeper.runs.gating import judge_run
from rowkeeper.runs.hold import Hold, hold
from rowkeeper.runs.mended import MendedSource
from rowkeeper.runs.protecting import check_unchanged, noted, protections_for
from rowkeeper.runs.publishing import finish_load
from rowkeeper.runs.reconciling import check_commit, discard_run, reconcile, take_over
from rowkeeper.runs.rejects import REPLAYED
from rowkeeper.runs.replaced import Addresses, former_rows
from rowkeeper.runs.replayed import QuarantineSource
from rowkeeper.runs.report import Observer, Progress, RunReport, unobserved
from rowkeeper.runs.room import check_room
from rowkeeper.runs.sharing import wait_for_memory
from rowkeeper.runs.shielding import shield_of
from rowkeeper.runs.spoolfiles import sweep
from rowkeeper.runs.spooling import Work, begin, go_on, read_into_spool, settle_in_ledger
from rowkeeper.runs.staging import Material, Stager
from rowkeeper.runs.watching import watching
from rowkeeper.runs.work import failed_before, going_on, marked, to_add
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.vpn import explaining

log = logger("run")


def run_pipeline(pipeline: Pipeline, workspace: Workspace, observe: Observer = unobserved) -> RunReport:
    """Runs a pipeline once.

    Returns the report of a run that was published, or that found nothing new ("unchanged").

    Raises:
        AccessDenied: the caller may not run it.
        FrameworkError: nothing was published by this call, unless the error says that this is unknown.
    """
    workspace.access.require("pipeline.run", of_pipeline(pipeline.name))
    return load_pipeline(pipeline, workspace, observe)


def load_pipeline(pipeline: Pipeline, workspace: Workspace, observe: Observer) -> RunReport:
    """The same for functions that have asked themselves whether the caller may."""
    material = _material(pipeline, pipeline.source.at(workspace.site), workspace)
    definition = definition_of(pipeline, material.protections)
    return _Load(pipeline, workspace, observe, material, definition, RunKind.LOAD).run()


def loads_of(pipeline: Pipeline, workspace: Workspace, kind: RunKind = RunKind.LOAD) -> dict[str, LoadedPartition]:
    """What runs of a kind brought to a pipeline's destination, or will once the spool is drained, by partition key."""
    loaded = workspace.ledger.spoken_for(pipeline.name, pipeline.destination.target)
    wanted = kind is RunKind.REPLAY
    return {key: each for key, each in loaded.items() if key.startswith(REPLAYED) == wanted}


def replay_run(
    pipeline: Pipeline, workspace: Workspace, source: QuarantineSource | MendedSource, observe: Observer
) -> RunReport:
    """Runs a run's rejected rows through the pipeline as it is now; `replaying.replay` asks whether the caller may."""
    material = _material(pipeline, source.at(workspace.site), workspace)
    definition = f"{definition_of(pipeline, material.protections)}:{source.run}"
    return _Load(pipeline, workspace, observe, material, definition, RunKind.REPLAY).run()


def _material(pipeline: Pipeline, source: Source, workspace: Workspace) -> Material:
    protections = protections_for(pipeline, workspace)
    return Material(
        pipeline.name,
        source,
        pipeline.checker,
        pipeline.checker.columns(),
        pipeline.transform,
        protections,
        shield_of(pipeline.contract, protections, workspace.keysets),
        goes_on=pipeline.on_error == "continue",
        evolves=pipeline.drift == "evolve",
        destination=pipeline.destination,
    )


@dataclasses.dataclass
class _Load:
    """One load or replay, from open to record. Lives as long as the call."""

    pipeline: Pipeline
    workspace: Workspace
    observe: Observer
    material: Material
    definition: str
    kind: RunKind
    notes: list[str] = dataclasses.field(default_factory=list)
    degraded: list[str] = dataclasses.field(default_factory=list)
    started: float = dataclasses.field(default_factory=time.monotonic)

    def run(self) -> RunReport:
        try:
            with metering.metering():
                return self._opened()
        finally:
            if isinstance(self.material.source, Closing):
                self.material.source.close()

    def _opened(self) -> RunReport:
        self.observe(Progress(self.pipeline.name, "open"))
        metering.step("open")
        names = {"pipeline": self.pipeline.name, "target": self.pipeline.destination.target}
        with (
            about(**names),
            deadline(self.pipeline.deadline_seconds),
            collecting() as self.degraded,
            watching(self.workspace, self.pipeline.source),
        ):
            schema = self.material.schema
            destination, spools = self.pipeline.destination, self._spools
            with hold(self.workspace, destination, schema, self.observe, may_be_away=spools) as held:
                if isinstance(held.session, Away):
                    return self._spool(held, held.session.why)
                try:
                    with watching(self.workspace, destination):
                        return self._run(held)
                except FrameworkError as error:
                    if not spools or not (is_of_its_own(error) or isinstance(error, SpoolBlocked)):
                        raise
                    return self._spool(held, error)

    def _run(self, held: Hold) -> RunReport:
        self.notes += [finding.note for finding in reconcile(held)]
        self._drain(held)
        check_unchanged(held.ledger, self.pipeline, self.material.protections)
        columns = held.session.prepare()
        rehearse(self._gates, held.session.rehearse(columns), columns)
        check_commit(held.ledger, held.session, held.target)
        held.tell(self.pipeline.name, "plan")
        loaded = self._loaded()
        plan = self.material.source.plan(
            {key: each.partition for key, each in loaded.items()}, whole=self._replaces_all
        )
        self._see_to_failed(plan)
        waiting = self._waiting(held, plan)
        if not plan.to_read:
            return self._unchanged(held, plan, loaded)
        replaced = self._replaced(plan)
        held.session.check_change(Change(self._replaces_all, _addresses(replaced)))
        self.workspace.open_keysets()
        run = waiting or self._start(held, plan)
        with about(run=run.run):
            log.info("run goes on" if waiting else "run started", kind=run.kind.value, partitions=len(plan.to_read))
            return self._settled(held, run, columns, replaced)

    def _drain(self, held: Hold) -> None:
        """What waits in the spool for this destination comes first. Raises SpoolBlocked if it cannot be drained."""
        sweep(self.workspace)
        try:
            for report in drain(held, self._declared):
                self.notes.append(f"run {report.run}, which waited in the spool, is drained")
        except FrameworkError as error:
            first = next(iter(queue(held)), None)
            if error.retryable or first is None or is_of_its_own(error) or isinstance(error, RetryError):
                raise
            raise SpoolBlocked(
                f"run {first.run} of {first.pipeline} comes first, and cannot be drained: {error.what}",
                hint=f"{error.hint}; or give it up: rowkeeper abandon {first.run}",
            ) from error

    def _declared(self, run: RunRecord) -> Pipeline:
        return self.pipeline if run.pipeline == self.pipeline.name else pipeline_of(run)

    def _see_to_failed(self, plan: Plan) -> None:
        """Raises the first error of the plan, unless the run can go on without the partitions in question."""
        if not plan.failed or (self.material.goes_on and plan.to_read):
            return
        first, *others = plan.failed.values()
        if others:
            raise type(first)(
                f"{first.what} (and {_count(len(others), 'more partition')} cannot be read)", hint=first.hint
            )
        raise first

    def _settled(
        self, held: Hold, run: RunRecord, columns: Sequence[tuple[str, str]], replaced: Mapping[str, Addresses]
    ) -> RunReport:
        """Loads a run that was started or taken over, and sees to its end, whichever that is."""
        metering.measured_run(run.run)
        try:
            failpoint("run.after_start")
            with explaining():
                record = self._load(held, run, columns, replaced)
        except KeyboardInterrupt as interrupt:
            raise self._interrupted(held, run) from interrupt
        except FrameworkError as error:
            if isinstance(error, DeadlineExceeded) and process_is_ending():
                raise self._interrupted(held, run) from error
            log.error("run failed", **failure(error))
            settled = self._after_error(held, run, error)
            if settled is None:
                raise
            return settled
        except (OSError, MemoryError):
            raise  # the machine's fault: what is staged is kept, and the next command settles the run
        except BaseException as error:
            if not is_fault(error) and not isinstance(error, SystemExit):
                raise
            unknown = UnknownError.of(error)
            log.error("run failed for a reason that nobody foresaw", **failure(error))
            settled = self._after_error(held, run, unknown)
            if settled is None:
                raise unknown from error
            return settled
        self._acknowledge()  # out here, where an interruption no longer says that nothing was published
        return self._report(record)

    def _load(
        self, held: Hold, run: RunRecord, columns: Sequence[tuple[str, str]], replaced: Mapping[str, Addresses]
    ) -> RunRecord:
        waited = wait_for_memory(held, run.pipeline)
        if waited:
            self.notes.append(f"waited {waited:,.0f} s for memory, which other runs had")
        stager = Stager(held, run, self.material, held.ledger.partitions(run.run), replaced)
        stager.stage_all()
        partitions = held.ledger.partitions(run.run)
        if all(each.error is not None for each in partitions):
            raise next(iter(stager.failures.values()), None) or failed_before(partitions[0])
        run = held.ledger.run(run.run)  # what it replaces depends on what failed
        self._note_degraded(held, run)
        judge_run(held, run, self._gates, self.pipeline.classified)
        self._note_degraded(held, run)
        return finish_load(held, run, stager.columns or columns)

    def _note_degraded(self, held: Hold, run: RunRecord) -> None:
        if self.degraded:
            held.ledger.note_degraded(held.lease, run.run, self.degraded)

    # ------------------------------------------------------------------ where the destination cannot take it

    @property
    def _spools(self) -> bool:
        """Whether a run that the destination cannot take goes to the spool. A replay's rows lie sealed as they are."""
        return self.pipeline.destination.fallback == "spool" and self.kind is RunKind.LOAD

    def _spool(self, held: Hold, why: FrameworkError) -> RunReport:
        """The first half of a run alone: what there is to read is read, checked and sealed into the spool.

        Raises `why` if nobody can know whether this run is published, or what it is to read.
        """
        settle_in_ledger(held, why)
        check_unchanged(held.ledger, self.pipeline, self.material.protections)
        check_room(self.workspace.site.home, 0, self.workspace.settings.disk_free_min)
        held.tell(self.pipeline.name, "plan")
        loaded = self._loaded()
        plan = self.material.source.plan(
            {key: each.partition for key, each in loaded.items()}, whole=self._replaces_all
        )
        self._see_to_failed(plan)
        if not plan.to_read:
            degraded("the destination was not asked what it holds", why)
            return self._unchanged(held, plan, loaded)
        degraded("the run was spooled: its rows wait in sealed files, and are published when the spool is drained", why)
        work = Work(self.pipeline, self.definition, self._source_document(), plan)
        run = go_on(held, work, self.notes) or begin(held, work, self.notes, self.degraded, why)
        with about(run=run.run):
            log.warning("run spooled instead", partitions=len(plan.to_read), **failure(why))
            return self._spooled(held, run)

    def _spooled(self, held: Hold, run: RunRecord) -> RunReport:
        """Reads a run into the spool, and sees to its end, whichever that is."""
        metering.measured_run(run.run)
        try:
            with explaining():
                read_into_spool(held, run, self.material)
            self._note_degraded(held, run)
            failpoint("spool.before_note")
            record = held.ledger.note_spooled(held.lease, run.run)
        except KeyboardInterrupt as interrupt:
            raise self._interrupted(held, run) from interrupt
        except FrameworkError as error:
            if isinstance(error, DeadlineExceeded) and process_is_ending():
                raise self._interrupted(held, run) from error
            log.error("run failed", **failure(error))
            self._close_in_ledger(held, run, error)
            sweep(self.workspace)
            raise
        failpoint("spool.after_note")
        account = record.account
        counts = {"read": account.read, "staged": account.committed, "quarantined": account.quarantined}
        log.info("run spooled", run=record.run, filtered=account.filtered, **counts)
        self.notes.append("rowkeeper spool list shows what waits; the next run drains it, or rowkeeper spool drain")
        return self._report(record)

    # ------------------------------------------------------------------ what there is to do

    @property
    def _gates(self) -> Sequence[Gate]:
        """Those that apply: of a replay nobody expects the volume of a load."""
        return [gate for gate in self.pipeline.gates if self.kind is RunKind.LOAD or not gate.of_whole_loads]

    @property
    def _replaces_all(self) -> bool:
        return self.pipeline.destination.write_mode == "replace" and self.kind is RunKind.LOAD

    def _loaded(self) -> dict[str, LoadedPartition]:
        """What was loaded before by runs of this kind, or waits in the spool to be: files for a load, quarantine files
        for a replay.
        """
        return loads_of(self.pipeline, self.workspace, self.kind)

    def _start(self, held: Hold, plan: Plan) -> RunRecord:
        run = held.ledger.start_run(
            held.lease,
            pipeline=self.pipeline.name,
            target=self.pipeline.destination.target,
            kind=self.kind,
            definition=self.definition,
            source=self._source_document(),
            destination=self.pipeline.destination.describe(),
            partitions=marked(plan),
            replaces_all=self._replaces_all,
            drop_rows=_addresses(self._replaced(plan)),
            gates=[gate.name for gate in self._gates],
            failed={key: document(error) for key, error in plan.failed.items()},
        )
        held.session.stage_open(run.run, held.lease.token)
        return run

    def _replaced(self, plan: Plan) -> dict[str, Addresses]:
        """Where the former rows of changed partitions lie, by key.

        A merge finds former rows by key, and a replace drops them all.
        """
        destination, keys = self.pipeline.destination, [each.key for each in plan.reload]
        if destination.write_mode != "append":
            return {}
        return former_rows(self.workspace.ledger, self.pipeline.name, destination.target, keys)

    def _waiting(self, held: Hold, plan: Plan) -> RunRecord | None:
        """The run of this pipeline that died and can go on, its staging taken over.

        It goes on only if it is a run of the same definition, and its partitions are still there, unchanged; others
        are discarded. Partitions that have come since are added to a load.
        """
        resumed: RunRecord | None = None
        for run in held.ledger.unfinished(held.target):
            if run.pipeline != self.pipeline.name:
                continue
            if run.in_spool:
                self.notes.append(
                    discard_run(held, run, "it died on its way to the spool, which is not needed now").note
                )
                continue
            partitions = held.ledger.partitions(run.run)
            more = None
            if run.definition == self.definition:
                more = to_add(partitions, plan, takes_in=self._takes_in(held, run))
            if more is not None and resumed is None:
                resumed = take_over(held, run, [gate.name for gate in self._gates], more)
                if resumed is not None:
                    self.notes.append(going_on(run, sum(each.next_row for each in partitions), len(more)))
                    continue
            why = "the pipeline or its input changed since" if more is None else "its staging area was damaged"
            if run.status is RunStatus.HELD:
                why = f"its quality gates held it; it was discarded, as {why}"
            self.notes.append(discard_run(held, run, why).note)
        return resumed

    @staticmethod
    def _takes_in(held: Hold, run: RunRecord) -> bool:
        """Whether a run may be given more to read: a verdict or a decision is about the rows that were seen."""
        judged = run.status is RunStatus.HELD or held.ledger.override(run.run) is not None
        return run.kind is RunKind.LOAD and not judged

    def _source_document(self) -> dict[str, Any]:
        """The source, and for commands that are given the run alone the pipeline file and how columns are protected;
        what both ends guaranteed when the run was made.
        """
        guarantees = {"source": self.material.source.guarantee, "destination": self.pipeline.destination.guarantee}
        document = {
            **self.material.source.describe(),
            "pipeline_file": str(self.pipeline.file or ""),
            "guarantees": {each: guarantee.value for each, guarantee in guarantees.items()},
        }
        return {**document, **noted(self.material.protections)}

    # ------------------------------------------------------------------ how it ends

    def _unchanged(self, held: Hold, plan: Plan, loaded: Mapping[str, LoadedPartition]) -> RunReport:
        runs = sorted({loaded[each.key].run for each in plan.unchanged + plan.ignored if each.key in loaded})
        open_runs = held.ledger.spooled(held.target) + held.ledger.unfinished(held.target)
        waiting = sorted({each.run for each in open_runs} & set(runs))
        note = (
            f"nothing new: {_count(len(plan.unchanged), 'partition')} loaded before"
            + (" by run " + ", ".join(map(str, runs[-3:])) if runs else "")
            + " and unchanged since"
            + (f"; {_count(len(plan.ignored), 'changed partition')} ignored, as set" if plan.ignored else "")
            + (f"; of these, run {', '.join(map(str, waiting))} waits to be published" if waiting else "")
        )
        record = held.ledger.record_unchanged(
            held.lease,
            pipeline=self.pipeline.name,
            target=self.pipeline.destination.target,
            definition=self.definition,
            source=self._source_document(),
            destination=self.pipeline.destination.describe(),
            note=note,
            degraded=self.degraded,
        )
        self.notes.append(note)
        log.info("nothing new", run=record.run, status=record.status.value)
        self._acknowledge()  # of a run that died before it could
        return self._report(record)

    def _acknowledge(self) -> None:
        """Tells the source's other side what is published; whether that is heard changes nothing."""
        source = self.material.source
        if not isinstance(source, Acknowledging) or self.kind is not RunKind.LOAD:
            return
        failpoint("run.before_acknowledge")
        ledger, target = self.workspace.ledger, self.pipeline.destination.target
        try:
            loaded = ledger.loaded(self.pipeline.name, target)  # without what waits in the spool
            source.acknowledge({key: each.partition for key, each in loaded.items()})
        except FrameworkError as error:
            log.warning("what was loaded could not be acknowledged", **failure(error))
            self.notes.append(f"it could not be acknowledged ({error.what}); the next run does so")
        failpoint("run.after_acknowledge")

    def _interrupted(self, held: Hold, run: RunRecord) -> RunInterrupted:
        error = RunInterrupted(
            f"run {run.run} of {self.pipeline.name} was stopped; nothing was published",
            hint="run it again: it goes on where it stopped",
        )
        if self._may_be_published(held, run):
            error = RunInterrupted(
                f"run {run.run} of {self.pipeline.name} was stopped; whether it was published is not known yet",
                hint="run it again: the destination is asked, and it goes on where it stopped",
            )
        log.warning("run stopped", **failure(error))
        self._close_in_ledger(held, run, error)
        return error

    @staticmethod
    def _may_be_published(held: Hold, run: RunRecord) -> bool:
        """Whether only the destination can tell; also where not even the ledger can be asked."""
        try:
            with cleaning_up():
                return held.ledger.run(run.run).status in (RunStatus.PREPARED, RunStatus.PUBLISHED)
        except FrameworkError:
            return True

    def _after_error(self, held: Hold, run: RunRecord, error: FrameworkError) -> RunReport | None:
        """Closes a failed run in the ledger; or finds that it was published after all.

        What may pass (disk full, engine died) keeps the staging for the next run; a fault of the input or the
        pipeline drops it.
        """
        try:
            with cleaning_up():
                status = held.ledger.run(run.run).status
            if status is RunStatus.PREPARED:
                notes = [finding.note for finding in reconcile(held)]
                record = held.ledger.run(run.run)
                if record.status is RunStatus.PUBLISHED:
                    self.notes += [f"{error.what}; yet the run was published", *notes]
                    return self._report(record)
            if self._spools and is_of_its_own(error):
                return None  # it starts over, in the spool
            if status is not RunStatus.HELD and not error.retryable:
                held.session.stage_drop(run.run)
        except (DatabaseError, RetryError):
            return None  # the ledger or the engine is out of reach, or no time is left: the next command settles it
        self._close_in_ledger(held, run, error)
        return None

    def _close_in_ledger(self, held: Hold, run: RunRecord, error: FrameworkError) -> None:
        try:
            with cleaning_up():
                if held.ledger.run(run.run).status is RunStatus.STAGING:
                    close = held.ledger.interrupt_run if error.retryable else held.ledger.fail_run
                    close(held.lease, run.run, document(error))
        except FrameworkError:
            return  # the first error is the one to tell; the run is settled by the next command

    def _report(self, record: RunRecord) -> RunReport:
        return RunReport.from_ledger(self.workspace.ledger, record, time.monotonic() - self.started, self.notes)


def _addresses(replaced: Mapping[str, Addresses]) -> tuple[tuple[int, int], ...]:
    return tuple(each for rows in replaced.values() for each in rows)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

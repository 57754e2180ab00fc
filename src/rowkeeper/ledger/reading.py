"""The questions that the ledger answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, func, select, union

from rowkeeper.batch import Account, Fingerprint, Partition
from rowkeeper.errors import UnknownRun
from rowkeeper.ledger.database import reading
from rowkeeper.ledger.records import (
    BatchRecord,
    Export,
    GateResult,
    LoadedPartition,
    Override,
    ProfileRecord,
    QuarantineSummary,
    RunKind,
    RunPartition,
    RunRecord,
    RunStatus,
    SchemaVersion,
)
from rowkeeper.ledger.schema import (
    batches,
    exports,
    gate_results,
    overrides,
    postings,
    profiles,
    run_partitions,
    runs,
    schema_versions,
)
from rowkeeper.protocols import Posting

UNFINISHED = (RunStatus.STAGING, RunStatus.PREPARED, RunStatus.INTERRUPTED, RunStatus.HELD)
IN_THE_BOOKS = (RunStatus.PUBLISHED, RunStatus.ROLLED_BACK)  # a run taken back stays, beside its reversing entry
WAITING_IN_SPOOL = (RunStatus.SPOOLED, RunStatus.HELD)
REPLAY_KEY = "quarantine:"
RUN_MAX = (1 << 63) - 1  # what a database can hold as a run's number


class Reader:
    """Reads the ledger; each call sees one state of it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, number: int) -> RunRecord:
        """One run. Raises UnknownRun if there is none of this number."""
        with reading(self._engine) as connection:
            return one_run(connection, number)

    def find_run(self, number: int) -> RunRecord | None:
        """One run; None if there is none of this number."""
        with reading(self._engine) as connection:
            return _found(connection, number)

    def runs(
        self, *, limit: int = 50, pipeline: str | None = None, target: str | None = None, before: int | None = None
    ) -> list[RunRecord]:
        """Runs, newest first; those before a run of this number only."""
        query = select(runs).order_by(runs.c.run.desc()).limit(limit)
        if before is not None:
            query = query.where(runs.c.run < min(before, RUN_MAX))
        if pipeline is not None:
            query = query.where(runs.c.pipeline == pipeline)
        if target is not None:
            query = query.where(runs.c.target == target)
        with reading(self._engine) as connection:
            return [run_of(row) for row in connection.execute(query)]

    def partitions(self, run: int) -> list[RunPartition]:
        """A run's partitions, in the order in which they are read."""
        query = select(run_partitions).where(run_partitions.c.run == run).order_by(run_partitions.c.ordinal)
        with reading(self._engine) as connection:
            return [_partition_of(row) for row in connection.execute(query)]

    def batches(self, run: int) -> list[BatchRecord]:
        """What a run has staged, in order; without what the seal has set aside as duplicates."""
        query = select(batches).where(batches.c.run == run, batches.c.of_duplicates.is_(False)).order_by(batches.c.id)
        with reading(self._engine) as connection:
            return [_batch_of(row) for row in connection.execute(query)]

    def quarantine(self, run: int, *, kept: bool = False) -> list[BatchRecord]:
        """The batches of a run that have rejected rows, its duplicates included where they were quarantined.

        Args:
            kept: only those whose rows are kept. They are removed after a time, if so it is set: no file is named then.
        """
        query = select(batches).where(batches.c.run == run, batches.c.quarantined > 0).order_by(batches.c.id)
        if kept:
            query = query.where(batches.c.quarantine_file.is_not(None))
        with reading(self._engine) as connection:
            return [_batch_of(row) for row in connection.execute(query)]

    def sealed_files(self, run: int) -> frozenset[str]:
        """Names of the sealed files of a run: rejected rows, samples of all times its gates were asked, the profile."""
        columns = (
            (batches.c.run, batches.c.quarantine_file),
            (gate_results.c.run, gate_results.c.sample_file),
            (profiles.c.run, profiles.c.file),
        )
        query = union(*(select(file).where(number == run, file.is_not(None)) for number, file in columns))
        with reading(self._engine) as connection:
            return frozenset(connection.execute(query).scalars())

    def quarantine_summary(self) -> list[QuarantineSummary]:
        """What each published run has rejected, newest first."""
        query = (
            select(batches.c.run, runs.c.pipeline, batches.c.quarantined, batches.c.reasons, batches.c.quarantine_file)
            .join(runs, runs.c.run == batches.c.run)
            .where(batches.c.quarantined > 0, runs.c.status == RunStatus.PUBLISHED.value)
            .order_by(batches.c.run.desc(), batches.c.id)
        )
        replays = (
            select(run_partitions.c.key, run_partitions.c.rows_read)
            .join(runs, runs.c.run == run_partitions.c.run)
            .where(runs.c.kind == RunKind.REPLAY.value, runs.c.status == RunStatus.PUBLISHED.value)
        )
        found: dict[tuple[int, str], tuple[int, Counter[str]]] = {}
        kept: set[int] = set()
        replayed: Counter[str] = Counter()
        with reading(self._engine) as connection:
            for key, read in connection.execute(replays):
                replayed[str(key).split(":")[1]] += read
            taken = Counter(connection.execute(select(exports.c.run)).scalars())
            for row in connection.execute(query):
                rows, reasons = found.get((row.run, row.pipeline), (0, Counter()))
                found[row.run, row.pipeline] = (rows + row.quarantined, reasons + Counter(row.reasons))
                kept |= {row.run} if row.quarantine_file is not None else set()
        return [
            QuarantineSummary(
                run, pipeline, rows, dict(reasons.most_common()), replayed[str(run)], taken[run], kept=run in kept
            )
            for (run, pipeline), (rows, reasons) in found.items()
        ]

    def exports(self, run: int) -> list[Export]:
        """When the rejected rows of a run were taken out in the clear, and by whom; the oldest first."""
        query = select(exports).where(exports.c.run == run).order_by(exports.c.id)
        with reading(self._engine) as connection:
            return [Export(row.run, row.who, row.path, row.rows, row.exported_at) for row in connection.execute(query)]

    def postings(self, run: int) -> list[Posting]:
        """How publishing this run changes the books."""
        query = select(postings).where(postings.c.run == run).order_by(postings.c.id)
        with reading(self._engine) as connection:
            return [Posting(row.about_run, row.change) for row in connection.execute(query)]

    def unfinished(self, target: str) -> list[RunRecord]:
        """Runs of a destination that were begun and are neither published nor closed, oldest first."""
        query = (
            select(runs)
            .where(runs.c.target == target, runs.c.status.in_([status.value for status in UNFINISHED]))
            .order_by(runs.c.run)
        )
        with reading(self._engine) as connection:
            return [run_of(row) for row in connection.execute(query)]

    def spooled(self, target: str | None = None) -> list[RunRecord]:
        """Runs with rows in the spool that are neither published nor given up, oldest first."""
        open_statuses = [status.value for status in (*UNFINISHED, RunStatus.SPOOLED)]
        query = select(runs).where(runs.c.in_spool.is_(True), runs.c.status.in_(open_statuses)).order_by(runs.c.run)
        if target is not None:
            query = query.where(runs.c.target == target)
        with reading(self._engine) as connection:
            return [run_of(row) for row in connection.execute(query)]

    def open_runs(self) -> list[RunRecord]:
        """Runs that are neither published nor closed, those that wait in the spool included, oldest first."""
        statuses = [status.value for status in (*UNFINISHED, RunStatus.SPOOLED)]
        query = select(runs).where(runs.c.status.in_(statuses)).order_by(runs.c.run)
        with reading(self._engine) as connection:
            return [run_of(row) for row in connection.execute(query)]

    def quarantined_rows(self) -> dict[str, int]:
        """By pipeline, the rows that published runs have rejected, without those of which a replay was published."""
        published = runs.c.status == RunStatus.PUBLISHED.value
        replayed = (runs.c.kind == RunKind.REPLAY.value, run_partitions.c.key.startswith(REPLAY_KEY))
        rejected = select(runs.c.pipeline, func.sum(runs.c.rows_quarantined)).where(published).group_by(runs.c.pipeline)
        again = (
            select(runs.c.pipeline, func.sum(run_partitions.c.rows_read))
            .join(run_partitions, run_partitions.c.run == runs.c.run)
            .where(published, *replayed)
            .group_by(runs.c.pipeline)
        )
        with reading(self._engine) as connection:
            found = {pipeline: int(rows) for pipeline, rows in connection.execute(rejected)}
            for pipeline, rows in connection.execute(again):
                found[pipeline] = max(0, found.get(pipeline, 0) - int(rows))
        return found

    def ping(self) -> None:
        """Passes if the ledger answers. Raises DatabaseError."""
        with reading(self._engine) as connection:
            connection.execute(select(1)).scalar_one()

    def pipelines(self) -> list[str]:
        """The names of the pipelines that ran."""
        with reading(self._engine) as connection:
            return list(connection.execute(select(runs.c.pipeline).distinct().order_by(runs.c.pipeline)).scalars())

    def last_targets(self) -> dict[str, str]:
        """By pipeline, in the order of their names, where its newest run went."""
        newest = select(func.max(runs.c.run)).group_by(runs.c.pipeline)
        query = select(runs.c.pipeline, runs.c.target).where(runs.c.run.in_(newest)).order_by(runs.c.pipeline)
        with reading(self._engine) as connection:
            return {row.pipeline: row.target for row in connection.execute(query)}

    def targets(self, *, unfinished: bool = False) -> list[str]:
        """The destinations that runs went to; or only those with unfinished runs."""
        query = select(runs.c.target).distinct().order_by(runs.c.target)
        if unfinished:
            query = query.where(runs.c.status.in_([status.value for status in UNFINISHED]))
        with reading(self._engine) as connection:
            return list(connection.execute(query).scalars())

    def loaded(self, pipeline: str, target: str) -> Mapping[str, LoadedPartition]:
        """What a pipeline has brought to a destination and is still there, by partition key.

        Derived from the published runs, so taking one back makes its input count as not loaded.
        """
        published = runs.c.status == RunStatus.PUBLISHED.value
        whole = (
            select(func.coalesce(func.max(runs.c.publish_order), 0))
            .where(runs.c.target == target, published, runs.c.replaces_all.is_(True))
            .scalar_subquery()
        )
        query = (
            select(run_partitions, runs.c.publish_order)
            .join(runs, runs.c.run == run_partitions.c.run)
            .where(runs.c.pipeline == pipeline, runs.c.target == target, published, runs.c.publish_order >= whole)
            .where(run_partitions.c.error.is_(None))
            .order_by(runs.c.publish_order)
        )
        with reading(self._engine) as connection:
            parts = [_partition_of(row) for row in connection.execute(query)]
        return _by_key(parts)

    def spoken_for(self, pipeline: str, target: str) -> Mapping[str, LoadedPartition]:
        """What a pipeline has brought to a destination, and will have once all that waits in the spool is drained, and
        what was being published when the destination went away is.
        """
        found = dict(self.loaded(pipeline, target))
        waiting = [run for run in self.spooled(target) if run.status in WAITING_IN_SPOOL]
        publishing = [run for run in self.unfinished(target) if run.status is RunStatus.PREPARED]
        for run in sorted(waiting + publishing, key=lambda each: each.run):
            if run.replaces_all:
                found.clear()
            if run.pipeline == pipeline:
                found |= _by_key([each for each in self.partitions(run.run) if each.error is None])
        return found

    def replaced(self, run: RunRecord) -> Collection[int]:
        """The ordinals of a published run's partitions whose rows later runs took the place of."""
        own = runs.alias("own")
        order = select(own.c.publish_order).where(own.c.run == run.run).scalar_subquery()
        later = select(runs.c.drop_rows, runs.c.replaces_all).where(
            runs.c.target == run.target,
            runs.c.status == RunStatus.PUBLISHED.value,
            runs.c.publish_order > order,
        )
        ordinals = select(run_partitions.c.ordinal).where(run_partitions.c.run == run.run)
        found: set[int] = set()
        with reading(self._engine) as connection:
            for drop_rows, replaces_all in connection.execute(later):
                found |= {ordinal for number, ordinal in drop_rows if number == run.run}
                if replaces_all:
                    found |= set(connection.execute(ordinals).scalars())
        return found

    def balance(self, target: str) -> dict[int, Fingerprint]:
        """What the books say the destination holds, by the run that brought it; runs with nothing left are absent."""
        with reading(self._engine) as connection:
            return books(connection, target, runs.c.status.in_([status.value for status in IN_THE_BOOKS]))

    def last_published(self, target: str) -> RunRecord | None:
        """The run whose publish was the last, rollbacks and restores included; what the destination's commit record
        must name. None where nothing was published, or a restore went back to before the table was there.
        """
        query = (
            select(runs)
            .where(runs.c.target == target, runs.c.publish_order.is_not(None))
            .order_by(runs.c.publish_order.desc())
            .limit(1)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None or (row.kind == RunKind.RESTORE.value and row.columns is None):
            return None
        return run_of(row)

    def last_entry_at(self) -> datetime | None:
        """The latest time at which anything was noted of a run."""
        with reading(self._engine) as connection:
            times = [
                connection.execute(select(func.max(column))).scalar_one_or_none()
                for column in (runs.c.started_at, runs.c.finished_at, batches.c.staged_at)
            ]
        return max((each for each in times if each is not None), default=None)

    def gate_results(self, run: int) -> list[GateResult]:
        """What the quality gates said of a run when they were asked last, in the order in which they are declared."""
        newest = select(func.max(gate_results.c.attempt)).where(gate_results.c.run == run).scalar_subquery()
        query = (
            select(gate_results)
            .where(gate_results.c.run == run, gate_results.c.attempt == newest)
            .order_by(gate_results.c.position)
        )
        with reading(self._engine) as connection:
            return [_gate_result_of(row) for row in connection.execute(query)]

    def profile(self, run: int) -> ProfileRecord | None:
        """Where the profile of a run lies."""
        with reading(self._engine) as connection:
            row = connection.execute(select(profiles).where(profiles.c.run == run)).one_or_none()
        return None if row is None else ProfileRecord(row.run, row.rows, row.file, row.sha256, row.made_at)

    def override(self, run: int) -> Override | None:
        """Who decided last to publish a run that its gates hold, and why."""
        query = select(overrides).where(overrides.c.run == run).order_by(overrides.c.id.desc()).limit(1)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Override(row.run, row.who, row.reason, row.critical, row.decided_at)

    def former_loads(self, pipeline: str, target: str, *, limit: int) -> list[RunRecord]:
        """The loads of a pipeline that are published and were not taken back, the newest first."""
        query = (
            select(runs)
            .where(
                runs.c.pipeline == pipeline,
                runs.c.target == target,
                runs.c.kind == RunKind.LOAD.value,
                runs.c.status == RunStatus.PUBLISHED.value,
            )
            .order_by(runs.c.publish_order.desc())
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [run_of(row) for row in connection.execute(query)]

    def first_run_at(self, pipeline: str) -> datetime | None:
        """When a pipeline was begun for the first time; None: never."""
        with reading(self._engine) as connection:
            query = select(func.min(runs.c.started_at)).where(runs.c.pipeline == pipeline)
            found: datetime | None = connection.execute(query).scalar_one_or_none()
        return found

    def schema_versions(self, target: str) -> list[SchemaVersion]:
        """The columns that a table has had, oldest first."""
        query = select(schema_versions).where(schema_versions.c.target == target).order_by(schema_versions.c.version)
        with reading(self._engine) as connection:
            return [SchemaVersion(row.version, _pairs(row.columns), row.run) for row in connection.execute(query)]


def books(connection: Connection, target: str, of: ColumnElement[bool]) -> dict[int, Fingerprint]:
    """What these runs' postings say is held, by the run that brought it; runs with nothing left are absent."""
    query = select(postings).join(runs, runs.c.run == postings.c.run).where(runs.c.target == target, of)
    held: dict[int, Fingerprint] = {}
    for row in connection.execute(query):
        held[row.about_run] = held.get(row.about_run, Fingerprint()) + row.change
    return {run: each for run, each in sorted(held.items()) if each != Fingerprint()}


def one_run(connection: Connection, number: int) -> RunRecord:
    """A run by its number, inside a transaction that is open."""
    found = _found(connection, number)
    if found is None:
        newest = connection.execute(select(func.max(runs.c.run))).scalar_one()
        known = f"the newest is {newest}" if newest else "there is none yet"
        raise UnknownRun(f"there is no run {number}; {known}", hint="rowkeeper runs lists them")
    return found


def _found(connection: Connection, number: int) -> RunRecord | None:
    if not 0 < number <= RUN_MAX:
        return None
    row = connection.execute(select(runs).where(runs.c.run == number)).one_or_none()
    return None if row is None else run_of(row)


def run_of(row: Row[Any]) -> RunRecord:
    """A row of `runs` as a record."""
    return RunRecord(
        run=row.run,
        pipeline=row.pipeline,
        target=row.target,
        kind=RunKind(row.kind),
        status=RunStatus(row.status),
        definition=row.definition,
        source=row.source,
        destination=row.destination,
        token=row.token,
        host=row.host,
        pid=row.pid,
        started_at=row.started_at,
        finished_at=row.finished_at,
        seconds=row.seconds,
        account=_account_of(row),
        fingerprint=row.fingerprint,
        columns=None if row.columns is None else _pairs(row.columns),
        replaces_all=row.replaces_all,
        drop_rows=tuple((run, ordinal) for run, ordinal in row.drop_rows),
        reverses=row.reverses,
        error=row.error,
        note=row.note,
        gates=tuple(row.gates or ()),
        degraded=tuple(row.degraded or ()),
        in_spool=row.in_spool,
        pruned_at=row.pruned_at,
    )


def _by_key(parts: Sequence[RunPartition]) -> dict[str, LoadedPartition]:
    return {part.partition.key: LoadedPartition(part.partition, part.run, part.ordinal) for part in parts}


def _account_of(row: Row[Any]) -> Account:
    return Account(row.rows_read, row.rows_committed, row.rows_quarantined, row.rows_duplicate, row.rows_filtered)


def _pairs(columns: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, kind) for name, kind in columns)


def _partition_of(row: Row[Any]) -> RunPartition:
    return RunPartition(
        run=row.run,
        ordinal=row.ordinal,
        partition=Partition(row.key, row.identity, row.size_bytes, row.detail, row.position),
        reload=row.reload,
        complete=row.complete,
        next_row=row.next_row,
        account=_account_of(row),
        fingerprint=row.fingerprint,
        error=row.error,
    )


def _batch_of(row: Row[Any]) -> BatchRecord:
    return BatchRecord(
        run=row.run,
        partition_ordinal=row.partition_ordinal,
        first_row=row.first_row,
        next_row=row.next_row,
        staged=row.staged,
        quarantined=row.quarantined,
        filtered=row.filtered,
        quarantine_file=row.quarantine_file,
        quarantine_sha256=row.quarantine_sha256,
        reasons=row.reasons,
        staged_at=row.staged_at,
        by_pydantic=row.by_pydantic,
        rules=row.rules,
        spool_file=row.spool_file,
        spool_sha256=row.spool_sha256,
        duplicate=row.duplicate,
    )


def _gate_result_of(row: Row[Any]) -> GateResult:
    return GateResult(
        run=row.run,
        gate=row.gate,
        dimension=row.dimension,
        severity=row.severity,
        status=row.status,
        rows=row.rows,
        offending=row.offending,
        measured=row.measured,
        threshold=row.threshold,
        told=row.told,
        sample_file=row.sample_file,
        sample_sha256=row.sample_sha256,
        judged_at=row.judged_at,
    )

"""From the source to the staging area: read, check, transform, protect, stage, note; threads, and one straight line."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper import metering
from rowkeeper.batch import ROW_ID, Account, Batch, RuleCount, Verdict, row_ids
from rowkeeper.errors import PipelineError, SourceError, StoreError, TransformError
from rowkeeper.ledger import BatchRecord, RunPartition, RunRecord
from rowkeeper.logs import about, failure, logger
from rowkeeper.logs.failure import document
from rowkeeper.logs.native import withheld
from rowkeeper.pipeline import Transform
from rowkeeper.protocols import Columns, Contract, Destination, Source, StagedRows
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.conveyor import Conveyor, side_by_side
from rowkeeper.runs.hold import Hold
from rowkeeper.runs.interrupt import finished_first
from rowkeeper.runs.protecting import check_transformed, without_unfit
from rowkeeper.runs.rejects import Rejects, rejects_of, seal_rejects
from rowkeeper.runs.report import Progress
from rowkeeper.runs.room import check_room
from rowkeeper.runs.sharing import Share
from rowkeeper.runs.shielding import Shield
from rowkeeper.runs.sizing import Gauge
from rowkeeper.runs.transforming import apply_transform
from rowkeeper.security.protection.plan import Protections
from rowkeeper.security.vpn import look

ON_ERROR = (SourceError, StoreError, TransformError)  # faults of one partition, which others need not share
INSERT_SECONDS = 5.0

log = logger("run")


@dataclasses.dataclass(frozen=True, slots=True)
class Material:
    """What is staged, and by what rules: the part of a pipeline that staging needs to know."""

    pipeline: str
    source: Source
    contract: Contract
    columns: Columns
    transform: Transform | None
    protections: Protections
    shield: Shield | None = None
    """Of what is classified; None where nothing is."""
    goes_on: bool = False
    """Whether the run goes on without a partition that fails."""
    evolves: bool = False
    """Whether a batch may change the contract by which those after it are checked."""
    destination: Destination | None = None
    """Where the rows go, which may not be able to hold each."""

    @property
    def schema(self) -> pa.Schema:
        """The destination's columns: the contract's, as they are protected."""
        return self.protections.stored(self.contract.schema)


@dataclasses.dataclass(frozen=True, slots=True)
class _Failed:
    """A partition that the run goes on without."""

    ordinal: int
    error: PipelineError


@dataclasses.dataclass(frozen=True, slots=True)
class _Read:
    """A batch as it was read; None marks the end of a partition, and the position is what its source says of it."""

    ordinal: int
    batch: Batch | None
    position: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Checked:
    """A batch ready to be staged; what it was read from is not held any longer."""

    ordinal: int
    first_row: int
    next_row: int
    rows: pa.Table
    filtered: int
    rejects: Rejects | None
    by_pydantic: int
    rules: Mapping[str, RuleCount]
    duplicates: int
    position: Mapping[str, Any] | None

    @property
    def rows_read(self) -> int:
        return self.next_row - self.first_row

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes + (self.rejects.table.nbytes if self.rejects else 0)


class Stager:
    """Stages what a run has still to read, and notes each batch in the ledger.

    Args:
        partitions: all of the run's, with how far each had come when the run died, if it did.
        replaces: by key of a partition, (run, partition ordinal) of the former rows that it takes the place of.
    """

    def __init__(
        self,
        held: Hold,
        run: RunRecord,
        material: Material,
        partitions: Sequence[RunPartition],
        replaces: Mapping[str, Sequence[tuple[int, int]]],
    ) -> None:
        self._held = held
        self._run = run
        self._material = material
        self._partitions = {each.ordinal: each for each in partitions}
        self._replaces = replaces
        share = Share(held.ledger, held.workspace.settings)
        self._sizes = share.sizes()
        self._gauge = Gauge(share.command_bytes)
        self._contract = material.contract  # the checking threads' own
        self._schema = material.schema
        self._accounts = {each.ordinal: each.account for each in partitions}
        self.failures: dict[int, PipelineError] = {}
        self.columns: tuple[tuple[str, str], ...] | None = None  # the table's, where drift has added to them

    def stage_all(self) -> None:
        """Reads and stages every partition to its end.

        Reading and checking run ahead in threads of their own, a bounded number of batches each, and less where
        memory is short.
        """
        depth, tight = self._sizes.queue_batches, self._gauge.tight
        rows, size = self._held.workspace.settings.insert_rows, self._sizes.insert_bytes
        metering.step("load")
        with Conveyor() as conveyor:
            read = conveyor.ahead(self._read(), depth, "rowkeeper-read", tight, ("read", "check"))
            checked = conveyor.ahead(self._check(read), depth, "rowkeeper-check", tight, ("check", "stage"))
            for items in _together(checked, rows, size):
                with finished_first():
                    self._stage([item for item in items if isinstance(item, _Checked)])
                    for item in items:
                        self._settle(item)

    def _settle(self, item: _Checked | _Read | _Failed) -> None:
        with metering.timed("note"):
            match item:
                case _Checked():
                    self._note(item)
                case _Read():
                    self._end(item)
                case _Failed():
                    self._go_without(item)

    def _read(self) -> Iterator[_Read | _Failed]:
        for ordinal, partition in self._partitions.items():
            if partition.complete or partition.error is not None:
                continue
            try:
                yield from self._batches(ordinal, partition)
            except ON_ERROR as error:
                if not self._material.goes_on:
                    raise
                yield _Failed(ordinal, error)

    def _batches(self, ordinal: int, partition: RunPartition) -> Iterator[_Read]:
        end: Mapping[str, Any] | None = None
        with about(partition=partition.partition.key):
            batches = self._material.source.read(
                partition.partition,
                start_row=partition.next_row,
                batch_rows=self._sizes.batch_rows,
                batch_bytes=self._sizes.batch_bytes,
                columns=self._material.columns,
            )
            for batch in metering.each_timed("read", iter(batches)):
                look()
                if batch.rows_read:
                    metering.took("read", rows=batch.rows_read, bytes=batch.table.nbytes)
                    yield _Read(ordinal, batch)
                else:
                    end = batch.position
        yield _Read(ordinal, None, end)

    def _check(self, items: Iterator[_Read | _Failed]) -> Iterator[_Checked | _Read | _Failed]:
        failed: set[int] = set()
        for item, verdict in side_by_side(items, self._judged, self._checkers, "rowkeeper-check"):
            if item.ordinal in failed:
                continue  # it was read further before this was known
            if isinstance(item, _Failed) or item.batch is None:
                yield item
                continue
            try:
                if isinstance(verdict, PipelineError):
                    raise verdict
                assert verdict is not None
                with about(partition=item.batch.partition, batch=item.batch.first_row):
                    checked = self._checked(item.ordinal, item.batch, verdict)
            except ON_ERROR as error:
                if not self._material.goes_on:
                    raise
                failed.add(item.ordinal)
                yield _Failed(item.ordinal, error)
            else:
                yield checked

    @property
    def _checkers(self) -> int:
        """How many batches are checked at a time."""
        return 1 if self._material.evolves or self._sizes.is_small else pl.thread_pool_size()

    def _judged(self, item: _Read | _Failed) -> tuple[_Read | _Failed, Verdict | PipelineError | None]:
        """What the contract says of a batch, or why it says nothing."""
        if isinstance(item, _Failed) or item.batch is None:
            return item, None
        with about(partition=item.batch.partition, batch=item.batch.first_row):
            try:
                with withheld(), metering.timed("check"):
                    verdict = self._contract.check(item.batch)
                metering.took("check", rows=item.batch.table.num_rows, bytes=item.batch.table.nbytes)
            except ON_ERROR as error:
                return item, error
        if self._material.evolves:  # columns that drift brought stay, for all batches that follow
            self._contract = self._contract.evolved(verdict.accepted.schema)
        return item, verdict

    def _checked(self, ordinal: int, batch: Batch, verdict: Verdict) -> _Checked:
        assert verdict.accepted.num_rows + len(verdict.rejected) == batch.table.num_rows, "a row has no verdict"
        protections, transform = self._material.protections, self._material.transform
        if transform is None:
            verdict = without_unfit(verdict, protections, self._material.destination)
        numbers = pc.take(batch.row_numbers, verdict.accepted_index)
        rows = verdict.accepted.append_column(pa.field(ROW_ID, pa.uint64(), nullable=False), row_ids(ordinal, numbers))
        kept = rows
        if transform is not None:
            with metering.timed("transform"):
                kept = apply_transform(transform, rows)
            metering.took("transform", rows=rows.num_rows, bytes=rows.nbytes)
            check_transformed(kept, protections)
        with metering.timed("protect"):
            filtered = rows.num_rows - kept.num_rows
            rejects = rejects_of(batch, ordinal, verdict, self._material.shield)
            protected = protections.apply(kept)
        metering.took("protect", rows=kept.num_rows, bytes=kept.nbytes)
        return _Checked(
            ordinal,
            batch.first_row,
            batch.next_row,
            protected,
            filtered,
            rejects,
            verdict.by_pydantic,
            verdict.rules,
            batch.duplicates,
            batch.position,
        )

    def _stage(self, items: Sequence[_Checked]) -> None:
        """Rows first, rejects next, the ledger last: what the ledger does not know is taken out on resumption."""
        rows = pa.concat_tables([item.rows for item in items]) if items else None
        if rows is None:
            return
        look()
        schema = rows.schema.remove(rows.schema.get_field_index(ROW_ID))
        if schema.names != self._schema.names:
            self.columns = self._held.session.evolve(schema)
            self._schema = schema
        if rows.num_rows:
            workspace = self._held.workspace
            check_room(workspace.site.home, rows.nbytes, workspace.settings.disk_free_min)
            failpoint("run.before_stage")
            began = time.monotonic()
            with metering.timed("stage"):
                self._held.session.stage(rows)
            metering.took("stage", rows=rows.num_rows, bytes=rows.nbytes)
            log.debug("rows staged", rows=rows.num_rows, seconds=time.monotonic() - began)
            failpoint("run.after_stage")

    def _note(self, item: _Checked) -> None:
        name = digest = None
        if item.rejects is not None:
            name = f"{self._run.run}/{item.ordinal}-{item.first_row}.sealed"
            digest = seal_rejects(self._held.workspace.quarantine, name, item.rejects)
            failpoint("run.after_quarantine")
        record = BatchRecord(
            run=self._run.run,
            partition_ordinal=item.ordinal,
            first_row=item.first_row,
            next_row=item.next_row,
            staged=item.rows.num_rows,
            quarantined=item.rejects.table.num_rows if item.rejects else 0,
            filtered=item.filtered,
            quarantine_file=name,
            quarantine_sha256=digest,
            reasons=item.rejects.reasons if item.rejects else {},
            staged_at=datetime.now(UTC),
            by_pydantic=item.by_pydantic,
            rules={name: dataclasses.astuple(count) for name, count in item.rules.items()},
            duplicate=item.duplicates,
            **self._put_aside(item.ordinal, item.first_row, item.rows),
        )
        self._held.ledger.note_batch(self._held.lease, record, partition_complete=False, position=item.position)
        log.debug(
            "batch noted",
            partition=self._partitions[item.ordinal].partition.key,
            batch=item.first_row,
            read=item.rows_read,
            staged=record.staged,
            quarantined=record.quarantined,
            filtered=record.filtered,
        )
        read = record.next_row - record.first_row
        own = Account(read, record.staged, record.quarantined, record.duplicate, item.filtered)
        self._accounts[item.ordinal] += own
        self._tell(item.ordinal)

    def _end(self, item: _Read) -> None:
        self._held.ledger.note_partition_complete(self._held.lease, self._run.run, item.ordinal, item.position)
        log.info("partition read", partition=self._partitions[item.ordinal].partition.key)
        failpoint("run.after_partition")
        self._tell(item.ordinal + 1)

    def _go_without(self, item: _Failed) -> None:
        """Ledger first: what the staging area still has of a partition that failed is taken out on resumption.

        The ledger forgets the partition's rejects, so their files are of no use.
        """
        run, key = self._run.run, self._partitions[item.ordinal].partition.key
        files = [
            each.quarantine_file
            for each in self._held.ledger.batches(run)
            if each.partition_ordinal == item.ordinal and each.quarantine_file
        ]
        keeps = self._replaces.get(key, ())
        self._held.ledger.note_partition_failed(self._held.lease, run, item.ordinal, document(item.error), keeps=keeps)
        failpoint("run.after_partition_failed")
        self._withdraw(item.ordinal)
        for name in files:
            self._held.workspace.quarantine.remove(name)
        self.failures[item.ordinal] = item.error
        self._accounts[item.ordinal] = Account()
        log.error("partition failed, the run goes on without it", **{**failure(item.error), "partition": key})
        self._tell(item.ordinal + 1)

    def _put_aside(self, ordinal: int, first_row: int, rows: pa.Table) -> Mapping[str, str]:
        """Where else than in the staging area the rows of a batch are, as the ledger is to note it."""
        del ordinal, first_row, rows
        return {}

    def _withdraw(self, ordinal: int) -> None:
        self._held.session.stage_withdraw(ordinal)

    def _tell(self, done: int) -> None:
        current = self._partitions.get(done)
        self._held.observe(
            Progress(
                pipeline=self._material.pipeline,
                step="load",
                partition=current.partition.key if current else None,
                partitions_done=done,
                partitions=len(self._partitions),
                account=sum(self._accounts.values(), Account()),
            )
        )


def _together(
    items: Iterator[_Checked | _Read | _Failed], rows_min: int, bytes_max: int
) -> Iterator[list[_Checked | _Read | _Failed]]:
    """Items whose rows go in one insert: each insert makes a part of the table, and many small parts cost more than
    all else. Nobody waits longer than `INSERT_SECONDS` for more rows, and small files share an insert.
    """
    held: list[_Checked | _Read | _Failed] = []
    rows = size = 0
    since = time.monotonic()
    for item in items:
        if isinstance(item, _Checked):
            if rows and (item.rows.schema.names != _names(held) or size + item.nbytes > bytes_max):
                yield held
                held, rows, size = [], 0, 0
            if not rows:
                since = time.monotonic()
            rows, size = rows + item.rows_read, size + item.nbytes
        held.append(item)
        if rows >= rows_min or size >= bytes_max or time.monotonic() - since >= INSERT_SECONDS:
            yield held
            held, rows, size = [], 0, 0
    if held:
        yield held


def _names(items: Sequence[_Checked | _Read | _Failed]) -> list[str]:
    return next(item.rows.schema.names for item in reversed(items) if isinstance(item, _Checked))


def staged_rows(batches: Sequence[BatchRecord], partitions: Sequence[RunPartition]) -> list[StagedRows]:
    """What the ledger holds as staged, by partition: the measure for resuming and for sealing."""
    rows: Mapping[int, int] = {
        each.ordinal: sum(batch.staged for batch in batches if batch.partition_ordinal == each.ordinal)
        for each in partitions
    }
    return [StagedRows(each.ordinal, each.next_row, rows[each.ordinal]) for each in partitions]

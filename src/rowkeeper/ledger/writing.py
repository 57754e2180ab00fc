"""The steps of a run, as the ledger takes them down: each is one transaction, and each checks the lease."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from rowkeeper.batch import Account, Fingerprint, Partition
from rowkeeper.errors import IntegrityError
from rowkeeper.ledger import leases, slots
from rowkeeper.ledger.audit import Event, Outcome, Trail
from rowkeeper.ledger.database import writing
from rowkeeper.ledger.entries import (
    account_columns,
    add_partitions,
    insert_partitions,
    published_detail,
    put_down,
    set_run,
)
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.reading import one_run
from rowkeeper.ledger.records import BatchRecord, GateResult, Lease, ProfileRecord, RunKind, RunRecord, RunStatus
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
from rowkeeper.ledger.totals import count_run
from rowkeeper.metering import measured_run
from rowkeeper.protocols import Posting

OPEN = (RunStatus.STAGING, RunStatus.INTERRUPTED)


class Scribe:
    """Writes the ledger. One per process; its methods may be called from any thread."""

    def __init__(self, engine: Engine, clock: Clock, trail: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._trail = trail
        self.ended = 0
        """How many runs this process has closed."""

    def start_run(
        self,
        lease: Lease,
        *,
        pipeline: str,
        target: str,
        kind: RunKind,
        definition: str,
        source: Mapping[str, Any],
        destination: Mapping[str, Any],
        partitions: Sequence[tuple[Partition, bool]],
        replaces_all: bool,
        drop_rows: Sequence[tuple[int, int]],
        reverses: int | None = None,
        gates: Sequence[str] = (),
        failed: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> RunRecord:
        """Opens a run over these partitions; the flag marks those that replace rows of a former load.

        Args:
            failed: by key, the errors of partitions that the run goes without from the beginning.

        Raises SlotAnswered if the slot that it is for was answered by another run.
        """
        with writing(self._engine, "start_run") as connection:
            leases.check(connection, lease)
            number = self._insert_run(
                connection,
                lease,
                slot=slots.to_answer(connection, pipeline) if kind is RunKind.LOAD else None,
                pipeline=pipeline,
                target=target,
                kind=kind.value,
                status=RunStatus.STAGING.value,
                definition=definition,
                source=dict(source),
                destination=dict(destination),
                replaces_all=replaces_all,
                drop_rows=[list(each) for each in drop_rows],
                reverses=reverses,
                gates=list(gates),
            )
            insert_partitions(connection, number, partitions, failed)
            run = one_run(connection, number)
            self._trail.write(connection, event_of(run, "run.start", kind=kind.value, reverses=reverses))
            return run

    def record_unchanged(
        self,
        lease: Lease,
        *,
        pipeline: str,
        target: str,
        definition: str,
        source: Mapping[str, Any],
        destination: Mapping[str, Any],
        note: str,
        degraded: Sequence[str] = (),
    ) -> RunRecord:
        """Notes a run that found nothing new; the slot that it is for is answered."""
        with writing(self._engine, "record_unchanged") as connection:
            leases.check(connection, lease)
            number = self._insert_run(
                connection,
                lease,
                slot=slots.to_answer(connection, pipeline),
                pipeline=pipeline,
                target=target,
                kind=RunKind.LOAD.value,
                status=RunStatus.UNCHANGED.value,
                definition=definition,
                source=dict(source),
                destination=dict(destination),
                replaces_all=False,
                drop_rows=[],
                note=note,
                degraded=list(degraded),
                finished_at=self._clock(),
                seconds=0.0,
            )
            run = one_run(connection, number)
            measured_run(number)
            self._count(connection, run)
            slots.answer(connection, number, run.status.value, self._clock())
            self._trail.write(connection, event_of(run, "run.unchanged"))
            return run

    def _insert_run(self, connection: Connection, lease: Lease, **values: Any) -> int:
        result = connection.execute(
            insert(runs).values(
                token=lease.token, host=leases.host_name(), pid=os.getpid(), started_at=self._clock(), **values
            )
        )
        number = result.inserted_primary_key
        assert number is not None
        return int(number[0])

    def resume_run(
        self,
        lease: Lease,
        run: int,
        gates: Sequence[str] | None = None,
        more: Sequence[Partition] = (),
    ) -> RunRecord:
        """Makes a run that died, or is held, this process's own.

        Args:
            gates: the quality gates that it has to pass now; None leaves them as they were.
            more: partitions that it is to read after its own.
        """
        with self._step(lease, "resume_run", run, (*OPEN, RunStatus.HELD)) as (connection, record):
            values: dict[str, Any] = {} if gates is None else {"gates": list(gates)}
            slot = slots.to_answer(connection, record.pipeline) if record.kind is RunKind.LOAD else None
            if slot is not None:  # it goes on for another slot than the one that it was begun for, or for one at last
                values["slot"] = slot
            set_run(
                connection,
                run,
                **values,
                status=RunStatus.STAGING.value,
                token=lease.token,
                host=leases.host_name(),
                pid=os.getpid(),
                error=None,
            )
            add_partitions(connection, run, more)
            resumed = one_run(connection, run)
            self._trail.write(connection, event_of(resumed, "run.resume"))
            return resumed

    def note_degraded(self, lease: Lease, run: int, sentences: Sequence[str]) -> None:
        """Notes what the run did less well than it should have, beside what was noted before."""
        with self._step(lease, "note_degraded", run, (RunStatus.STAGING,)) as (connection, record):
            set_run(connection, run, degraded=list(dict.fromkeys((*record.degraded, *sentences))))

    def note_batch(
        self,
        lease: Lease,
        batch: BatchRecord,
        *,
        partition_complete: bool,
        position: Mapping[str, Any] | None = None,
    ) -> None:
        """Notes that a batch is staged and its rejects are sealed, and how far its source was read with it.

        Raises IntegrityError if it was noted before.
        """
        with self._step(lease, "note_batch", batch.run, (RunStatus.STAGING,)) as (connection, _):
            noted = connection.execute(
                update(run_partitions)
                .where(
                    run_partitions.c.run == batch.run,
                    run_partitions.c.ordinal == batch.partition_ordinal,
                    run_partitions.c.next_row == batch.first_row,
                    run_partitions.c.complete.is_(False),
                )
                .values(next_row=batch.next_row, complete=partition_complete, position=position)
            )
            if noted.rowcount != 1 or batch.next_row <= batch.first_row:
                raise IntegrityError(
                    f"run {batch.run}: a batch from row {batch.first_row} of partition {batch.partition_ordinal} "
                    "does not follow what was noted before",
                    hint="nothing was published; run the pipeline again",
                )
            connection.execute(insert(batches).values(**dataclasses.asdict(batch), of_duplicates=False))

    def note_partition_complete(
        self, lease: Lease, run: int, ordinal: int, position: Mapping[str, Any] | None = None
    ) -> None:
        """Notes that a partition was read to its end, and what its source has to say of that."""
        said = {} if position is None else {"position": dict(position)}
        with self._step(lease, "note_partition_complete", run, (RunStatus.STAGING,)) as (connection, _):
            connection.execute(
                update(run_partitions)
                .where(run_partitions.c.run == run, run_partitions.c.ordinal == ordinal)
                .values(complete=True, **said)
            )

    def note_partition_failed(
        self, lease: Lease, run: int, ordinal: int, error: Mapping[str, Any], *, keeps: Collection[tuple[int, int]]
    ) -> None:
        """Notes that the run goes on without a partition, as if none of it had been read.

        Args:
            error: the error's document.
            keeps: (run, partition ordinal) of former loads that it would have replaced, and that stay.
        """
        with self._step(lease, "note_partition_failed", run, (RunStatus.STAGING,)) as (connection, record):
            own = (run_partitions.c.run == run, run_partitions.c.ordinal == ordinal)
            connection.execute(
                update(run_partitions).where(*own).values(complete=False, next_row=0, position=None, error=dict(error))
            )
            connection.execute(delete(batches).where(batches.c.run == run, batches.c.partition_ordinal == ordinal))
            drops = [list(each) for each in record.drop_rows if each not in keeps]
            set_run(connection, run, drop_rows=drops)

    def prepare_run(
        self,
        lease: Lease,
        run: int,
        *,
        accounts: Mapping[int, Account],
        fingerprints: Mapping[int, Fingerprint],
        postings: Sequence[Posting],
        columns: Sequence[tuple[str, str]],
        duplicates: Sequence[BatchRecord] = (),
    ) -> RunRecord:
        """Fixes the account and the postings: from here on the run can be finished by anybody.

        Raises IntegrityError for an account that does not balance or is not of what was read.
        """
        with self._step(lease, "prepare_run", run, (RunStatus.STAGING,)) as (connection, record):
            self._note_accounts(connection, run, accounts, fingerprints)
            for batch in duplicates:
                connection.execute(insert(batches).values(**dataclasses.asdict(batch), of_duplicates=True))
            self._post(connection, run, postings)
            self._note_schema(connection, record.target, columns, run)
            set_run(
                connection,
                run,
                status=RunStatus.PREPARED.value,
                columns=[list(column) for column in columns],
                fingerprint=sum(fingerprints.values(), Fingerprint()),
                **account_columns(sum(accounts.values(), Account())),
            )
            return one_run(connection, run)

    def amend_run(
        self,
        lease: Lease,
        run: int,
        *,
        accounts: Mapping[int, Account],
        fingerprints: Mapping[int, Fingerprint],
        postings: Sequence[Posting],
        refused: Sequence[BatchRecord],
    ) -> RunRecord:
        """Corrects what `prepare_run` fixed, by rows that were refused while the run was published; once more does
        nothing.

        Raises IntegrityError for an account that does not balance or is not of what was read.
        """
        with self._step(lease, "amend_run", run, (RunStatus.PREPARED,)) as (connection, _):
            self._note_accounts(connection, run, accounts, fingerprints)
            names = [each.quarantine_file for each in refused]
            connection.execute(delete(batches).where(batches.c.run == run, batches.c.quarantine_file.in_(names)))
            for batch in refused:
                connection.execute(insert(batches).values(**dataclasses.asdict(batch), of_duplicates=True))
            self._repost(connection, run, postings)
            total = sum(accounts.values(), Account())
            set_run(connection, run, fingerprint=sum(fingerprints.values(), Fingerprint()), **account_columns(total))
            return one_run(connection, run)

    def _note_accounts(
        self,
        connection: Connection,
        run: int,
        accounts: Mapping[int, Account],
        fingerprints: Mapping[int, Fingerprint],
    ) -> None:
        self._check_accounts(connection, run, accounts)
        for ordinal, account in accounts.items():
            connection.execute(
                update(run_partitions)
                .where(run_partitions.c.run == run, run_partitions.c.ordinal == ordinal)
                .values(**account_columns(account), fingerprint=fingerprints.get(ordinal, Fingerprint()))
            )

    @staticmethod
    def _check_accounts(connection: Connection, run: int, accounts: Mapping[int, Account]) -> None:
        rows = connection.execute(select(run_partitions).where(run_partitions.c.run == run)).all()
        expected = {row.ordinal: row.next_row for row in rows if row.complete or row.error is not None}
        found = {ordinal: account.read for ordinal, account in accounts.items() if account.balanced}
        if len(expected) != len(rows) or found != expected:
            raise IntegrityError(
                f"run {run}: its account does not balance, or is not of all that was read",
                hint="nothing was published; run the pipeline again, and report it if that does not help",
            )

    def _repost(self, connection: Connection, run: int, entries: Sequence[Posting]) -> None:
        connection.execute(delete(postings).where(postings.c.run == run))
        self._post(connection, run, entries)

    @staticmethod
    def _post(connection: Connection, run: int, entries: Sequence[Posting]) -> None:
        for posting in entries:
            connection.execute(insert(postings).values(run=run, about_run=posting.about_run, change=posting.change))

    def _note_schema(self, connection: Connection, target: str, columns: Sequence[tuple[str, str]], run: int) -> None:
        """A new version only where the columns are others than before."""
        mine = schema_versions.c.target == target
        newest = connection.execute(
            select(schema_versions).where(mine).order_by(schema_versions.c.version.desc()).limit(1)
        ).one_or_none()
        listed = [list(column) for column in columns]
        if newest is None or newest.columns != listed:
            version = newest.version + 1 if newest is not None else 1
            connection.execute(
                insert(schema_versions).values(
                    target=target, version=version, columns=listed, run=run, created_at=self._clock()
                )
            )

    def reopen_run(self, lease: Lease, run: int) -> RunRecord:
        """Takes back what `prepare_run` wrote: the run was found not to be published, and can go on."""
        with self._step(lease, "reopen_run", run, (RunStatus.PREPARED,)) as (connection, record):
            connection.execute(delete(postings).where(postings.c.run == run))
            connection.execute(delete(batches).where(batches.c.run == run, batches.c.of_duplicates.is_(True)))
            connection.execute(delete(schema_versions).where(schema_versions.c.run == run))
            blank = {**account_columns(Account()), "fingerprint": None}
            connection.execute(update(run_partitions).where(run_partitions.c.run == run).values(**blank))
            set_run(connection, run, columns=None, **blank)
            put_down(connection, record, record.error)
            return one_run(connection, run)

    def record_published(self, lease: Lease, run: int, *, seconds: float) -> RunRecord:
        """Notes that the destination has published a prepared run; once more does nothing."""
        allowed = (RunStatus.PREPARED, RunStatus.PUBLISHED)
        with self._step(lease, "record_published", run, allowed) as (connection, record):
            if record.status is RunStatus.PREPARED:
                order = connection.execute(select(func.coalesce(func.max(runs.c.publish_order), 0) + 1)).scalar_one()
                set_run(
                    connection,
                    run,
                    status=RunStatus.PUBLISHED.value,
                    publish_order=order,
                    finished_at=self._clock(),
                    seconds=seconds,
                )
                if record.reverses is not None:
                    set_run(connection, record.reverses, status=RunStatus.ROLLED_BACK.value)
                published = one_run(connection, run)
                self._count(connection, published)
                slots.answer(connection, run, RunStatus.PUBLISHED.value, self._clock())
                self._trail.write(connection, _published(published))
            return one_run(connection, run)

    def interrupt_run(self, lease: Lease, run: int, error: Mapping[str, Any]) -> None:
        """Notes that a run stopped while staging; what it staged is kept. What is wholly in the spool waits there."""
        with self._step(lease, "interrupt_run", run, OPEN) as (connection, record):
            put_down(connection, record, dict(error))
            self._count(connection, one_run(connection, run))
            self._trail.write(connection, event_of(record, "run.interrupt", Outcome.FAILED, error=error.get("code")))

    def fail_run(self, lease: Lease, run: int, error: Mapping[str, Any]) -> None:
        """Closes a run that published nothing. Of a prepared one (a rollback called off) the postings go, too."""
        allowed = (*OPEN, RunStatus.HELD, RunStatus.PREPARED, RunStatus.SPOOLED)
        with self._step(lease, "fail_run", run, allowed) as (connection, record):
            connection.execute(delete(postings).where(postings.c.run == run))
            blank = account_columns(Account()) if record.in_spool else {}  # of it the account so far was noted
            closed = {"status": RunStatus.FAILED.value, "error": dict(error), "finished_at": self._clock()}
            set_run(connection, run, **closed, **blank)
            self._count(connection, one_run(connection, run))
            self._trail.write(connection, event_of(record, "run.fail", Outcome.FAILED, error=error.get("code")))

    def note_quality(
        self,
        lease: Lease,
        run: int,
        results: Sequence[GateResult],
        profile: ProfileRecord | None,
        error: Mapping[str, Any] | None,
    ) -> None:
        """Notes what the quality gates said of the staged rows, and their profile; with an error, holds the run."""
        with self._step(lease, "note_quality", run, (RunStatus.STAGING,)) as (connection, record):
            newest = select(func.coalesce(func.max(gate_results.c.attempt), 0)).where(gate_results.c.run == run)
            attempt = connection.execute(newest).scalar_one() + 1
            for position, result in enumerate(results):
                values = {**dataclasses.asdict(result), "attempt": attempt, "position": position}
                connection.execute(insert(gate_results).values(**values))
            connection.execute(delete(profiles).where(profiles.c.run == run))
            if profile is not None:
                connection.execute(insert(profiles).values(**dataclasses.asdict(profile)))
            if error is not None:
                set_run(connection, run, status=RunStatus.HELD.value, error=dict(error), finished_at=self._clock())
                self._count(connection, one_run(connection, run))
                gates = [result.gate for result in results if result.status == "failed"]
                self._trail.write(connection, event_of(record, "run.hold", Outcome.REFUSED, gates=gates))

    def note_override(self, lease: Lease, run: int, *, who: str, reason: str, critical: bool) -> None:
        """Notes the decision to publish a held run, before it is acted on."""
        allowed = (*OPEN, RunStatus.HELD)
        with self._step(lease, "note_override", run, allowed) as (connection, record):
            connection.execute(
                insert(overrides).values(run=run, who=who, reason=reason, critical=critical, decided_at=self._clock())
            )
            decided = event_of(record, "run.override", critical=critical)
            self._trail.write(connection, dataclasses.replace(decided, reason=reason))

    def note_export(self, run: int, *, who: str, path: str, rows: int) -> None:
        """Notes that rejected rows are taken out in the clear, before they are. It changes nothing of the run."""
        with writing(self._engine, "note_export") as connection:
            connection.execute(
                insert(exports).values(run=run, who=who, path=path, rows=rows, exported_at=self._clock())
            )
            self._trail.write(connection, event_of(one_run(connection, run), "quarantine.export", rows=rows))

    def _count(self, connection: Connection, run: RunRecord) -> None:
        """A run that ends counts in the totals, in the transaction in which it does."""
        count_run(connection, run, self._clock)
        connection.info["after_commit"].append(self._counted)

    def _counted(self) -> None:
        self.ended += 1

    @contextmanager
    def _step(
        self, lease: Lease, step: str, run: int, allowed: Collection[RunStatus]
    ) -> Iterator[tuple[Connection, RunRecord]]:
        """A transaction on one run: the lease is checked, and that the run stands where this step begins."""
        with writing(self._engine, step) as connection:
            leases.check(connection, lease)
            record = one_run(connection, run)
            if record.status not in allowed:
                raise IntegrityError(
                    f"run {run} is {record.status.value}: {step.replace('_', ' ')} cannot follow",
                    hint="rowkeeper show tells what became of it",
                )
            yield connection, record


def event_of(run: RunRecord, action: str, outcome: Outcome = Outcome.DONE, **detail: Any) -> Event:
    """What the audit trail says of a step of a run."""
    on = {"run": run.run, "pipeline": run.pipeline, "target": run.target}
    return Event(action, on, outcome=outcome, detail=detail)


def _published(run: RunRecord) -> Event:
    """With the account and the fingerprint: whoever changes the ledger's tables cannot change these."""
    detail = dict(published_detail(run))
    if run.reverses is not None:
        return event_of(run, "run.rollback", reverses=run.reverses, **detail)
    return event_of(run, "run.publish", **detail)

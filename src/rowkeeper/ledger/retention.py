"""What of old runs can go, and its going: no account, no book, nothing that counts as loaded, and no evidence.

Of a run that was published the row stays for ever, with its account, fingerprint and postings: the books are their sum.
What goes of it is how it came about (batches, judgements, profile), and, where there are no backups to restore, its
partitions if later runs took the place of their rows and can never be taken back. A run that published nothing goes
altogether. The audit trail is not touched.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Row, Table, delete, select, tuple_, union, update

from rowkeeper.ledger import leases
from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.reading import REPLAY_KEY, UNFINISHED
from rowkeeper.ledger.records import Lease, RunKind, RunStatus
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

T = TypeVar("T")
KEPT_LOADS = 10  # of each pipeline: profiles and gates are compared with those of former loads
AT_ONCE = 200  # runs in one transaction: others wait for it
PUBLISHED_NOTHING = (RunStatus.UNCHANGED, RunStatus.FAILED)
PUBLISHED_ONCE = (RunStatus.PUBLISHED, RunStatus.ROLLED_BACK)
WAITING = frozenset(status.value for status in (*UNFINISHED, RunStatus.SPOOLED))


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Of runs that ended before then, it may go; None is never.

    Attributes:
        restorable: there are backups: a restore may bring back what was replaced, or taken back, and it must still be
            known then which partitions were loaded.
    """

    history: datetime | None = None
    quarantine: datetime | None = None
    restorable: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Old:
    """What can go of the runs of one destination; numbers of runs, ascending.

    Attributes:
        rejected: their sealed rows, rejected ones and samples, of which the counts and reasons stay.
        details: their batches, judgements and profiles.
        partitions: (run, ordinal) of partitions whose rows others took the place of, for good.
        whole: the runs themselves.
    """

    rejected: tuple[int, ...] = ()
    details: tuple[int, ...] = ()
    partitions: tuple[tuple[int, int], ...] = ()
    whole: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rejected or self.details or self.partitions or self.whole)

    @property
    def runs(self) -> list[int]:
        """All of which files may be left."""
        return sorted({*self.rejected, *self.details, *self.whole})


class LedgerRetention:
    """Finds what can go of a destination's runs, and removes it. Every method raises DatabaseError."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def old(self, target: str, limits: Limits) -> Old:
        """What can go. It holds as long as nobody else has the lease on the destination."""
        if limits.history is None and limits.quarantine is None:
            return Old()
        with reading(self._engine) as connection:
            return _Looked(connection, target, limits).old()

    def remove(self, lease: Lease, target: str, old: Old) -> None:
        """Removes it, some runs at a time, each time with an entry of the audit trail in the same transaction.

        Raises LeaseError if somebody else took over the destination.
        """
        for some in _batched(old.rejected):
            with self._step(lease, "prune_rejected", "quarantine.prune", target, some) as connection:
                _forget_files(connection, some)
        for some in _batched(old.details):
            with self._step(lease, "prune_details", "history.prune", target, some) as connection:
                _delete(connection, (batches, gate_results, profiles), some)
                connection.execute(update(runs).where(runs.c.run.in_(some)).values(pruned_at=self._clock()))
        for addresses in _batched(old.partitions):
            some = tuple(dict.fromkeys(run for run, _ in addresses))
            with self._step(lease, "prune_partitions", "history.prune", target, some) as connection:
                own = tuple_(run_partitions.c.run, run_partitions.c.ordinal)
                connection.execute(delete(run_partitions).where(own.in_(addresses)))
        for some in _batched(old.whole):
            with self._step(lease, "prune_runs", "history.prune", target, some) as connection:
                _delete(connection, (batches, gate_results, profiles, overrides, exports, run_partitions, runs), some)

    @contextmanager
    def _step(self, lease: Lease, step: str, action: str, target: str, some: Sequence[int]) -> Iterator[Connection]:
        with writing(self._engine, step) as connection:
            leases.check(connection, lease)
            yield connection
            on = {"target": target, "runs": ranges(some)}
            self._audit.write(connection, Event(action, on, detail={"removed": step.removeprefix("prune_")}))


def _batched(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    for first in range(0, len(items), AT_ONCE):
        yield items[first : first + AT_ONCE]


def ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers in short: `1-4, 7`."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def _forget_files(connection: Connection, some: Sequence[int]) -> None:
    nothing = {"quarantine_file": None, "quarantine_sha256": None}
    connection.execute(update(batches).where(batches.c.run.in_(some)).values(**nothing))
    nothing = {"sample_file": None, "sample_sha256": None}
    connection.execute(update(gate_results).where(gate_results.c.run.in_(some)).values(**nothing))


def _delete(connection: Connection, tables: Sequence[Table], some: Sequence[int]) -> None:
    for table in tables:
        connection.execute(delete(table).where(table.c.run.in_(some)))


class _Looked:
    """One destination's runs, read in one transaction, and what is asked of them."""

    def __init__(self, connection: Connection, target: str, limits: Limits) -> None:
        self._connection = connection
        self._limits = limits
        own = runs.c.target == target
        wanted = (runs.c.run, runs.c.pipeline, runs.c.kind, runs.c.status, runs.c.finished_at, runs.c.publish_order)
        query = select(*wanted, runs.c.replaces_all, runs.c.pruned_at).where(own).order_by(runs.c.run)
        self._runs: Sequence[Row[*tuple[Any, ...]]] = connection.execute(query).all()
        self._of_target = select(runs.c.run).where(own)
        self._sealed = self._with_files()

    def old(self) -> Old:
        """What can go."""
        rejected = self._rejected()
        left = self._sealed - set(rejected) | self._replayed
        details = [run.run for run in self._runs if self._may_lose_details(run, left)]
        return Old(
            rejected=tuple(rejected),
            details=tuple(details),
            partitions=tuple(self._replaced_for_good(set(details))),
            whole=tuple(self._for_nothing(left)),
        )

    # ------------------------------------------------------------------------------------- rejected rows

    def _with_files(self) -> set[int]:
        """Runs of which sealed rows are kept."""
        query = union(
            select(batches.c.run).where(batches.c.run.in_(self._of_target), batches.c.quarantine_file.is_not(None)),
            select(gate_results.c.run).where(
                gate_results.c.run.in_(self._of_target), gate_results.c.sample_file.is_not(None)
            ),
        )
        return set(self._connection.execute(query).scalars())

    def _rejected(self) -> list[int]:
        return [
            run.run
            for run in self._runs
            if run.run in self._sealed and run.run not in self._replayed and _ended(run, self._limits.quarantine)
        ]

    @cached_property
    def _replayed(self) -> set[int]:
        """Runs whose rejected rows are read by replays that are yet to be published."""
        query = (
            select(run_partitions.c.key)
            .join(runs, runs.c.run == run_partitions.c.run)
            .where(runs.c.run.in_(self._of_target), runs.c.kind == RunKind.REPLAY.value, runs.c.status.in_(WAITING))
        )
        keys = [str(key) for key in self._connection.execute(query).scalars()]
        return {int(key.split(":")[1]) for key in keys if key.startswith(REPLAY_KEY)}

    # ------------------------------------------------------------------------------------------- history

    def _may_lose_details(self, run: Row[*tuple[Any, ...]], left: Collection[int]) -> bool:
        return (
            run.status in PUBLISHED_ONCE
            and run.kind != RunKind.ROLLBACK.value
            and run.pruned_at is None
            and _ended(run, self._limits.history)
            and run.run not in left
            and run.run not in self._newest_loads
        )

    @cached_property
    def _newest_loads(self) -> set[int]:
        counted: Counter[str] = Counter()
        found: set[int] = set()
        for run in sorted(self._runs, key=lambda each: -(each.publish_order or 0)):
            if run.status == RunStatus.PUBLISHED and run.kind == RunKind.LOAD.value:
                counted[run.pipeline] += 1
                found |= {run.run} if counted[run.pipeline] <= KEPT_LOADS else set()
        return found

    def _replaced_for_good(self, details: Collection[int]) -> Iterator[tuple[int, int]]:
        """Partitions that do not count as loaded, and never will again.

        1. A run that was taken back is not published again.
        2. A run that took away rows of others, and that is not the last, can no longer be taken back itself (see
           `runs/rollback.py`): what it took away stays away.
        """
        pruned = {run.run: run for run in self._runs if run.run in details or run.pruned_at is not None}
        if not pruned or self._limits.restorable:
            return
        final = self._final()
        whole = max((each.publish_order for each in final if each.replaces_all), default=0)
        dropped = {(run, ordinal) for each in final for run, ordinal in each.drop_rows}
        own = (run_partitions.c.run, run_partitions.c.ordinal)
        query = select(*own).where(run_partitions.c.run.in_(self._of_target)).order_by(*own)
        for number, ordinal in self._connection.execute(query):
            run = pruned.get(number)
            if run is not None and (
                run.status == RunStatus.ROLLED_BACK or run.publish_order < whole or (number, ordinal) in dropped
            ):
                yield number, ordinal

    def _final(self) -> Sequence[Row[*tuple[Any, ...]]]:
        """Published runs that took away rows of others and can never be taken back."""
        last = max((run.publish_order or 0 for run in self._runs), default=0)
        took = select(postings.c.run).where(postings.c.run == runs.c.run, postings.c.about_run != runs.c.run).exists()
        wanted = (runs.c.status, runs.c.finished_at, runs.c.publish_order, runs.c.replaces_all, runs.c.drop_rows)
        query = select(*wanted).where(
            runs.c.run.in_(self._of_target),
            runs.c.status == RunStatus.PUBLISHED.value,
            runs.c.kind != RunKind.ROLLBACK.value,
            runs.c.publish_order < last,
            took,
        )
        return [run for run in self._connection.execute(query) if _ended(run, self._limits.history)]

    def _for_nothing(self, left: Collection[int]) -> Iterator[int]:
        """Runs that published nothing, but for the newest of each pipeline, and those that something else is of.

        The newest that found nothing new stays as well: it may be the pipeline's last success.
        """
        newest = {run.pipeline: run.run for run in self._runs}
        found_nothing = {run.pipeline: run.run for run in self._runs if run.status == RunStatus.UNCHANGED}
        needed = union(
            *(select(each).where(each.in_(self._of_target)) for each in (schema_versions.c.run, postings.c.run)),
            select(runs.c.reverses).where(runs.c.reverses.in_(self._of_target)),
        )
        held = set(self._connection.execute(needed).scalars())
        for run in self._runs:
            if (
                run.status in PUBLISHED_NOTHING
                and _ended(run, self._limits.history)
                and run.run not in left
                and run.run not in held
                and run.run not in (newest[run.pipeline], found_nothing.get(run.pipeline))
            ):
                yield run.run


def _ended(run: Row[*tuple[Any, ...]], before: datetime | None) -> bool:
    """Whether it ended before then. One that goes on, or waits for somebody, did not; before never none did."""
    if before is None or run.finished_at is None or run.status in WAITING:
        return False
    return bool(run.finished_at < before)

"""One load of one relation, in batches, each with the position from which the reading can go on.

    {"shape": of the columns, "chain": of all rows so far}         with each batch
    {"tide": the mark and what was seen near it}                   at the end

`chain` is a BLAKE2b hash over the rows as they came. Whoever goes on (another process after a kill, or this one after
its connection broke and with it the snapshot) reads from the first row on in a snapshot of its own, and passes over
those that were handed on before. If they are what they were, it goes on behind them: all rows of the load are as they
were at one moment, the last one. If not, the load starts over. So nothing rests on the order of a table without a key,
or on one that stands still.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from rowkeeper.batch import Batch, InputMode, Partition
from rowkeeper.errors import CursorUnfit, TableChanged, TableMissing
from rowkeeper.logs import logger
from rowkeeper.protocols import Columns
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.resilience.outcomes import Effect, Outcome
from rowkeeper.sources.database.described import Asked, Piece, Relation, Selection, Sizes, Snapshot, SnapshotLost
from rowkeeper.sources.database.increments import Increment, Mark, Recognising, digest_of
from rowkeeper.sources.database.telling import CLASSIFIER, is_of_driver
from rowkeeper.sources.file.reading import columns_to_keep

RESTARTS_MAX = 4  # without a row more than before
DIGEST_BYTES = 16

log = logger("run")


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """What is to be read.

    Attributes:
        opened: opens a snapshot.
        columns: what the contract expects; None takes all.
    """

    opened: Callable[[], Snapshot]
    asked: Asked
    increment: Increment | None
    columns: Columns | None
    partition: Partition
    sizes: Sizes
    start_row: int


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """What of a relation is read, and what the load after this one has to know.

    Attributes:
        mark: the highest value of the cursor; None for a table without rows, or a load of everything.
    """

    relation: Relation
    selection: Selection
    mark: str | None = None


def window_of(snapshot: Snapshot, relation: Relation, increment: Increment | None, known: Mark | None) -> Window:
    """What there is to read. Raises CursorUnfit, TableMissing."""
    if increment is None:
        return Window(relation, Selection(order=relation.key, keyed=relation.key_is_sure))
    if relation.column(increment.column) is None:
        raise TableMissing(
            f"{relation.name} has no column {increment.column}", hint="see to incremental=rk.sources.Increment(...)"
        )
    highest, has_nulls = snapshot.cursor_facts(relation, increment)
    if has_nulls:
        raise CursorUnfit(
            f"{increment.column} of {relation.name} is null in some row: a later run could not tell whether it is new",
            hint="declare it NOT NULL, or give a query that puts something in the place of null (coalesce)",
        )
    conditions: list[str] = []
    past = ""
    if known is not None:
        conditions.append(snapshot.at_least(relation, increment, known.value, less=True))
        past = snapshot.at_most(relation, increment, known.value)
        if highest is None or not snapshot.any(
            relation, snapshot.at_least(relation, increment, known.value, less=False)
        ):
            highest = known.value  # the newest rows went away: what comes next is newer than they were, all the same
    elif increment.start is not None:
        conditions.append(snapshot.at_least(relation, increment, snapshot.start(relation, increment), less=False))
    near = "" if highest is None else snapshot.at_least(relation, increment, highest, less=True)
    order = (increment.column, *(name for name in relation.key if name != increment.column))
    selection = Selection(
        order=order,
        keyed=relation.key_is_sure,
        conditions=tuple(conditions),
        flags=(past or "1 = 0", near or "1 = 0"),
    )
    return Window(relation, selection, highest)


class Reading:
    """The reading of one partition from a row on."""

    def __init__(self, task: Task) -> None:
        self._task = task
        position: Mapping[str, Any] = (task.partition.position if task.start_row else None) or {}
        self._done = task.start_row
        self._shape: str | None = position.get("shape")
        self._chain: str | None = position.get("chain")
        self._known = Mark.of(task.partition.detail.get("tide"))

    def batches(self) -> Iterator[Batch]:
        """The batches that are left; the last has no rows, and says what the next load has to know.

        Raises SourceError, SnapshotLost, and what drivers raise.
        """
        failures = 0
        while True:
            before = self._done
            try:
                yield from self._through()
                return
            except Exception as error:
                if not _is_lost(error):
                    raise
                failures = failures + 1 if self._done == before else 1
                if failures > RESTARTS_MAX:
                    raise
                log.warning("a snapshot was lost; reading again from the first row", operation=self._task.asked.name)

    def _through(self) -> Iterator[Batch]:
        task, target = self._task, self._done
        with contextlib.closing(task.opened()) as snapshot:
            relation = self._described(snapshot)
            window = window_of(snapshot, relation, task.increment, self._known)
            recognising = Recognising(self._known, relation.name)
            chain = hashlib.blake2b(digest_size=DIGEST_BYTES)
            row = 0
            pieces = snapshot.pieces(relation, window.selection, task.sizes)
            with contextlib.closing(pieces):  # type: ignore[type-var]
                for piece in pieces:
                    first, row = row, row + len(piece.rows)
                    skipped = min(max(target - first, 0), len(piece.rows))
                    chain.update(piece.raw(0, skipped))
                    if first < target <= row and chain.hexdigest() != self._chain:
                        raise self._changed()
                    is_new = _recognised(piece, window, recognising)
                    if skipped < len(piece.rows):
                        chain.update(piece.raw(skipped, len(piece.rows)))
                        self._done, self._chain = row, chain.hexdigest()
                        yield self._batch(piece, first, skipped, is_new)
            if row < target:
                raise self._changed()
            failpoint("database.before_end")
            yield self._end(row, window, recognising)

    def _described(self, snapshot: Snapshot) -> Relation:
        relation = snapshot.describe(self._task.asked)
        if self._task.columns is not None:
            names = [each.name for each in relation.columns]
            keep = set(columns_to_keep(relation.name, names, self._task.columns))
            columns = tuple(each for each in relation.columns if each.name in keep)
            relation = dataclasses.replace(relation, columns=columns)
        if self._shape is not None and self._shape != relation.shape:
            raise self._changed()
        self._shape = relation.shape
        return relation

    def _changed(self) -> TableChanged:
        return TableChanged(
            f"{self._task.asked.name} is not as it was when its first {self._task.start_row or self._done:,} rows were "
            "read",
            hint="run again: it starts over",
        )

    def _batch(self, piece: Piece, first: int, skipped: int, is_new: list[bool] | None) -> Batch:
        failpoint("database.before_batch")
        count = len(piece.rows)
        numbers: Any = pa.array(range(first + skipped, first + count), pa.uint64())
        table, duplicates = piece.table.slice(skipped), 0
        if is_new is not None:
            mask = pa.array(is_new[skipped:], pa.bool_())
            table, numbers = table.filter(mask), numbers.filter(mask)
            duplicates = count - skipped - table.num_rows
        return Batch(
            table=table,
            mode=InputMode.PYTHON,
            partition=self._task.partition.key,
            first_row=first + skipped,
            next_row=first + count,
            row_numbers=numbers,
            places=pa.array([number + 1 for number in numbers.to_pylist()], pa.uint64()),
            unit="row",
            duplicates=duplicates,
            position={"shape": self._shape, "chain": self._chain},
        )

    def _end(self, row: int, window: Window, recognising: Recognising) -> Batch:
        position: dict[str, Any] = {"shape": self._shape, "rows": row}
        if window.mark is not None:
            position["tide"] = Mark(window.mark, recognising.kept).document()
        empty: Any = pa.array([], pa.uint64())
        return Batch(
            table=pa.table({}),
            mode=InputMode.PYTHON,
            partition=self._task.partition.key,
            first_row=row,
            next_row=row,
            row_numbers=empty,
            places=empty,
            unit="row",
            position=position,
        )


def has_news(snapshot: Snapshot, relation: Relation, increment: Increment, known: Mark, sizes: Sizes) -> bool:
    """Whether there is a row that the load of this mark did not have. Raises CursorUnfit."""
    window = window_of(snapshot, relation, increment, known)
    recognising = Recognising(known, relation.name)
    pieces = snapshot.pieces(relation, window.selection, sizes)
    with contextlib.closing(pieces):  # type: ignore[type-var]
        return any(any(_recognised(piece, window, recognising) or ()) for piece in pieces)


def _recognised(piece: Piece, window: Window, recognising: Recognising) -> list[bool] | None:
    """For each row whether it is new; None where nothing can have been loaded before."""
    if not window.selection.flags:
        return None
    past, near = piece.flags
    by_key = bool(window.relation.key)
    is_new = []
    for at, (was_there, comes_again) in enumerate(zip(past, near, strict=True)):
        new = True
        if was_there or comes_again:
            identity = piece.order[at] if by_key and piece.order is not None else piece.raw(at, at + 1)
            digest = digest_of(identity)
            new = not was_there or recognising.is_new(digest)
            if comes_again:
                recognising.keep(digest)
        is_new.append(new)
    return is_new


def _is_lost(error: Exception) -> bool:
    """Whether another snapshot may do."""
    if isinstance(error, SnapshotLost):
        return True
    if not is_of_driver(error) and not isinstance(error, OSError):
        return False
    return CLASSIFIER.judge(error, Effect.READ).outcome in (Outcome.TRANSIENT, Outcome.THROTTLED)

"""One partition of an API: from page to page, in batches, each with the position from which the reading can go on.

    {"at": the state of the walk,    from the page that holds the next row (see `walking.py`)
     "row": its first row, "chain": of all before it,
     "upto": of all rows before the next one,
     "tide": the mark (see `increments.py`), "shape": ..., "changes": ..., "validators": ...}

`chain` is a BLAKE2b hash over all records so far, page by page. A process that goes on in the middle of a page asks for
that page again, and goes on only if its first records are those that were staged. Where the API does not know the page
any more (a token that ran out), all is read again from the first page, and passed over up to the same place: if what
was passed over is what was staged, the run goes on; if not it starts over.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from rowkeeper.batch import RAW_LINE, Batch, InputMode, Malformed, Partition
from rowkeeper.errors import ApiRefused, PagesChanged
from rowkeeper.logs import logger
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.sources.api.increments import Incremental, Tide
from rowkeeper.sources.api.shapes import Shapes
from rowkeeper.sources.api.walking import Ask, Page, State, Walk

BEGINNING = ""
VALIDATORS_MAX = 1_000
PAGES_PER_BATCH, BATCH_SECONDS = 20, 2.0
EXPIRED = frozenset({400, 404, 409, 410, 422})  # what APIs say of a page token that ran out

log = logger("run")


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """What is to be read.

    Attributes:
        walk: gives the walk for what the tide asks for.
        name: of the source, for people.
        conditional: validators of the pages are kept.
        keeps_last: the state after the last page is kept, for the next run to go on from.
    """

    name: str
    walk: Callable[[Tide | None], Walk]
    incremental: Incremental | None
    conditional: bool
    keeps_last: bool
    partition: Partition
    batch_rows: int
    batch_bytes: int
    start_row: int


class Reading:
    """The reading of one partition from a row on."""

    def __init__(self, task: Task, ask: Ask) -> None:
        self._task = task
        self._ask = ask
        detail, position = task.partition.detail, task.partition.position
        self._position = position if task.start_row else None
        known = detail.get("tide")
        if self._position is not None and self._position.get("tide"):
            known = self._position["tide"]
        self._tide = _tide(task.incremental, known, going_on=known is not detail.get("tide"))
        former = self._position or {}
        self._shapes = Shapes(detail.get("shape"), former.get("shape"), former.get("changes", ()))
        self._validators: list[list[Any]] | None = [*former.get("validators", [])] if task.conditional else None
        self._pending = _Pending(task.start_row)
        self._last: State | None = former.get("at") or former.get("last") or detail.get("last")

    def batches(self) -> Iterator[Batch]:
        """The batches that are left; the last has no rows, and says what the next run has to know.

        Raises SourceError.
        """
        position = self._position
        walk = self._task.walk(self._tide)
        if position is None:
            yield from self._through(walk.pages(self._ask, None), 0, BEGINNING, None)
        elif position["at"] is None:
            yield self._end(self._task.start_row)
        else:
            pages = walk.pages(self._ask, position["at"])
            try:
                first = next(pages, None)
            except ApiRefused as error:
                if error.context.get("status") not in EXPIRED or not position["row"]:
                    raise
                log.warning("the page is not known any more; reading again from the first", operation=self._task.name)
                self._validators = None if self._validators is None else []
                yield from self._through(walk.pages(self._ask, None), 0, BEGINNING, position)
                return
            in_midst = position if position["row"] < self._task.start_row else None
            yield from self._through(_chained(first, pages), position["row"], position["chain"], in_midst)

    def _through(
        self, pages: Iterator[Page], row: int, chain: str, resumed: Mapping[str, Any] | None
    ) -> Iterator[Batch]:
        start = self._task.start_row
        for page in pages:
            first, before = row, chain
            row, chain = row + len(page.records), linked(before, page.records)
            skipped = min(max(start - first, 0), len(page.records))
            if resumed is not None and first <= start <= row:
                self._check_same(linked(before, page.records[:skipped]) if skipped else before, resumed)
                resumed = None
            self._note(page, first)
            self._last = page.after or self._last
            at = first + skipped
            while at < row:
                taken = page.records[at - first : at - first + self._pending.room(self._task)]
                self._take(taken, at, page)
                at += len(taken)
                if at < row and self._pending.is_full(self._task):
                    upto = linked(before, page.records[: at - first])
                    yield self._flush(at, {"at": dict(page.before), "row": first, "chain": before, "upto": upto})
            self._pending.pages += 1
            if self._pending.is_full(self._task) or self._pending.is_due:
                after = None if page.after is None else dict(page.after)
                yield self._flush(row, {"at": after, "row": row, "chain": chain, "upto": chain})
        if resumed is not None:
            raise self._changed()
        if self._pending.next_row > self._pending.first_row:
            yield self._flush(row, {"at": None, "row": row, "chain": chain, "upto": chain})
        failpoint("api.before_end")
        yield self._end(row)

    def _check_same(self, chain: str, resumed: Mapping[str, Any]) -> None:
        if chain != resumed["upto"]:
            raise self._changed()

    def _changed(self) -> PagesChanged:
        return PagesChanged(
            f"{self._task.name} gives other records now than those that were staged before the run stopped",
            hint="run again: it starts over",
        )

    def _note(self, page: Page, row: int) -> None:
        """What is kept of a page besides its records."""
        for change in self._shapes.look(page.records, row):
            log.warning("the records of an API have changed", field=change["field"], row=row, operation=self._task.name)
        if self._validators is not None:
            found = page.answer.validators
            known = len(self._validators) < VALIDATORS_MAX and found is not None
            if not known:
                self._validators = None  # of a page that cannot be told to be the same nobody knows whether it is
            else:
                assert found is not None
                asked = page.answer.request.document()
                if self._validators and self._validators[-1][0] == asked:
                    del self._validators[-1]  # the page in whose midst the run stopped
                self._validators.append([asked, *found])

    def _take(self, records: Sequence[bytes], row: int, page: Page) -> None:
        if self._tide is None:
            self._pending.add(records, row)
            return
        place = page.answer.request.place
        for number, record in enumerate(records, row):
            is_new = self._tide.takes(record, place)
            if is_new is None:
                self._pending.malformed.append(_without_cursor(record, number, self._task.incremental))
            elif is_new:
                self._pending.add([record], number)
            else:
                self._pending.duplicates += 1
        self._pending.next_row = row + len(records)

    def _flush(self, row: int, position: Mapping[str, Any]) -> Batch:
        failpoint("api.before_batch")
        batch = self._pending.batch(self._task.partition.key, row, {**position, **self._kept()})
        self._pending = _Pending(row)
        return batch

    def _end(self, task_row: int) -> Batch:
        position = {"at": None, "row": task_row, "chain": "", "upto": "", **self._kept()}
        return _Pending(task_row).batch(self._task.partition.key, task_row, position)

    def _kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = {"shape": self._shapes.document(adds=self._task.incremental is not None)}
        if self._shapes.changes:
            kept["changes"] = self._shapes.changes
        if self._tide is not None:
            kept["tide"] = self._tide.document(self._task.name) or self._task.partition.detail.get("tide")
        if self._validators is not None:
            kept["validators"] = self._validators
        if self._task.keeps_last:
            kept["last"] = self._last
        return kept


@dataclasses.dataclass
class _Pending:
    """Rows on their way into a batch."""

    first_row: int
    next_row: int = -1
    records: list[bytes] = dataclasses.field(default_factory=list)
    numbers: list[int] = dataclasses.field(default_factory=list)
    malformed: list[Malformed] = dataclasses.field(default_factory=list)
    duplicates: int = 0
    size_bytes: int = 0
    pages: int = 0
    since: float = dataclasses.field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.next_row = self.first_row

    def add(self, records: Sequence[bytes], row: int) -> None:
        self.records.extend(records)
        self.numbers.extend(range(row, row + len(records)))
        self.size_bytes += sum(map(len, records))
        self.next_row = row + len(records)

    def room(self, task: Task) -> int:
        """How many more records are taken at a time: what fits by number; large ones one by one."""
        rows = max(1, task.batch_rows - (self.next_row - self.first_row))
        mean = self.size_bytes // max(1, len(self.records)) or 1
        return max(1, min(rows, (task.batch_bytes - self.size_bytes) // mean if self.records else rows))

    def is_full(self, task: Task) -> bool:
        return self.next_row - self.first_row >= task.batch_rows or self.size_bytes >= task.batch_bytes

    @property
    def is_due(self) -> bool:
        """Whether so much was asked for that it would be a pity to ask for it again: pages come slowly."""
        late = self.pages >= PAGES_PER_BATCH or time.monotonic() - self.since >= BATCH_SECONDS
        return late and self.next_row > self.first_row

    def batch(self, key: str, row: int, position: Mapping[str, Any]) -> Batch:
        numbers: Any = pa.array(self.numbers, pa.uint64())
        places: Any = pa.array([number + 1 for number in self.numbers], pa.uint64())
        return Batch(
            table=pa.table({RAW_LINE: pa.array(self.records, pa.large_binary())}),
            mode=InputMode.JSON,
            partition=key,
            first_row=self.first_row,
            next_row=row,
            row_numbers=numbers,
            places=places,
            malformed=tuple(self.malformed),
            unit="record",
            duplicates=self.duplicates,
            position=position,
        )


def linked(chain: str, records: Sequence[bytes]) -> str:
    """The hash of all records so far, with these added; the same if there are none."""
    if not records:
        return chain
    return hashlib.blake2b(chain.encode() + b"\n" + b"\n".join(records), digest_size=16).hexdigest()


def _chained(first: Page | None, rest: Iterator[Page]) -> Iterator[Page]:
    if first is not None:
        yield first
        yield from rest


def _tide(declared: Incremental | None, known: Mapping[str, Any] | None, *, going_on: bool) -> Tide | None:
    return None if declared is None else Tide(declared, known, going_on=going_on)


def _without_cursor(record: bytes, row: int, declared: Incremental | None) -> Malformed:
    assert declared is not None
    return Malformed(
        row=row,
        place=f"record {row + 1}",
        type="api_cursor_missing",
        message=f"the record has no {declared.field} by which a later run could tell whether it is new",
        text=record,
    )

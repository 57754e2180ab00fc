"""Messages become batches: each with the mark from which the reading can go on, kept in the ledger with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from rowkeeper.batch import RAW_LINE, Batch, InputMode, Malformed, Partition
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.sources.stream.decoding import Decoder, Unreadable, record_of
from rowkeeper.sources.stream.tapping import Mark, Message, Pace, Tap

CHUNK_MAX = 10_000


@dataclasses.dataclass
class Pending:
    """Messages on their way into a batch."""

    first_row: int
    next_row: int
    records: list[bytes] = dataclasses.field(default_factory=list)
    numbers: list[int] = dataclasses.field(default_factory=list)
    places: list[str] = dataclasses.field(default_factory=list)
    malformed: list[Malformed] = dataclasses.field(default_factory=list)
    size_bytes: int = 0


@dataclasses.dataclass(frozen=True)
class Reading:
    """The reading of one partition of a run.

    Args:
        rows_max: so many messages in all, those that were staged before the run stopped included.
    """

    tap: Tap
    decoder: Decoder
    told: Mapping[str, str]
    partition: Partition
    rows_max: int
    batch_rows: int
    batch_bytes: int

    def batches(self, start_row: int) -> Iterator[Batch]:
        """What is left of it from a row on; the last batch has no rows, and says how far it was read."""
        detail = self.partition.detail
        position = self.partition.position if start_row else None
        mark = Mark(*detail["begin"]) if position is None else Mark(*position["at"])
        pending = Pending(start_row, start_row)
        if start_row < self.rows_max:
            pace = Pace(max(1, min(CHUNK_MAX, self.batch_rows)), self.batch_bytes)
            for found in self.tap.read(detail["partition"], mark, detail["upto"], pace):
                pace.took(found.messages)
                for count, message in enumerate(found.messages, 1):
                    self._take(message, pending)
                    is_over = pending.next_row >= self.rows_max
                    if not is_over and not self._is_full(pending):
                        continue
                    is_last = count == len(found.messages)
                    here = found.after if is_last else Mark(message.place, mark.number + count)
                    yield from self._flush(pending, here)
                    pending = Pending(pending.next_row, pending.next_row)
                    if is_over:
                        yield self._end(pending.next_row, here)
                        return
                mark = found.after
            yield from self._flush(pending, mark)
        yield self._end(pending.next_row, mark)

    def _take(self, message: Message, pending: Pending) -> None:
        row, pending.next_row = pending.next_row, pending.next_row + 1
        if message.value is None:
            key = b"" if message.key is None else message.key
            pending.malformed.append(self._bad(row, message, "stream_tombstone", "the message has no value", key))
            return
        try:
            record = record_of(message, self.decoder, self.told, self.partition.detail["partition"])
        except Unreadable as error:
            what = f"the message is not what it is decoded as ({error.kind})"
            pending.malformed.append(self._bad(row, message, "stream_undecodable", what, message.value))
            pending.size_bytes += len(message.value)
            return
        pending.records.append(record)
        pending.numbers.append(row)
        pending.places.append(self._place(message))
        pending.size_bytes += len(record)

    def _bad(self, row: int, message: Message, kind: str, what: str, text: bytes) -> Malformed:
        return Malformed(row=row, place=self._place(message), type=kind, message=what, text=text)

    def _place(self, message: Message) -> str:
        return f"{self.partition.detail['partition']} at {message.place}"

    def _is_full(self, pending: Pending) -> bool:
        return pending.next_row - pending.first_row >= self.batch_rows or pending.size_bytes >= self.batch_bytes

    def _flush(self, pending: Pending, mark: Mark) -> Iterator[Batch]:
        if pending.next_row == pending.first_row:
            return
        failpoint("stream.before_batch")
        numbers: Any = pa.array(pending.numbers, pa.uint64())
        places: Any = pa.array(pending.places, pa.string())
        yield Batch(
            table=pa.table({RAW_LINE: pa.array(pending.records, pa.large_binary())}),
            mode=InputMode.JSON,
            partition=self.partition.key,
            first_row=pending.first_row,
            next_row=pending.next_row,
            row_numbers=numbers,
            places=places,
            malformed=tuple(pending.malformed),
            position={"at": [mark.at, mark.number]},
        )

    def _end(self, row: int, mark: Mark) -> Batch:
        failpoint("stream.before_end")
        none: Any = pa.array([], pa.uint64())
        nowhere: Any = pa.array([], pa.string())
        return Batch(
            table=pa.table({RAW_LINE: pa.array([], pa.large_binary())}),
            mode=InputMode.JSON,
            partition=self.partition.key,
            first_row=row,
            next_row=row,
            row_numbers=none,
            places=nowhere,
            position={"at": [mark.at, mark.number]},
        )

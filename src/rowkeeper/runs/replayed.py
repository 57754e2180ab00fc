"""Quarantined rows as a source: those of a run that were not replayed yet, each file of them a partition.

Being partitions they are loaded exactly once, by the same rule as files are. A partition stands for the rows of one
quarantine file that `detail["rows"]` names (`[first, next]` pairs of their numbers in the file, from 0), or for all of
them. Its key is another for other rows: what the ledger holds as loaded says of each row whether it was replayed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import pyarrow as pa

from rowkeeper.batch import BATCH_BYTES, Batch, InputMode, Malformed, Partition
from rowkeeper.errors import BooksDiffer
from rowkeeper.ledger import BatchRecord, LoadedPartition
from rowkeeper.protocols import Columns, Guarantee, Plan, Site
from rowkeeper.runs.rejects import ERRORS, MODE_KEY, OWN, PLACE, REPLAYED, TEXT, clear_rejects, open_rejects
from rowkeeper.security.keysets import Keysets
from rowkeeper.security.sealing import Seal

Range = tuple[int, int]
"""Numbers of rows: the first, and the one after the last."""


def ranges_of(numbers: Iterable[int]) -> list[Range]:
    """The ranges that these ascending numbers fill."""
    found: list[Range] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found


def numbers_of(ranges: Iterable[Range]) -> Iterator[int]:
    """The numbers in these ranges."""
    for first, after in ranges:
        yield from range(first, after)


def key_of(run: int, record: BatchRecord) -> str:
    """How the key of each partition of rows of this quarantine file begins."""
    return f"{REPLAYED}{run}:{record.quarantine_file}"


def replayed_rows(run: int, record: BatchRecord, loaded: Mapping[str, Partition]) -> bytearray:
    """For each row of a quarantine file 1 if it was replayed, else 0."""
    marks = bytearray(record.quarantined)
    for key, partition in loaded.items():
        if key.startswith(f"{REPLAYED}{run}:") and partition.detail.get("file") == record.quarantine_file:
            for first, after in partition.detail.get("rows", [[0, record.quarantined]]):
                marks[first:after] = b"\1" * (after - first)
    return marks


def replays_of(loaded: Mapping[str, LoadedPartition], run: int, ordinal: int) -> Iterator[tuple[int, int]]:
    """(run, partition ordinal) of all that was replayed from a partition's quarantine, and from that of its replays."""
    for key, each in loaded.items():
        same = each.partition.detail.get("ordinal") == ordinal and key.startswith(f"{REPLAYED}{run}:")
        if same or key.startswith(f"{REPLAYED}{run}:{run}/{ordinal}-"):
            yield each.run, each.ordinal
            yield from replays_of(loaded, each.run, each.ordinal)


@dataclasses.dataclass(frozen=True, slots=True)
class QuarantineSource:
    """The rejected rows of a run, as they were read.

    Attributes:
        mode: in which they were read.
    """

    run: int
    records: tuple[BatchRecord, ...]
    mode: InputMode
    seal: Seal
    keysets: Keysets
    guarantee = Guarantee.EXACTLY_ONCE

    def describe(self) -> Mapping[str, Any]:
        """The run whose quarantine it is."""
        return {"kind": "quarantine", "run": self.run}

    def at(self, site: Site) -> Self:
        """Itself: its files are here, and nobody has to be asked for them."""
        del site
        return self

    def plan(self, loaded: Mapping[str, Partition], *, whole: bool) -> Plan:
        """Every row that was not replayed yet."""
        del whole  # a replay only ever adds rows
        offered = [each for record in self.records if (each := self._left_of(record, loaded)) is not None]
        replayed = [each for key, each in loaded.items() if key.startswith(f"{REPLAYED}{self.run}:")]
        return Plan(load=tuple(offered), unchanged=tuple(replayed))

    def _left_of(self, record: BatchRecord, loaded: Mapping[str, Partition]) -> Partition | None:
        marks = replayed_rows(self.run, record, loaded)
        left = ranges_of(number for number, mark in enumerate(marks) if not mark)
        if not left:
            return None
        key, identity = key_of(self.run, record), f"sha256:{record.quarantine_sha256}"
        detail: dict[str, Any] = {"file": record.quarantine_file, "ordinal": record.partition_ordinal}
        if left != [(0, record.quarantined)]:
            rows = hashlib.sha256(json.dumps(left).encode()).hexdigest()
            key, identity, detail["rows"] = f"{key}:rest-{rows[:16]}", f"{identity}-{rows}", left
        return Partition(key=key, identity=identity, detail=detail)

    def read(
        self, partition: Partition, *, start_row: int, batch_rows: int, columns: Columns, batch_bytes: int = BATCH_BYTES
    ) -> Iterator[Batch]:
        """One batch per `batch_rows` rejected rows; rows that could not be read once cannot be read now."""
        del columns  # the source that read them first has seen to columns
        del batch_bytes  # a file holds what one batch rejected, and was within it
        table = clear_rejects(self.seal, str(partition.detail["file"]), self.keysets)
        if "rows" in partition.detail:
            table = table.take(pa.array(numbers_of(partition.detail["rows"]), pa.int64()))
        if (table.schema.metadata or {}).get(MODE_KEY) != self.mode.value.encode():
            readable: pa.Array[Any] = pa.array([False] * table.num_rows)
        else:
            readable = table[TEXT].is_null().combine_chunks()
        for first in range(start_row, table.num_rows, batch_rows):
            part, mask = table.slice(first, batch_rows), readable.slice(first, batch_rows)
            yield _batch_of(part, mask, partition.key, self.mode, first)


def _batch_of(part: pa.Table, readable: pa.Array[Any], key: str, mode: InputMode, first: int) -> Batch:
    numbers = range(first, first + part.num_rows)
    numbered = pa.array(numbers, pa.uint64())
    rows = part.filter(readable)
    return Batch(
        table=rows.drop_columns([name for name in OWN if name in rows.column_names]),
        mode=mode,
        partition=key,
        first_row=first,
        next_row=first + part.num_rows,
        row_numbers=numbered.filter(readable),
        places=rows[PLACE].combine_chunks(),
        malformed=tuple(
            Malformed(
                row=number,
                place=row[PLACE],
                type=json.loads(row[ERRORS])[0]["type"],
                message=json.loads(row[ERRORS])[0]["msg"],
                text=row[TEXT],
            )
            for number, row, fine in zip(numbers, part.to_pylist(), readable.to_pylist(), strict=True)
            if not fine
        ),
    )


def check_seals(records: Sequence[BatchRecord], seal: Seal) -> None:
    """Opens every quarantine file of a run. Raises IntegrityError at the first that is not what was sealed."""
    for record in records:
        assert record.quarantine_file is not None
        if open_rejects(seal, record.quarantine_file).num_rows != record.quarantined:
            raise BooksDiffer(
                f"{record.quarantine_file} holds another number of rows than the ledger says",
                hint="restore it from a backup",
            )


def quarantine_mode(records: Sequence[BatchRecord], seal: Seal) -> InputMode | None:
    """The input mode in which the rejected rows of a run were read; None if none of them could be read as a row."""
    for record in records:
        assert record.quarantine_file is not None
        table = open_rejects(seal, record.quarantine_file)
        if any(name not in OWN for name in table.column_names):
            return InputMode((table.schema.metadata or {})[MODE_KEY].decode())
    return None

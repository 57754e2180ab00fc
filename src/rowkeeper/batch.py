"""What flows: a batch of rows on its way from a source to a destination, and what becomes of it.

Everything here is a frozen value. Rows have an address that never changes on the way:

    row id = partition ordinal in the run << 40 | row number in the partition (from 0)

so that a stored row leads back to its file and line, and a run that died knows what it had staged.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any, Self, overload

import pyarrow as pa
import pyarrow.compute as pc

ROW_ID = "_rk_row"  # uint64; the row's address, carried by every accepted table from the check on
RAW_LINE = "_rk_line"  # large_binary; the one column of a batch in JSON mode: a document per row
ROW_BITS = 40
BATCH_BYTES = 64 << 20  # of a batch, where memory is no matter
ROWS_PER_PARTITION_MAX = 1 << ROW_BITS


class InputMode(enum.StrEnum):
    """How Pydantic is to take the raw values; fixed per source."""

    PYTHON = "python"  # typed values: `model_validate`
    STRINGS = "strings"  # text and None, as in CSV: `model_validate` in lax mode on strings
    JSON = "json"  # a JSON document per row, null and absent kept apart: `model_validate_json`


@dataclasses.dataclass(frozen=True, slots=True)
class Partition:
    """A part of a source that is loaded as a whole and remembered by its identity.

    Attributes:
        key: stable name within the pipeline (a file's path, a key range, a topic partition).
        identity: what its content is known by (size and hash, etag, offsets); equal means unchanged.
        size_bytes: for progress and planning; None where unknown.
        detail: what the source needs to read it again; JSON values only, kept in the ledger.
        position: how far it was read, in the source's own words, as its last batch said it (`Batch.position`); the
            ledger's to set, and no part of what is compared.
    """

    key: str
    identity: str
    size_bytes: int | None = None
    detail: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    position: Mapping[str, Any] | None = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Malformed:
    """A row that the source itself could not read as one: it goes to quarantine as it stands.

    Attributes:
        row: its number in the partition, from 0.
        place: where a person finds it, such as "line 17".
        type: a stable word for the fault, in the manner of Pydantic's error types ("csv_too_many_fields").
        message: what is wrong with it, without its content.
        text: the row as it stands in the source.
    """

    row: int
    place: str
    type: str
    message: str
    text: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Rows as the source gives them.

    Attributes:
        table: the rows; in JSON mode one column `RAW_LINE`.
        mode: how the contract is to read the values.
        partition: key of the partition they come from.
        first_row: number in the partition of the first row that this batch accounts for, from 0.
        next_row: where the following batch begins; `next_row - first_row` rows were read.
        row_numbers: uint64 array, number in the partition of each row of `table`.
        places: where a person finds each row of `table`: uint64 array of numbers in `unit`s from 1, or a string array.
        malformed: the rows that could not be read as rows.
        unit: what `places` counts, such as "line"; empty where they are text.
        duplicates: rows that were read and that the source knows to be loaded already: they are counted, and go no
            further.
        position: how far the partition was read with this batch, for sources that cannot tell it from the row's number;
            JSON values only. Kept in the ledger in the transaction that notes the batch, handed back as
            `Partition.position`. A batch without rows says nothing else: it can only be the last.
    """

    table: pa.Table
    mode: InputMode
    partition: str
    first_row: int
    next_row: int
    row_numbers: pa.Array[Any]
    places: pa.Array[Any]
    malformed: tuple[Malformed, ...] = ()
    unit: str = ""
    duplicates: int = 0
    position: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        assert len(self.row_numbers) == len(self.places) == self.table.num_rows
        accounted = self.table.num_rows + len(self.malformed) + self.duplicates
        assert self.rows_read == accounted, "a row is missing from its batch"

    @property
    def rows_read(self) -> int:
        """How many rows of the source this batch stands for."""
        return self.next_row - self.first_row

    def places_of(self, positions: pa.Array[Any]) -> list[str]:
        """Where a person finds the rows at these positions of `table`: "line 17"."""
        found: list[Any] = self.places.take(positions).to_pylist()
        return [f"{self.unit} {each}" for each in found] if self.unit else found


@dataclasses.dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that the contract refused.

    Attributes:
        index: its position in the batch's table.
        text: its errors as JSON. A batch may have a hundred thousand of them: as lists of dicts they would keep
            Python's garbage collector busier than the check is.
    """

    index: int
    text: str

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Pydantic's own error list (`ValidationError.errors(include_url=False)`), JSON-safe."""
        found: list[dict[str, Any]] = json.loads(self.text)
        return found


class RejectedRows(Sequence[RejectedRow]):
    """Rejected rows in the order of the batch, made when they are asked for.

    Args:
        positions: in the batch's table, ascending.
        texts: of each the errors as JSON.
    """

    def __init__(self, positions: list[int], texts: list[str]) -> None:
        self.positions = positions
        self.texts = texts

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, place: int) -> RejectedRow: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[RejectedRow, ...]: ...
    def __getitem__(self, place: int | slice) -> RejectedRow | tuple[RejectedRow, ...]:
        if isinstance(place, slice):
            return tuple(map(RejectedRow, self.positions[place], self.texts[place]))
        return RejectedRow(self.positions[place], self.texts[place])


@dataclasses.dataclass(frozen=True, slots=True)
class RuleCount:
    """For how many rows a business rule held, did not hold, and could not be told."""

    valid: int = 0
    invalid: int = 0
    unknown: int = 0

    def __add__(self, other: Self) -> Self:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return type(self)(*(a + b for a, b in pairs))


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What the contract says of a batch; every row is in exactly one of the two.

    Attributes:
        accepted: table in the contract's Arrow schema, the values that `model_validate` would hold.
        accepted_index: uint64 array, position in the batch's table of each accepted row.
        rejected: the others, in the order of the batch.
        by_pydantic: how many rows the columns could not decide, so that Pydantic was asked.
        rules: what each business rule said of the rows that the model accepted.
    """

    accepted: pa.Table
    accepted_index: pa.Array[Any]
    rejected: RejectedRows
    by_pydantic: int
    rules: Mapping[str, RuleCount] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """Where every row that was read has gone. A published account balances."""

    read: int = 0
    committed: int = 0
    quarantined: int = 0
    duplicate: int = 0
    filtered: int = 0

    def __add__(self, other: Self) -> Self:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return type(self)(*(a + b for a, b in pairs))

    @property
    def balanced(self) -> bool:
        """Whether read = committed + quarantined + duplicate + filtered."""
        return self.read == self.committed + self.quarantined + self.duplicate + self.filtered

    def as_dict(self) -> dict[str, int]:
        """The five lines by name, in the order of the equation."""
        return {line: getattr(self, line) for line in self.__slots__}  # `asdict` copies deeply: ten times as slow


@dataclasses.dataclass(frozen=True, slots=True)
class Fingerprint:
    """An order-independent hash of rows: their number and the sum of their 64-bit hashes modulo 2^64.

    Sums of fingerprints are fingerprints, so a table's is the sum of its runs', and taking rows away
    is subtraction. The hash of one row is the destination's (for ClickHouse, `cityHash64` over the tuple
    of its contract columns). It finds accidents, not an attacker who can choose rows.
    """

    rows: int = 0
    hash_sum: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(self.rows + other.rows, (self.hash_sum + other.hash_sum) % 2**64)

    def __neg__(self) -> Self:
        return type(self)(-self.rows, -self.hash_sum % 2**64)

    def __str__(self) -> str:
        return f"rk1-{self.rows}-{self.hash_sum:016x}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str`; raises ValueError for anything else."""
        kind, rows, hash_sum = text.rsplit("-", 2)
        if kind != "rk1":
            raise ValueError(f"not a fingerprint: {kind}")
        return cls(int(rows), int(hash_sum, 16))


def row_ids(partition_ordinal: int, row_numbers: pa.Array[Any]) -> pa.Array[Any]:
    """The addresses (uint64 array) of the rows with these numbers in the run's n-th partition."""
    base = pa.scalar(partition_ordinal << ROW_BITS, pa.uint64())
    return pc.add(row_numbers.cast(pa.uint64()), base)


def partition_ordinal(row_id: int) -> int:
    """The ordinal of the partition that a row's address points to."""
    return row_id >> ROW_BITS


def row_number(row_id: int) -> int:
    """The number in its partition, from 0, that a row's address points to."""
    return row_id & (ROWS_PER_PARTITION_MAX - 1)

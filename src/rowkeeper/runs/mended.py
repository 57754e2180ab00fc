"""Quarantined rows that a person mended, as a source: `rowkeeper quarantine replay RUN --from FILE`.

The file is what `quarantine export` wrote, edited: a JSON object per line, of which `_rk_row` says which row it is and
`row` what the row is now. Everything about it is checked before a run begins. In a run each quarantine file that it has
rows of is a partition, known by the content of those rows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Self

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.batch import BATCH_BYTES, RAW_LINE, ROW_ID, Batch, InputMode, Partition
from rowkeeper.errors import MendedUnfit, RevealFailed, SourceChanged, SourceMissing
from rowkeeper.ledger import BatchRecord
from rowkeeper.nearest import did_you_mean
from rowkeeper.protocols import Columns, Guarantee, Plan, Site
from rowkeeper.runs.jsonvalues import REFUSALS, from_json, natural
from rowkeeper.runs.rejects import OWN, PLACE, open_rejects
from rowkeeper.runs.replayed import key_of, ranges_of, replayed_rows
from rowkeeper.runs.tokens import Tokens
from rowkeeper.security.keysets import Keysets
from rowkeeper.security.sealing import Seal

DIGEST_BYTES = 16
CHECKED_ROWS = 8_192
LINES_TOLD = 3
NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
EXPORT = "rowkeeper quarantine export RUN --to FILE writes such a file"


class _Line(msgspec.Struct):
    """What counts in a line; whatever else stands there is for people."""

    address: int = msgspec.field(name=ROW_ID)
    row: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


@dataclasses.dataclass(frozen=True, slots=True)
class _Index:
    """Where each row of the file is, by position among its rows; nothing of what is in them.

    Attributes:
        starts, lengths: of the line, in bytes.
        numbers: of the line, from 1.
    """

    path: Path
    starts: array[int]
    lengths: array[int]
    numbers: array[int]
    addresses: array[int]
    digests: bytearray

    def digest(self, position: int) -> bytes:
        return bytes(self.digests[position * DIGEST_BYTES : (position + 1) * DIGEST_BYTES])

    def rows(self, file: IO[bytes], positions: Sequence[int]) -> list[bytes]:
        """The rows at these positions, as JSON. Raises SourceChanged if one is another than when it was checked."""
        found = []
        for position in positions:
            file.seek(self.starts[position])
            try:
                row = _row_of(file.read(self.lengths[position]))
            except NOT_JSON:
                row = b""
            if _digest(row) != self.digest(position):
                raise SourceChanged(f"{self.path} changed while it was read", hint="let its writer finish, run again")
            found.append(row)
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one quarantine file.

    Attributes:
        numbers: in the quarantine file, ascending.
        positions: of each in the index.
    """

    record: BatchRecord
    numbers: list[int]
    positions: list[int]


class MendedSource:
    """The rows of a file of mended rows.

    Args:
        known: names under which the contract looks for values.

    Raises:
        SourceMissing: the file cannot be read.
        MendedUnfit: a line of it is no mended row, or none of this run's quarantine.
    """

    guarantee = Guarantee.EXACTLY_ONCE

    def __init__(
        self,
        path: Path,
        run: int,
        records: Sequence[BatchRecord],
        *,
        mode: InputMode,
        seal: Seal,
        keysets: Keysets,
        known: frozenset[str],
    ) -> None:
        self.run = run
        self.mode = mode
        self._path = path
        self._seal = seal
        self._keysets = keysets
        self._known = known
        self._index = _indexed(path)
        self._parts = {}
        for part in self._matched(records):
            partition = self._partition(part)
            self._parts[partition.key] = partition, part
        for key in self._parts:
            for _ in self._batches(key, 0, CHECKED_ROWS, BATCH_BYTES):
                pass  # every row can be read as one

    def describe(self) -> Mapping[str, Any]:
        """The run whose quarantine it is, and where the mended rows are."""
        return {"kind": "quarantine", "run": self.run, "mended": str(self._path)}

    def at(self, site: Site) -> Self:
        """Itself: its files are here, and nobody has to be asked for them."""
        del site
        return self

    def plan(self, loaded: Mapping[str, Partition], *, whole: bool) -> Plan:
        """All rows of the file; or none if it is a file that was replayed before. Raises MendedUnfit if some were."""
        del whole  # a replay only ever adds rows
        offered = tuple(partition for partition, _ in self._parts.values())
        if all(each.key in loaded for each in offered):
            return Plan(unchanged=offered)
        before = [
            position
            for _, part in self._parts.values()
            for marks in [replayed_rows(self.run, part.record, loaded)]
            for number, position in zip(part.numbers, part.positions, strict=True)
            if marks[number]
        ]
        if before:
            raise MendedUnfit(
                f"{_rows(len(before))} of {self._path} were replayed before ({self._lines(before)})",
                hint="take those lines out: quarantine export leaves out what was replayed",
            )
        return Plan(load=offered)

    def read(
        self, partition: Partition, *, start_row: int, batch_rows: int, columns: Columns, batch_bytes: int = BATCH_BYTES
    ) -> Iterator[Batch]:
        """The mended rows in the order of their addresses. Raises SourceChanged if the file is no longer the same."""
        del columns  # looked at when the file was checked
        yield from self._batches(partition.key, start_row, batch_rows, batch_bytes)

    # ------------------------------------------------------------------ which rows they are

    def _matched(self, records: Sequence[BatchRecord]) -> Iterator[_Part]:
        """The rows by quarantine file. Raises MendedUnfit if one is in none of them, or is there twice."""
        addresses = _as_arrow(self._index.addresses)
        found = bytearray(len(addresses))
        for record in records:
            table = open_rejects(self._seal, str(record.quarantine_file)).select([ROW_ID])
            numbers: Any = pc.index_in(addresses, value_set=table[ROW_ID].combine_chunks())
            positions: Any = pc.indices_nonzero(numbers.is_valid())
            pairs = sorted(zip(numbers.drop_null().to_pylist(), positions.to_pylist(), strict=True))
            self._refuse_twice(pairs)
            for _, position in pairs:
                found[position] = 1
            if pairs:
                yield _Part(record, [number for number, _ in pairs], [position for _, position in pairs])
        strange = [position for position, mark in enumerate(found) if not mark]
        if strange:
            raise MendedUnfit(
                f"{_rows(len(strange))} of {self._path} are not in the quarantine of run {self.run} "
                f"({self._lines(strange)})",
                hint=f"{ROW_ID} must be as it was exported; what a file rejected that was loaded anew since, is in the "
                "quarantine of that run",
            )

    def _refuse_twice(self, pairs: Sequence[tuple[int, int]]) -> None:
        for (number, position), (next_number, next_position) in pairwise(pairs):
            if number == next_number:
                raise MendedUnfit(
                    f"{self._lines([position, next_position])} of {self._path} are the same row",
                    hint="leave one of them: each row is replayed once",
                )

    def _partition(self, part: _Part) -> Partition:
        content = hashlib.sha256()
        for number, position in zip(part.numbers, part.positions, strict=True):
            content.update(number.to_bytes(8) + self._index.digest(position))
        return Partition(
            key=f"{key_of(self.run, part.record)}:mended-{content.hexdigest()[:16]}",
            identity=f"sha256:{content.hexdigest()}",
            detail={
                "file": part.record.quarantine_file,
                "ordinal": part.record.partition_ordinal,
                "rows": ranges_of(part.numbers),
            },
        )

    def _lines(self, positions: Sequence[int]) -> str:
        told = sorted(self._index.numbers[each] for each in positions)
        more = ", ..." if len(told) > LINES_TOLD else ""
        return f"line{'' if len(told) == 1 else 's'} {', '.join(map(str, told[:LINES_TOLD]))}{more}"

    # ------------------------------------------------------------------ what is in them

    def _batches(self, key: str, start_row: int, batch_rows: int, batch_bytes: int) -> Iterator[Batch]:
        _, part = self._parts[key]
        sealed = open_rejects(self._seal, str(part.record.quarantine_file))
        tokens = Tokens.of(sealed, self._keysets)
        own = {} if tokens is None else {field.name: field for field in tokens.cells.types}
        schema = pa.schema([own.get(field.name, field) for field in sealed.schema if field.name not in OWN])
        places = sealed[PLACE].take(pa.array(part.numbers, pa.int64())).combine_chunks()
        del sealed
        with self._path.open("rb") as file:
            for first, after in self._cuts(part.positions, start_row, batch_rows, batch_bytes):
                positions = part.positions[first:after]
                yield Batch(
                    table=self._table(self._index.rows(file, positions), positions, schema, tokens),
                    mode=self.mode,
                    partition=key,
                    first_row=first,
                    next_row=after,
                    row_numbers=pa.array(range(first, after), pa.uint64()),
                    places=places.slice(first, after - first),
                )

    def _cuts(
        self, positions: Sequence[int], start_row: int, rows_max: int, bytes_max: int
    ) -> Iterator[tuple[int, int]]:
        """Where batches begin and end, so that none is larger than both limits, save for one row."""
        first, size = start_row, 0
        for at in range(start_row, len(positions)):
            length = self._index.lengths[positions[at]]
            if at > first and (at - first == rows_max or size + length > bytes_max):
                yield first, at
                first, size = at, 0
            size += length
        if first < len(positions):
            yield first, len(positions)

    def _table(
        self, rows: Sequence[bytes], positions: Sequence[int], schema: pa.Schema, tokens: Tokens | None
    ) -> pa.Table:
        if self.mode is InputMode.JSON:
            if tokens is not None:
                rows = [self._document(row, place, tokens) for row, place in zip(rows, positions, strict=True)]
            return pa.table({RAW_LINE: pa.array(rows, pa.large_binary())})
        objects = [self._object(row, position, tokens) for row, position in zip(rows, positions, strict=True)]
        names = schema.names or list(dict.fromkeys(name for each in objects for name in each))
        wanted = {*schema.names, *self._known}
        for each, position in zip(objects, positions, strict=True):
            names += [name for name in each if name not in names]
            strange = [name for name in each if name not in wanted]
            if strange:
                raise self._unfit(
                    position,
                    f"names a column {strange[0]!r} that neither source nor contract has",
                    did_you_mean(strange[0], wanted, "name the columns as the source does"),
                )
        return pa.table({name: self._column(name, objects, positions, schema) for name in names})

    def _document(self, row: bytes, position: int, tokens: Tokens) -> bytes:
        try:
            return tokens.document(row, self._index.addresses[position])
        except RevealFailed:
            raise self._strange_token(position) from None

    def _strange_token(self, position: int) -> MendedUnfit:
        return self._unfit(
            position,
            "has a sealed value that is not of this row and column",
            "leave sealed values as they were exported, or write what is to be there in their place",
        )

    def _object(self, row: bytes, position: int, tokens: Tokens | None) -> dict[str, Any]:
        """The row's columns. Cells of text sources may be written as numbers: they are taken as they are written."""
        try:
            if self.mode is InputMode.STRINGS:
                made = json.loads(row, parse_int=str, parse_float=str, parse_constant=str)
            else:
                made = json.loads(row, parse_float=Decimal)
        except (ValueError, RecursionError):  # digits beyond what Python takes, or too many floors
            made = None
        if not isinstance(made, dict) or not made:
            raise self._unfit(position, "has a row that is no object with a value for each column", EXPORT)
        if tokens is None:
            return made
        address = self._index.addresses[position]
        try:
            return {name: tokens.value(value, name, address) for name, value in made.items()}
        except RevealFailed:
            raise self._strange_token(position) from None

    def _column(
        self, name: str, objects: Sequence[Mapping[str, Any]], positions: Sequence[int], schema: pa.Schema
    ) -> pa.Array[Any]:
        values = [each.get(name) for each in objects]
        kind = self._type_of(name, schema)
        try:
            return _made(values, kind)
        except REFUSALS:
            wanted = f"no {kind}, as the column is" if kind is not None else "of another type than those before"
            raise self._unfit(
                positions[_first_refused(values, kind)],
                f"has a value in {name} that is {wanted}",
                "write values as quarantine export does",
            ) from None

    def _type_of(self, name: str, schema: pa.Schema) -> pa.DataType | None:
        """None where only the values themselves can tell."""
        if self.mode is InputMode.STRINGS:
            return pa.string()
        return schema.field(name).type if name in schema.names else None

    def _unfit(self, position: int, what: str, hint: str) -> MendedUnfit:
        return MendedUnfit(f"line {self._index.numbers[position]} of {self._path} {what}", hint=hint)


def _made(values: list[Any], kind: pa.DataType | None) -> pa.Array[Any]:
    made: pa.Array[Any] = natural(values) if kind is None else from_json(values, kind)
    return made


def _first_refused(values: list[Any], kind: pa.DataType | None) -> int:
    """The position of the first value that cannot follow those before it."""
    fits, refused = 0, len(values)  # as many as `fits` can be made, as many as `refused` cannot
    while refused - fits > 1:
        middle = (fits + refused) // 2
        try:
            _made(values[:middle], kind)
            fits = middle
        except REFUSALS:
            refused = middle
    return fits


def _indexed(path: Path) -> _Index:
    """Reads the file once. Raises SourceMissing, or MendedUnfit at the first line that is no mended row."""
    index = _Index(path, array("q"), array("q"), array("q"), array("Q"), bytearray())
    start = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    _take(index, line, number, start)
                start += len(line)
    except OSError as error:
        raise SourceMissing(f"{path} cannot be read: {error.strerror}", hint=EXPORT) from error
    if not index.numbers:
        raise MendedUnfit(f"{path} has no row", hint=EXPORT)
    return index


def _take(index: _Index, line: bytes, number: int, start: int) -> None:
    """Adds a line to the index. Raises MendedUnfit if it is no mended row."""
    where = f"line {number} of {index.path}"
    try:
        found = msgspec.json.decode(line, type=_Line)
    except NOT_JSON:
        raise MendedUnfit(
            f"{where} is no JSON object with a whole number {ROW_ID}", hint=f"one row per line; {EXPORT}"
        ) from None
    if found.row is msgspec.UNSET:
        raise MendedUnfit(
            f"{where} has no row: it could not be read as one, and was not mended",
            hint="write its columns as an object under row; or delete the line, and it stays in quarantine",
        )
    if not 0 <= found.address < 2**64:
        raise MendedUnfit(f"{where} has a {ROW_ID} that is no address", hint=EXPORT)
    index.starts.append(start)
    index.lengths.append(len(line))
    index.numbers.append(number)
    index.addresses.append(found.address)
    index.digests.extend(_digest(bytes(found.row)))


def _row_of(line: bytes) -> bytes:
    """The row of a line that was taken before; empty if it has none now."""
    found = msgspec.json.decode(line, type=_Line).row
    return b"" if found is msgspec.UNSET else bytes(found)


def _digest(row: bytes) -> bytes:
    return hashlib.sha256(row).digest()[:DIGEST_BYTES]


def _as_arrow(addresses: array[int]) -> pa.Array[Any]:
    return pa.Array.from_buffers(pa.uint64(), len(addresses), [None, pa.py_buffer(addresses)])


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"

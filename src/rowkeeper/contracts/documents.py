"""JSON documents into typed columns, as far as columns can speak for them.

Documents that are alike are read a block at a time (`alike`). Of the others, msgspec reads each into an object of the
wanted keys, with the type of every value given: an int is none that is written `1.0`, nothing is converted, null and
absent stay apart. Its reader and Pydantic's agree on what JSON is, as far as it takes a document at all, but for three
things in values that are skipped, which are looked after here: bytes that are not UTF-8, depth, and integers of
thousands of digits. A document that it does not take is Pydantic's: the way here costs time, never a verdict.

Arrow's and Polars' JSON readers would do without Python objects. Polars' makes text of numbers, and half a surrogate
pair a NUL; Arrow's takes `Inf` and several objects in a line, and gives up thousands of documents for one value of
another type (pyarrow 26, Polars 2.1). What must be done around them takes longer than msgspec does.

Proof: tests/contracts/test_documents.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rowkeeper.contracts.alike import AlikeReader, Part, together

BLOCK_ROWS = 4_096  # at a time: more of them leave the processor's cache
BLOCK_BYTES_MAX = 8 << 20
FLOAT_EXACT_MAX = 2.0**53  # beyond it an integer that is written for a float may be rounded in another way
TYPES: Mapping[pa.DataType, Any] = {
    pa.int64(): Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    pa.float64(): float,
    pa.bool_(): bool,
    pa.string(): str,
}
"""The types that a value can be read as."""
# Pydantic's reader gives up at a depth of 200, and at integers of 4,300 digits.
NESTED_MAX = 100
LONG_BYTES = 4_000
_UNSET: Any = msgspec.UNSET


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """Documents as columns.

    Attributes:
        table: a row for each document that could be read; a key that is null or absent is a null cell.
        positions: uint64 array, where the documents of these rows stand among those given, ascending.
        absent: by key, in which rows it is absent; without the keys that are there in all of them.
    """

    table: pa.Table
    positions: pa.Array[Any]
    absent: Mapping[str, pa.Array[Any]]


def is_readable_key(key: str) -> bool:
    """Whether msgspec can be told to look for a key: it compares keys as they are written."""
    return key.isprintable() and not set(key) & {'"', "\\"}


class DocumentReader:
    """Reads JSON documents of which these keys are wanted.

    Args:
        wanted: for each key (a readable one), the type that its value is read as: one of `TYPES`. A document in which
            a value is written in another way is not read.
        unknown: whether a document may have other keys, which are then skipped.
    """

    def __init__(self, wanted: pa.Schema, *, unknown: bool) -> None:
        self._wanted = wanted
        self._skips_unknown = unknown
        names = [f"f{number}" for number in range(len(wanted))]
        document = msgspec.defstruct(
            "Document",
            [
                (name, TYPES[field.type] | None | msgspec.UnsetType, _UNSET)
                for name, field in zip(names, wanted, strict=True)
            ],
            rename=dict(zip(names, wanted.names, strict=True)),
            forbid_unknown_fields=not unknown,
            gc=False,
        )
        self._alike = AlikeReader(wanted, unknown=unknown)
        self._decode = msgspec.json.Decoder(document).decode
        self._getters = [attrgetter(name) for name in names]

    def read(self, documents: pa.ChunkedArray[Any]) -> Read:
        """The documents that can be read for certain.

        Args:
            documents: large_binary, one document each.
        """
        parts = [self._alike.read(_blocks(documents))]
        there = parts[0].places
        if len(there) < len(documents):
            left = np.delete(np.arange(len(documents)), there)
            others: Any = pa.array(left)
            for first, block in _blocks(documents.take(others)):
                parts.append(self._one_by_one(block, left[first : first + len(block)]))
        whole = together(parts)
        return _without_doubtful(Read(whole.table, pa.array(whole.places, pa.uint64()), whole.absent))

    def _one_by_one(self, documents: pa.Array[Any], places: NDArray[np.int64]) -> Part:
        held, there = self._decoded(documents.to_pylist())
        columns, absent = self._columns(held)
        return Part(pa.table(columns, schema=self._wanted), places[there], absent)

    def _decoded(self, documents: Sequence[bytes | None]) -> tuple[list[Any], list[int]]:
        """The documents that msgspec takes as objects, and where they stand."""
        there = [document is not None and (not self._skips_unknown or _is_plain(document)) for document in documents]
        places = list(compress(range(len(documents)), there))
        waiting: Any = compress(documents, there)
        held: list[Any] = []
        refused: list[int] = []
        while True:
            try:
                held.extend(map(self._decode, waiting))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                refused.append(len(held) + len(refused))  # those before it are held, those after it still wait
            else:
                break
        for place in reversed(refused):
            del places[place]
        return held, places

    def _columns(self, held: list[Any]) -> tuple[list[pa.Array[Any]], dict[str, pa.Array[Any]]]:
        """The objects' values as columns, and in which rows a key is absent."""
        columns = []
        absent: dict[str, pa.Array[Any]] = {}
        for getter, field in zip(self._getters, self._wanted, strict=True):
            values = list(map(getter, held))
            try:
                columns.append(pa.array(values, field.type))
            except pa.ArrowException:
                # One of them is no value but the sign that there is none.
                absent[field.name] = pa.array([value is _UNSET for value in values], pa.bool_())
                columns.append(pa.array([None if value is _UNSET else value for value in values], field.type))
        return columns, absent


def _is_plain(document: bytes) -> bool:
    """Whether msgspec reads what it skips as strictly as Pydantic's reader does."""
    if len(document) > LONG_BYTES or document.count(b"[") + document.count(b"{") > NESTED_MAX:
        return False
    if not document.isascii():
        try:
            document.decode()
        except UnicodeDecodeError:
            return False
    return True


def _without_doubtful(read: Read) -> Read:
    """Leaves out rows whose floats Pydantic's reader may have read otherwise."""
    sure: Any = None
    for field in read.table.schema:
        if pa.types.is_floating(field.type):
            good = _surely_read(read.table[field.name])
            if good is not None:
                sure = good if sure is None else pc.and_(sure, good)
    if sure is None:
        return read
    sure = sure.combine_chunks()
    absent = {name: each.filter(sure) for name, each in read.absent.items()}
    return Read(read.table.filter(sure), read.positions.filter(sure), absent)


def _surely_read(cells: Any) -> Any:
    """Which floats are surely as Pydantic's reader has them: -0 may be 0 to it; None for all."""
    compute: Any = pc
    whole = compute.less_equal(compute.abs(cells), FLOAT_EXACT_MAX)
    zero = compute.equal(cells, 0.0)
    if compute.any(zero).as_py():
        whole = compute.and_(whole, compute.or_(compute.invert(zero), compute.greater(compute.divide(1.0, cells), 0.0)))
    return None if compute.all(whole).as_py() in (True, None) else compute.fill_null(whole, True)


def _blocks(documents: pa.ChunkedArray[Any]) -> Iterator[tuple[int, pa.Array[Any]]]:
    """Some documents at a time, with the number of the first; one that is very long is in none."""
    first = 0
    for chunk in documents.chunks:
        buffers: Any = chunk.buffers()
        ends = np.frombuffer(buffers[1], np.int64)[chunk.offset :] if len(chunk) else np.zeros(1, np.int64)
        start = 0
        while start < len(chunk):
            # As many as have room, and one that has none by itself is passed over.
            room = int(np.searchsorted(ends, ends[start] + BLOCK_BYTES_MAX, "right")) - 1 - start
            rows = min(room, BLOCK_ROWS, len(chunk) - start)
            if rows:
                yield first + start, chunk.slice(start, rows)
            start += rows or 1
        first += len(chunk)

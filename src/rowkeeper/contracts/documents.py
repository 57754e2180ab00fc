"""JSON documents into typed columns, as far as columns can speak for them.

Arrow's JSON reader is quick and knows nothing of Pydantic's: it takes `Inf` and a byte order mark, merges null and
absent, reads one object after the other whatever the lines are, ends at a NUL, gives up a whole block for one value of
another type, and dies of a `null` that stands where a document should (pyarrow 26). So it is shown only documents of
which it is known that each is one object, some thousand at a time, with the type of every column given; what it reads
otherwise than Pydantic's own reader is left out. Where it gives a block up, a pattern picks the documents that it will
take. Rows that are left are Pydantic's: the way here costs time, never a verdict.

Proof: tests/contracts/test_documents.py.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

BLOCK_ROWS = 4_096  # read at a time: what one strange document can spoil
BLOCK_ROWS_MIN = 256  # a block of so few that cannot be read is Pydantic's
BLOCK_BYTES_MAX = 8 << 20
FLOAT_EXACT_MAX = 2.0**53  # beyond it an integer that is written for a float may be rounded in another way
SPACE = r"[ \t\r\n]*"
INT_FORM = "-?(?:0|[1-9][0-9]{0,17})"
FORMS = {
    pa.int64(): INT_FORM,
    pa.float64(): INT_FORM + r"(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?",
    pa.bool_(): "true|false",
    # No half of a surrogate pair, and no control character.
    pa.string(): r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u(?:[0-9abcefABCEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))*"',
}
"""The types that a value can be read as, and how it is then written."""
WRONG_STARTS = {
    pa.int64(): r'["tf{\[]|-?[0-9]*[.eE]',
    pa.float64(): r'["tf{\[]',
    pa.bool_(): r'["{\[0-9-]',
    pa.string(): r"[tf{\[0-9-]",
}
# Pydantic's reader gives up at a depth of 200, and at integers of 4,300 digits; `Inf` is a word of Arrow's only.
NESTED_MAX = 100
LONG_BYTES = 4_000
UNSAFE = r"\}[ \t\r\n]*[^ \t\r\n,}\]]|[:,\[][ \t\r\n]*-?(?:Inf|NaN)|\\u[dD]"
UNSAFE_WORDS = (b"[", b"Inf", b"NaN", b"\\u")
OBJECT = rf"^{SPACE}\{{[\s\S]*\}}{SPACE}$"


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """Documents as columns.

    Attributes:
        table: a row for each document that could be read; a key that is null or absent is a null cell.
        positions: uint64 array, where the documents of these rows stand among those given, ascending.
    """

    table: pa.Table
    positions: pa.Array[Any]


class DocumentReader:
    """Reads JSON documents of which these keys are wanted.

    Args:
        wanted: for each key, the type that its value is read as: one of `FORMS`. A document in which a value is
            written in another way cannot be read.
        unknown: whether a document may have other keys, which are then skipped.
    """

    def __init__(self, wanted: pa.Schema, *, unknown: bool) -> None:
        self._wanted = wanted
        self._skips_unknown = unknown
        self._parse = pa_json.ParseOptions(
            explicit_schema=wanted, unexpected_field_behavior="ignore" if unknown else "error"
        )
        self._pattern = _wrong_pattern(wanted) if unknown else _flat_pattern(wanted)

    def read(self, documents: pa.ChunkedArray[Any]) -> Read:
        """The documents that can be read for certain.

        Args:
            documents: large_binary, one document each.
        """
        blocks = list(_blocks(documents))
        with ThreadPoolExecutor(min(os.cpu_count() or 1, max(len(blocks), 1)), "rowkeeper-json") as pool:
            return _together([self._nothing(), *pool.map(lambda block: self._block(*block), blocks)])

    def _nothing(self) -> Read:
        return Read(self._wanted.empty_table(), pa.array([], pa.uint64()))

    def _block(self, first: int, documents: pa.Array[Any]) -> Read:
        positions: Any = pl.int_range(first, first + len(documents), dtype=pl.UInt64, eager=True).to_arrow()
        if not _is_text(documents):
            good = pa.array([_is_text(documents[place : place + 1]) for place in range(len(documents))])
            documents, positions = documents.filter(good), positions.filter(good)
        if not len(documents):
            return self._nothing()
        text = pl.Series(documents.cast(pa.large_string()))
        joined = _joined(documents)
        table = self._parsed(joined, len(documents)) if self._is_tame(text, joined) else None
        if table is not None:
            return self._without_doubtful(Read(table, positions))
        chosen = self._chosen(text).to_arrow()
        return self._halved(documents.filter(chosen), positions.filter(chosen))

    def _halved(self, documents: pa.Array[Any], positions: pa.Array[Any]) -> Read:
        """What can be read of documents that were chosen one by one, those around a strange one left out."""
        table = self._parsed(_joined(documents), len(documents)) if len(documents) else None
        if table is not None:
            return self._without_doubtful(Read(table, positions))
        if len(documents) <= BLOCK_ROWS_MIN:
            return self._nothing()
        half = len(documents) // 2
        return _together(
            [self._halved(documents[:half], positions[:half]), self._halved(documents[half:], positions[half:])]
        )

    def _is_tame(self, text: pl.Series, joined: bytes) -> bool:
        """Whether every document surely is one object, if it is JSON at all: a brace at each end, and none between."""
        if not (
            joined.count(b"{") == joined.count(b"}") == len(text)
            and text.str.starts_with("{").all()
            and text.str.ends_with("}").all()
            and b"\0" not in joined
        ):
            return False
        if not self._skips_unknown:
            return True
        length: Any = text.str.len_bytes().max()
        return length <= LONG_BYTES and not any(strange in joined for strange in UNSAFE_WORDS)

    def _chosen(self, text: pl.Series) -> pl.Series:
        """Which documents, looked at one by one, Arrow's reader will take for one object, and most likely read."""
        if not self._skips_unknown:
            return text.str.contains(self._pattern)
        document = pl.col("text")
        brackets = document.str.count_matches("{", literal=True) + document.str.count_matches("[", literal=True)
        return (
            pl.DataFrame([text.alias("text")])
            .select(
                pl.all_horizontal(
                    document.str.contains(OBJECT),
                    brackets <= NESTED_MAX,
                    document.str.len_bytes() <= LONG_BYTES,
                    ~document.str.contains("\0", literal=True),
                    ~document.str.contains(UNSAFE),
                    ~document.str.contains(self._pattern),
                )
            )
            .to_series()
        )

    def _parsed(self, joined: bytes, rows: int) -> pa.Table | None:
        """The documents as columns, or None where one of them cannot be read.

        A document that is cut short ends in a brace, and none goes on after a brace with another one: so none runs
        into the next, and there are as many rows as documents only if each was one.
        """
        stream: Any = pa.BufferReader(joined)
        try:
            table = pa_json.read_json(
                stream, pa_json.ReadOptions(use_threads=False, block_size=len(joined) + 1), self._parse
            )
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None
        if table.num_rows != rows:
            return None
        return table.select(self._wanted.names)

    def _without_doubtful(self, read: Read) -> Read:
        """Leaves out rows whose floats Pydantic's reader may have read otherwise: -0 is 0 to it, `Inf` no JSON."""
        sure: Any = None
        for field in self._wanted:
            if pa.types.is_floating(field.type):
                good = _surely_read(read.table[field.name])
                if good is not None:
                    sure = good if sure is None else pc.and_(sure, good)
        if sure is None:
            return read
        sure = sure.combine_chunks()
        return Read(read.table.filter(sure), read.positions.filter(sure))


def _surely_read(cells: Any) -> Any:
    """Which floats are surely as Pydantic's reader has them; None for all."""
    compute: Any = pc
    whole = compute.less_equal(compute.abs(cells), FLOAT_EXACT_MAX)
    zero = compute.equal(cells, 0.0)
    if compute.any(zero).as_py():
        whole = compute.and_(whole, compute.or_(compute.invert(zero), compute.greater(compute.divide(1.0, cells), 0.0)))
    return None if compute.all(whole).as_py() in (True, None) else compute.fill_null(whole, True)


def _together(reads: Sequence[Read]) -> Read:
    return Read(pa.concat_tables([read.table for read in reads]), pa.concat_arrays([read.positions for read in reads]))


def _blocks(documents: pa.ChunkedArray[Any]) -> Iterator[tuple[int, pa.Array[Any]]]:
    """Some documents at a time, with the number of the first; one that is very long is in none."""
    first = 0
    for chunk in documents.chunks:
        for start in range(0, len(chunk), BLOCK_ROWS):
            yield from _bounded(first + start, chunk.slice(start, BLOCK_ROWS))
        first += len(chunk)


def _bounded(first: int, documents: pa.Array[Any]) -> Iterator[tuple[int, pa.Array[Any]]]:
    if documents.nbytes <= BLOCK_BYTES_MAX:
        yield first, documents
    elif len(documents) > 1:
        half = len(documents) // 2
        yield from _bounded(first, documents[:half])
        yield from _bounded(first + half, documents[half:])


def _is_text(documents: pa.Array[Any]) -> bool:
    """Whether all documents are there, and are UTF-8."""
    try:
        return not documents.cast(pa.large_string()).null_count
    except pa.ArrowInvalid:
        return False


def _joined(documents: Any) -> bytes:
    """The documents with newlines between."""
    lists = pa.ListArray.from_arrays(pa.array([0, len(documents)], pa.int32()), documents.cast(pa.binary()))
    joined: Any = pc.binary_join(lists, b"\n")
    return bytes(joined[0].as_py())


def _flat_pattern(wanted: pa.Schema) -> str:
    """A pattern for objects with these keys only, each of its type or null."""
    members = "|".join(f'"{re.escape(field.name)}"{SPACE}:{SPACE}(?:{FORMS[field.type]}|null)' for field in wanted)
    return rf"^{SPACE}\{{{SPACE}(?:(?:{members}){SPACE},{SPACE})*(?:{members}){SPACE}\}}{SPACE}$"


def _wrong_pattern(wanted: pa.Schema) -> str:
    """A pattern for one of these keys with a value of another type."""
    members = "|".join(f'"{re.escape(field.name)}"{SPACE}:{SPACE}(?:{WRONG_STARTS[field.type]})' for field in wanted)
    return f"(?:{members})"

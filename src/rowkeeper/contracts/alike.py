"""JSON documents that are alike, read without a Python object for each.

A program that writes a document per line writes most of them in one shape: the same keys in the same order, the same
white space, texts in the same places. So a document is taken for pieces that are the same in all of them, with values
between:

    {"id":  17  ,"name":"  Ada  ","at":"  2026-11-26  "}

Where a document consists of the pieces of a shape, byte by byte, has no more quotation marks than these, no backslash
and no control character, and where each value that is no text is a number, true, false or null as JSON writes them, it
is JSON by construction, and can be read in one way only. What is no such document is left to a reader that knows all
of JSON. Shapes are learnt from the documents themselves.

All is worked out for a block of documents at once: where quotation marks stand says where the pieces must be, and bytes
are compared eight at a time.

Proof: tests/contracts/test_documents.py.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

QUOTE, SPACE, BACKSLASH, MINUS, ZERO, NINE = b'" \\-09'
ASCII_END = 0x80
WORD_BYTES = 8
PIECE_BYTES_MAX = 4_000
PADDING = bytes(PIECE_BYTES_MAX + WORD_BYTES)  # what is looked at beyond the last byte, or before the first
NUMBER_BYTES_MAX = 1_000  # Pydantic's reader gives up at some thousand digits
KEYS_MAX = 1_000
SHAPES_MAX = 32
LEARNT_MAX = 4  # shapes in a block
SCALARS = {str, int, float, bool, type(None)}
NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
MEMBER = re.compile(rb'"([^"\\]*)"\s*:\s*("[^"\\]*"|[^\s",:{}\[\]]+)')

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Some documents as columns.

    Attributes:
        table: a row for each; a key that is null or absent is a null cell.
        places: where they stand among those given.
        absent: by key, in which rows it is absent; without the keys that are there in all of them.
    """

    table: pa.Table
    places: Places
    absent: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """What documents have in common.

    Attributes:
        pieces: what stands before the first value, between values, and after the last one; quotation marks of texts
            belong to them.
        keys: of the values, in their order.
        texts: which values are texts.
        marks: of each piece but the last, how many quotation marks stand before it; and how many there are in all.
    """

    pieces: tuple[bytes, ...]
    keys: tuple[str, ...]
    texts: tuple[bool, ...]
    marks: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Block:
    """Documents as bytes.

    Attributes:
        data: one after the other, and `PADDING`.
        starts, ends: of each.
        quotes: where quotation marks stand.
        first: for each document, how many of those stand before it; and how many there are in all.
        plain: which documents are UTF-8 without backslashes and control characters.
    """

    data: Bytes
    starts: Places
    ends: Places
    quotes: Places
    first: Places
    plain: Mask


@dataclasses.dataclass(frozen=True, slots=True)
class _Spans:
    """Of some documents of one shape, for each key where the value begins and ends."""

    rows: Places
    begins: list[Places]
    ends: list[Places]

    def of(self, keep: Mask) -> _Spans:
        if keep.all():
            return self
        return _Spans(self.rows[keep], [each[keep] for each in self.begins], [each[keep] for each in self.ends])


class AlikeReader:
    """Reads documents that are like one that was seen before.

    Args:
        wanted: for each key the type that its value is read as; see `documents.TYPES`.
        unknown: whether a document may have other keys, which are then skipped.
    """

    def __init__(self, wanted: pa.Schema, *, unknown: bool) -> None:
        self._wanted = wanted
        self._types: dict[str, pa.DataType] = {field.name: field.type for field in wanted}
        self._tokens = pa.schema([(name, pa.string()) for name in wanted.names])
        self._skips_unknown = unknown
        self._shapes: tuple[Shape, ...] = ()  # replaced as a whole: batches are checked in several threads

    def read(self, blocks: Iterable[tuple[int, pa.Array[Any]]]) -> Part:
        """The documents that are of a known shape, or of one that can be learnt, in their order.

        Args:
            blocks: some thousands of documents at a time (large_binary), with the place of the first.
        """
        parts = [Part(self._tokens.empty_table(), np.zeros(0, np.int64), {})]
        for first, documents in blocks:
            if len(documents) and not documents.null_count:
                block = _block_of(documents)
                parts += [
                    Part(self._cut(block, spans, shape), first + spans.rows, self._absent(shape, len(spans.rows)))
                    for shape, spans in self._split(block)
                ]
        return self._values(together(parts))

    def _split(self, block: _Block) -> list[tuple[Shape, _Spans]]:
        """The documents by shape."""
        found = []
        left = np.flatnonzero(block.plain)
        shapes, learnt = list(self._shapes), 0
        while len(left):
            if not shapes:
                shape = self._shape_of(block.data[block.starts[left[0]] : block.ends[left[0]]].tobytes())
                learnt += 1
                if shape is None or learnt > LEARNT_MAX:
                    break
                self._shapes = (*self._shapes, shape)[-SHAPES_MAX:]
                shapes = [shape]
            shape = shapes.pop(0)
            spans = self._spans(block, left, shape)
            if len(spans.rows):
                found.append((shape, spans))
                left = np.setdiff1d(left, spans.rows, assume_unique=True) if len(spans.rows) < len(left) else left[:0]
        return found

    def _shape_of(self, document: bytes) -> Shape | None:
        """The shape of a document; None if none can be read here that has it."""
        members = list(MEMBER.finditer(document))
        keys = [member[1].decode() for member in members]
        if not 0 < len(keys) <= KEYS_MAX or not (self._skips_unknown or self._types.keys() >= set(keys)):
            return None
        try:
            content = msgspec.json.decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if not isinstance(content, dict) or list(content) != keys or not set(map(type, content.values())) <= SCALARS:
            return None
        texts = [member[2].startswith(b'"') for member in members]
        types = [self._types.get(key) for key in keys]
        if any(
            is_text and not (type is None or pa.types.is_string(type))
            for is_text, type in zip(texts, types, strict=True)
        ):
            return None
        ends = [member.start(2) + is_text for member, is_text in zip(members, texts, strict=True)]
        begins = [member.end(2) - is_text for member, is_text in zip(members, texts, strict=True)]
        pieces = [document[begin:end] for begin, end in zip([0, *begins], [*ends, len(document)], strict=True)]
        if max(map(len, pieces)) > PIECE_BYTES_MAX:
            return None
        marks = np.cumsum([0, *(piece.count(b'"') for piece in pieces)]).tolist()
        return Shape(tuple(pieces), tuple(keys), tuple(texts), (*marks[:-2], marks[-1]))

    def _spans(self, block: _Block, rows: Places, shape: Shape) -> _Spans:
        """Where the values lie of those of these documents that are of a shape."""
        counts = block.first[rows + 1] - block.first[rows]
        if not (counts == shape.marks[-1]).all():
            rows = rows[counts == shape.marks[-1]]
        ok = np.ones(len(rows), np.bool_)
        first = block.first[rows]
        places = [
            block.quotes[first + marks] - piece.index(b'"')
            for piece, marks in zip(shape.pieces[:-1], shape.marks[:-1], strict=True)
        ]
        places.append(block.ends[rows] - len(shape.pieces[-1]))
        ok &= places[0] == block.starts[rows]
        for piece, place in zip(shape.pieces, places, strict=True):
            ok &= _is_at(block.data, place, piece)
        begins = [place + len(piece) for piece, place in zip(shape.pieces, places[:-1], strict=False)]
        spans = _Spans(rows, begins, places[1:])
        for begin, end in zip(spans.begins, spans.ends, strict=True):
            ok &= begin <= end
        spans = spans.of(ok)
        return spans.of(self._are_values(block.data, spans, shape))

    def _are_values(self, data: Bytes, spans: _Spans, shape: Shape) -> Mask:
        """Which documents have values of the wanted types, as far as their first and last bytes say."""
        good = np.ones(len(spans.rows), np.bool_)
        for key, is_text, begin, end in zip(shape.keys, shape.texts, spans.begins, spans.ends, strict=True):
            if is_text:
                continue
            type = self._types.get(key)
            fits = _is_word(data, begin, end, b"null")
            if type is None:
                fits = fits | _is_truth(data, begin, end) | _is_whole_number(data, begin, end)
            elif pa.types.is_boolean(type):
                fits = fits | _is_truth(data, begin, end)
            elif not pa.types.is_string(type):
                fits = fits | _is_number(data, begin, end)
            good &= fits
        return good

    def _cut(self, block: _Block, spans: _Spans, shape: Shape) -> pa.Table:
        """The values as they are written, texts without their quotation marks."""
        places = {key: number for number, key in enumerate(shape.keys)}
        columns: list[pa.Array[Any]] = []
        for name in self._tokens.names:
            number = places.get(name)
            if number is None:
                columns.append(pa.nulls(len(spans.rows), pa.string()))
                continue
            begin, end = spans.begins[number], spans.ends[number]
            is_null = None if shape.texts[number] else _is_word(block.data, begin, end, b"null")
            columns.append(_pieces(block.data, begin, end, is_null))
        return pa.table(columns, schema=self._tokens)

    def _absent(self, shape: Shape, rows: int) -> dict[str, Any]:
        return {name: pa.repeat(pa.scalar(True), rows) for name in self._tokens.names if name not in shape.keys}

    def _values(self, part: Part) -> Part:
        """The same as values."""
        columns: list[Any] = []
        sure: Any = None
        for field, cells in zip(self._wanted, part.table.columns, strict=True):
            if pa.types.is_string(field.type):
                columns.append(cells)
            elif pa.types.is_boolean(field.type):
                columns.append(pc.equal(cells, pa.scalar("true")))
            else:
                told = pl.Series(cells.cast(pa.string_view()))
                made = told.cast(pl.Int64 if pa.types.is_integer(field.type) else pl.Float64, strict=False)
                columns.append(made.to_arrow())
                read = made.is_not_null() | told.is_null()
                if pa.types.is_floating(field.type) and _has_exponents(cells):
                    # Polars takes `1.e5` too, and JSON does not.
                    read &= ~told.str.contains(r"\.[eE]").fill_null(False)
                if not read.all():
                    sure = read if sure is None else sure & read
        table = pa.table(columns, schema=self._wanted)
        if sure is None:
            return Part(table, part.places, part.absent)
        keep = sure.to_arrow()
        absent = {name: each.filter(keep) for name, each in part.absent.items()}
        return Part(table.filter(keep), part.places[sure.to_numpy()], absent)


def together(parts: Sequence[Part]) -> Part:
    """Parts as one, in the order of the documents."""
    table = pa.concat_tables([part.table for part in parts])
    places = np.concatenate([part.places for part in parts])
    absent: dict[str, Any] = {
        name: pa.concat_arrays(
            [
                part.absent[name] if name in part.absent else pa.repeat(pa.scalar(False), part.table.num_rows)
                for part in parts
            ]
        )
        for name in {name for part in parts for name in part.absent}
    }
    if (places[1:] > places[:-1]).all():
        return Part(table, places, absent)
    order = np.argsort(places)
    taken: Any = pa.array(order)
    return Part(table.take(taken), places[order], {name: each.take(taken) for name, each in absent.items()})


def _block_of(documents: pa.Array[Any]) -> _Block:
    buffers: Any = documents.buffers()
    offsets = np.frombuffer(buffers[1], np.int64)[documents.offset : documents.offset + len(documents) + 1]
    held = memoryview(buffers[2])[offsets[0] : offsets[-1]]
    text = b"".join((held, PADDING))
    data = np.frombuffer(text, np.uint8)
    offsets = offsets - offsets[0]
    quotes = np.flatnonzero(data == QUOTE)
    plain = _are_plain(documents, text, offsets[1:])
    return _Block(data, offsets[:-1], offsets[1:], quotes, np.searchsorted(quotes, offsets), plain)


def _are_plain(documents: pa.Array[Any], data: bytes, ends: Places) -> Mask:
    """Which documents are UTF-8, and have neither a backslash nor a control character."""
    good = np.ones(len(ends), np.bool_)
    text = np.frombuffer(data, np.uint8)[: ends[-1]]
    if len(text) and (text.min() < SPACE or b"\\" in data):
        strange = np.flatnonzero((text < SPACE) | (text == BACKSLASH))
        good[np.searchsorted(ends, strange, "right")] = False
    if not data.isascii():
        try:
            documents.view(pa.large_string()).validate(full=True)
        except pa.ArrowInvalid:
            good[np.searchsorted(ends, np.flatnonzero(text >= ASCII_END), "right")] = False
    return good


def _has_exponents(cells: pa.ChunkedArray[Any]) -> bool:
    """Whether there may be a number with one."""
    texts = [chunk.buffers()[2] for chunk in cells.chunks if len(chunk)]
    return any(sign in text.to_pybytes() for text in texts if text is not None for sign in (b"e", b"E"))


def _is_at(data: Bytes, places: Places, expected: bytes) -> Mask:
    """At which places these bytes stand."""
    words: Any = np.ndarray((len(data) - WORD_BYTES + 1,), np.dtype("<u8"), data.data, strides=(1,))
    same = np.ones(len(places), np.bool_)
    for first in range(0, len(expected), WORD_BYTES):
        part = expected[first : first + WORD_BYTES]
        found = words[places + first]
        if len(part) < WORD_BYTES:
            found &= np.uint64(2 ** (8 * len(part)) - 1)
        same &= found == np.uint64(int.from_bytes(part, "little"))
    return same


def _is_word(data: Bytes, begin: Places, end: Places, word: bytes) -> Mask:
    sized: Mask = end - begin == len(word)
    return sized & _is_at(data, begin, word) if sized.any() else sized


def _is_truth(data: Bytes, begin: Places, end: Places) -> Mask:
    return _is_word(data, begin, end, b"true") | _is_word(data, begin, end, b"false")


def _is_number(data: Bytes, begin: Places, end: Places) -> Mask:
    """Which begin and end as numbers do in JSON: a digit at both ends, no zero before another digit."""
    lead = begin + (data[begin] == MINUS)
    digit = data[lead]
    found: Mask = _is_digit(digit) & _is_digit(data[end - 1]) & (end > lead) & (end - begin <= NUMBER_BYTES_MAX)
    zero = digit == ZERO
    return found & ~(zero & (lead + 1 < end) & _is_digit(data[lead + 1])) if zero.any() else found


def _is_whole_number(data: Bytes, begin: Places, end: Places) -> Mask:
    """Which are numbers to their last byte."""
    compute: Any = pc
    found: Mask = compute.match_substring_regex(_pieces(data, begin, end, None), NUMBER).to_numpy(zero_copy_only=False)
    return found & (end - begin <= NUMBER_BYTES_MAX)


def _is_digit(bytes: Bytes) -> Mask:
    found: Mask = (bytes - np.uint8(ZERO)) <= NINE - ZERO
    return found


def _pieces(data: Bytes, begin: Places, end: Places, absent: Mask | None) -> pa.Array[Any]:
    """The text between these places, null where it is absent."""
    # An array of what lies in the places and of what lies between them shares the bytes; every other one is taken.
    offsets: Any = np.empty(2 * len(begin), np.int32)
    offsets[::2], offsets[1::2] = begin, end
    held: Any = data
    pieces = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(held))
    places: Any = pa.array(np.arange(0, len(offsets), 2), mask=absent if absent is not None and absent.any() else None)
    return pieces.take(places)

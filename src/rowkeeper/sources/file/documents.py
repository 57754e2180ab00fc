"""JSON documents: one array of records, or an object that holds one somewhere; a record is passed on as it stands.

A file is read in chunks and never held: of what stands around the records only names are looked at. So null and absent
stay apart and no digit is lost, as with NDJSON. A record that is no JSON is the contract's to refuse, alone; a document
whose brackets do not close, or in which the records are not where they were said to be, is an error.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from rowkeeper.batch import RAW_LINE
from rowkeeper.errors import DeclarationError, SourceDamaged, SourceError
from rowkeeper.sources.file.delimited import ROW_BYTES_MAX, Piece, Reopen, row_places, row_range
from rowkeeper.sources.file.lines import WIDE_MARKS, utf8
from rowkeeper.sources.file.skeleton import Bones, Skeleton
from rowkeeper.sources.file.text import BYTE_ORDER_MARK

CHUNK_BYTES = 1 << 20
NAME_BYTES_MAX = 64 << 10
STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[(?:'([^'\\]*)'|\"([^\"\\]*)\")\]")
OPEN_OBJECT, OPEN_ARRAY, CLOSE_ARRAY, COMMA, COLON = b"{[],:"


def path_of(records: str) -> tuple[str, ...]:
    """The names that lead to the array of records: `$.data.items[*]`, or `$` for a document that is the array itself.

    Raises DeclarationError for a text that is no such path.
    """
    names, at = [], 1
    body = records.removesuffix("[*]") if isinstance(records, str) else ""
    while body.startswith("$") and at < len(body):
        step = STEP.match(body, at)
        if step is None:
            break
        names.append(next(each for each in step.groups() if each is not None))
        at = step.end()
    if not body.startswith("$") or at < len(body):
        raise DeclarationError(
            f"records={records!r} is no path to records", hint='names only, such as "$.data.items[*]" or "$"'
        )
    return tuple(names)


def begins_as_array(start: bytes) -> bool:
    """Whether a text begins like an array: a `.json` file of that kind holds a document, not lines."""
    return start.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] == b"["


def pieces(name: str, reopen: Reopen, encoding: str, records: str, batch_bytes: int) -> Iterator[Piece]:
    """The records of a document, some thousands at a time.

    Raises SourceError for a document that is broken, that has no records there, or a record of more than
    `ROW_BYTES_MAX`.
    """
    walk, row, first = _Walk(name, path_of(records)), 0, True
    with utf8(name, reopen, encoding) as stream:
        while chunk := stream.read(min(CHUNK_BYTES, batch_bytes)):
            if first:
                if chunk.startswith(WIDE_MARKS):
                    raise SourceError(
                        f"{name} is not utf-8 but utf-16", hint='rk.sources.files(..., encoding="utf-16")'
                    )
                chunk, first = chunk.removeprefix(BYTE_ORDER_MARK), False
            if found := walk.records(chunk):
                yield _piece(found, row)
                row += len(found)
    walk.end()


def _piece(found: Sequence[bytes], row: int) -> Piece:
    numbers = row_range(row, row + len(found))
    return Piece(
        pa.table({RAW_LINE: pa.array(found, pa.large_binary())}), numbers, row_places(numbers), (), row + len(found)
    )


class _Held(enum.Enum):
    """What the text since the last mark is held for."""

    RECORD = enum.auto()
    NAME = enum.auto()
    BLANK = enum.auto()  # nothing but blanks may be there
    NOTHING = enum.auto()


class _Walk:
    """The way through a document, chunk by chunk.

    Marks deeper than the path and the array at its end are of no interest; of the others it is known how many names of
    the path lead to where they are (`_matched`), each the name of the value around the next.
    """

    def __init__(self, name: str, path: Sequence[str]) -> None:
        self._name, self._path = name, path
        self._skeleton = Skeleton()
        self._matched = 0
        self._rows = 0
        self._in_array = self._had_array = self._is_over = False
        self._for = _Held.BLANK
        self._held = bytearray()

    def records(self, chunk: bytes) -> list[bytes]:
        """The records that end in a chunk."""
        bones = self._skeleton.bones(chunk)
        if len(bones.depths) and int(bones.depths.min()) < 0:
            raise self._damaged("a bracket is closed that none opened")
        found: list[bytes] = []
        mark = at = 0
        while mark < len(bones.places):
            if self._in_array:
                mark, at = self._through_array(bones, mark, at, found)
            else:
                mark, at = self._to_array(bones, mark, at)
        self._hold(bones.text[at:])
        return found

    def end(self) -> None:
        """The text is over. Raises SourceDamaged if the document is not, or had no records."""
        if self._skeleton.in_string or self._skeleton.depth:
            raise self._damaged("it ends in the middle")
        if not self._had_array:
            raise self._nothing()
        if self._held.strip():
            raise self._damaged("something follows its end")

    def _hold(self, rest: bytes) -> None:
        if self._for is _Held.NOTHING:
            return
        self._held += rest
        if self._for is _Held.BLANK and not self._held.strip():
            self._held.clear()
        if len(self._held) > (ROW_BYTES_MAX if self._for is _Held.RECORD else NAME_BYTES_MAX):
            raise self._too_long()

    def _through_array(self, bones: Bones, mark: int, at: int, found: list[bytes]) -> tuple[int, int]:
        """Takes the records up to the array's end, or the chunk's. Returns the mark, and the place, to go on from."""
        marks, depths, places = bones.marks[mark:], bones.depths[mark:], bones.places[mark:]
        inside = len(self._path) + 1
        ends = np.flatnonzero(depths < inside)
        last = int(ends[0]) if len(ends) else len(depths)
        commas = np.flatnonzero((marks[:last] == COMMA) & (depths[:last] == inside))
        for place in places[commas].tolist():
            self._take(bones.text[at:place], found, is_last=False)
            at = place + 1
        if last == len(depths):
            return len(bones.places), at
        if marks[last] != CLOSE_ARRAY:
            raise self._damaged("an array is closed like an object")
        place = int(places[last])
        self._take(bones.text[at:place], found, is_last=True)
        self._in_array = False
        self._closed(inside - 1)
        return mark + last + 1, place + 1

    def _take(self, text: bytes, found: list[bytes], *, is_last: bool) -> None:
        record = (bytes(self._held) + text if self._held else text).strip()
        self._held.clear()
        if not record:
            if is_last and not self._rows:
                return
            raise self._damaged("a comma has no record on one side")
        if len(record) > ROW_BYTES_MAX:
            raise self._too_long()
        self._rows += 1
        found.append(record)

    def _to_array(self, bones: Bones, mark: int, at: int) -> tuple[int, int]:
        """Looks at the marks up to the array's beginning, or the chunk's end. Returns where to go on."""
        shallow = np.flatnonzero(bones.depths[mark:] <= len(self._path) + 1) + mark
        for number in shallow.tolist():
            place = int(bones.places[number])
            between = b"" if self._for is _Held.NOTHING else bytes(self._held + bones.text[at:place])
            self._held.clear()
            at = place + 1
            self._passed(int(bones.marks[number]), int(bones.depths[number]), between)
            if self._in_array:
                return number + 1, at
        return len(bones.places), at

    def _passed(self, sign: int, depth: int, between: bytes) -> None:
        if self._for is _Held.BLANK and between.strip():
            raise self._damaged("something follows its end") if self._is_over else self._nothing()
        if sign in (OPEN_OBJECT, OPEN_ARRAY):
            self._opened(sign, depth)
        elif sign == COLON:
            self._named(depth, between)
        elif sign == COMMA:
            self._valued(depth)
            if depth == self._matched + 1:
                self._for = _Held.NAME
        else:
            self._valued(depth + 1)
            self._closed(depth)

    def _opened(self, sign: int, depth: int) -> None:
        if self._is_over:
            raise self._damaged("something follows its end")
        if self._for is not _Held.BLANK:  # beside the path
            self._for = _Held.NOTHING
        elif depth <= len(self._path):
            if sign != OPEN_OBJECT:
                raise self._nothing()
            self._for = _Held.NAME
        else:
            if sign != OPEN_ARRAY:
                raise self._nothing()
            self._in_array = self._had_array = True
            self._for = _Held.RECORD

    def _named(self, depth: int, name: bytes) -> None:
        """A name, in the object at a depth."""
        if self._for is not _Held.NAME or depth != self._matched + 1:
            return
        self._for = _Held.NOTHING
        if _decoded(name) == self._path[self._matched]:
            if self._had_array:
                raise self._damaged("a name on the way to its records is there twice")
            self._matched = depth
            self._for = _Held.BLANK

    def _valued(self, depth: int) -> None:
        """A value is over, in the object at a depth."""
        if depth and depth == self._matched:
            if not self._had_array:
                raise self._nothing()
            self._matched = depth - 1

    def _closed(self, depth: int) -> None:
        self._is_over = depth == 0
        self._for = _Held.BLANK if self._is_over else _Held.NOTHING

    def _damaged(self, why: str) -> SourceDamaged:
        return SourceDamaged(f"{self._name} is no whole JSON document: {why}", hint="fetch it again, then run again")

    def _too_long(self) -> SourceDamaged:
        what = f"a record of more than {ROW_BYTES_MAX >> 20} MB after record {self._rows}"
        if self._for is not _Held.RECORD:
            what = f"a name, or what is no JSON, of more than {NAME_BYTES_MAX >> 10} kB"
        return SourceDamaged(f"{self._name} has {what}", hint="see whether it is the JSON that it should be")

    def _nothing(self) -> SourceDamaged:
        where = ".".join(("$", *self._path))
        return SourceDamaged(
            f"{self._name} has no array of records at {where}", hint='say where they are: records="$.data[*]"'
        )


def _decoded(name: bytes) -> object:
    try:
        return json.loads(name)
    except ValueError:
        return None  # no name, so not the one that is looked for

"""CSV: every cell as text, rows that do not fit the header set apart with their number and their text.

Read by pyarrow's streaming reader. Three things it does not tell are looked after here: a quote that is never closed
(it takes the rest of the file for one field), a duplicate name in the header, and a row longer than its block.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import IO, Any, Literal, Protocol, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from rowkeeper.batch import Malformed
from rowkeeper.errors import SourceError

BLOCK_BYTES = 4 << 20
ROW_BYTES_MAX = 64 << 20
HEADER_BYTES_MAX = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a file, in order.

    Attributes:
        numbers: number in the file of each row of `table`, from 0.
        next_row: number of the first row after this piece.
    """

    table: pa.Table
    numbers: pa.Array[Any]
    places: pa.Array[Any]
    malformed: tuple[Malformed, ...]
    next_row: int

    def since(self, row: int) -> Piece:
        """The piece without the rows before this number."""
        malformed = tuple(each for each in self.malformed if each.row >= row)
        if not len(self.numbers) or self.numbers[0].as_py() >= row:
            return dataclasses.replace(self, malformed=malformed)
        fresh = pc.greater_equal(self.numbers, pa.scalar(row, pa.uint64()))
        return Piece(
            self.table.filter(fresh), self.numbers.filter(fresh), self.places.filter(fresh), malformed, self.next_row
        )


class Reopen(Protocol):
    """Opens the file's content from its beginning."""

    def __call__(self) -> AbstractContextManager[IO[bytes]]:
        """A fresh stream."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells are written."""

    delimiter: str
    encoding: str
    null_values: tuple[str, ...]


def header_of(name: str, stream: IO[bytes], dialect: Dialect) -> tuple[list[str], int]:
    """The column names, and how many lines they take.

    Raises SourceError for an empty file, or a name that is there twice.
    """
    encoding = "utf-8-sig" if dialect.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else dialect.encoding
    text = io.TextIOWrapper(io.BufferedReader(_Head(stream)), encoding=encoding, newline="")
    try:
        reader = csv.reader(text, delimiter=dialect.delimiter)
        names = next((row for row in reader if row), None)
        lines = reader.line_num
    except (UnicodeError, csv.Error) as error:
        raise _wrong_encoding(name, dialect, 0) from error
    if names is None:
        raise SourceError(f"{name} is empty: it has not even a header", hint="see to whoever writes it")
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice:
        raise SourceError(
            f"{name} has the column {twice[0]!r} {names.count(twice[0])} times", hint="rename one of them in the file"
        )
    return names, lines


class _Head(io.RawIOBase):
    """The beginning of a stream: a header is not looked for beyond it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._left = stream, HEADER_BYTES_MAX

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


class _Quotes(io.RawIOBase):
    """Passes a stream on and counts its quotes: an odd number leaves one open."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.count += data.count(b'"')
        return data


@dataclasses.dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file whose header is known.

    Attributes:
        names: the columns; `keep` are those that are read.
        header_lines: lines that the header takes.
    """

    name: str
    reopen: Reopen
    names: Sequence[str]
    header_lines: int
    keep: Sequence[str]
    dialect: Dialect

    def pieces(self) -> Iterator[Piece]:
        """The rows, some thousands at a time. A row longer than a block makes the reading start over with larger ones.

        Raises SourceError for a wrong encoding, a quote that is never closed, or a row beyond `ROW_BYTES_MAX`.
        """
        done = 0
        try:
            for piece in _Reading(self, BLOCK_BYTES).pieces():
                yield piece
                done = piece.next_row
        except _RowTooLong:
            try:
                yield from (rest for rest in map(partial(_after, done), _Reading(self, ROW_BYTES_MAX).pieces()) if rest)
            except _RowTooLong as error:
                raise SourceError(
                    f"{self.name} has a row of more than {ROW_BYTES_MAX >> 20} MB after row {done}",
                    hint="see whether a quote is missing there",
                ) from error


class _RowTooLong(Exception):  # noqa: N818 - handled here, never seen outside
    """A row did not fit in a block."""


class _Reading:
    """One pass over a CSV file with blocks of one size."""

    def __init__(self, file: CsvFile, block_bytes: int) -> None:
        self._file = file
        self._block_bytes = block_bytes
        self._bad: list[Malformed] = []
        self._row = 0
        self._last_good = self._last_bad = (-1, False)  # number, and whether a newline is in it

    def pieces(self) -> Iterator[Piece]:
        with self._file.reopen() as stream:
            quotes = _Quotes(stream)
            try:
                reader = self._reader(quotes)
                while (batch := next(reader, None)) is not None:
                    if piece := self._piece(batch):
                        if batch.num_rows:
                            self._last_good = (piece.numbers[-1].as_py(), _has_newline(batch))
                        yield piece
            except (pa.ArrowInvalid, UnicodeError) as error:
                raise self._explained(error) from error
            if piece := self._piece(None):
                yield piece
            if quotes.count % 2 and max(self._last_good, self._last_bad)[1]:
                raise SourceError(
                    f"{self._file.name} ends inside quotes: a quote is never closed",
                    hint="close it, or fetch the file again",
                )

    def _reader(self, stream: _Quotes) -> Iterator[pa.RecordBatch]:
        file = self._file
        return iter(
            pyarrow.csv.open_csv(
                cast("IO[bytes]", pa.PythonFile(stream, mode="r")),
                read_options=pyarrow.csv.ReadOptions(
                    block_size=self._block_bytes,
                    skip_rows=file.header_lines,
                    column_names=list(file.names),
                    encoding=file.dialect.encoding,
                    use_threads=False,
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=file.dialect.delimiter, newlines_in_values=True, invalid_row_handler=self._set_apart
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types={each: pa.string() for each in file.names},
                    include_columns=list(file.keep),
                    strings_can_be_null=True,
                    null_values=list(file.dialect.null_values),
                    quoted_strings_can_be_null=False,
                ),
            )
        )

    def _set_apart(self, row: Any) -> Literal["skip", "error"]:
        """A row of another width: its number counts all rows before it, good or bad."""
        number = row.number - self._file.header_lines - 1
        kind = "csv_too_many_fields" if row.actual_columns > row.expected_columns else "csv_too_few_fields"
        message = f"{row.actual_columns} fields where the header has {row.expected_columns}"
        self._bad.append(Malformed(number, f"row {number + 1}", kind, message, row.text.encode()))
        self._last_bad = (number, "\n" in row.text)
        return "skip"

    def _piece(self, batch: pa.RecordBatch | None) -> Piece | None:
        """The rows of a block, those set apart among them: the good ones take the numbers that are left.

        The reader parses ahead of what it returns, so some of the rows set apart belong to a later block.
        """
        table = pa.Table.from_batches([batch]) if batch is not None else _none(self._file.keep)
        self._bad.sort(key=lambda each: each.row)
        taken = {each.row for each in self._bad}
        free = (number for number in itertools.count(self._row) if number not in taken)
        numbers = pa.array(itertools.islice(free, table.num_rows), pa.uint64())
        first, self._row = self._row, numbers[-1].as_py() + 1 if len(numbers) else self._row
        if batch is None and self._bad:
            self._row = self._bad[-1].row + 1
        bad = tuple(each for each in self._bad if each.row < self._row)
        del self._bad[: len(bad)]
        return Piece(table, numbers, row_places(numbers), bad, self._row) if self._row > first else None

    def _explained(self, error: Exception) -> Exception:
        text, name = str(error), self._file.name
        if "straddling" in text:
            return _RowTooLong()
        if "UTF8" in text or isinstance(error, UnicodeError):
            return _wrong_encoding(name, self._file.dialect, self._row)
        if "Empty CSV" in text:
            return SourceError(f"{name} is empty: it has not even a header", hint="see to whoever writes it")
        return SourceError(
            f"{name} cannot be read as CSV after row {self._row}", hint="see whether a quote is missing there"
        )


def _after(done: int, piece: Piece) -> Piece | None:
    """The rows of a piece from number `done` on; None if there is none."""
    return piece.since(done) if piece.next_row > done else None


def _has_newline(batch: pa.RecordBatch) -> bool:
    last = batch.slice(batch.num_rows - 1).to_pylist()[0]
    return any(value is not None and "\n" in value for value in last.values())


def row_places(numbers: pa.Array[Any]) -> pa.Array[Any]:
    """ "row 17" for each row number, counted from 1 for people."""
    join: Any = pc.binary_join_element_wise
    joined: pa.Array[Any] = join("row", pc.add(numbers, pa.scalar(1, pa.uint64())).cast(pa.string()), " ")
    return joined


def _none(keep: Sequence[str]) -> pa.Table:
    return pa.table({each: pa.array([], pa.string()) for each in keep})


def _wrong_encoding(name: str, dialect: Dialect, counter: int) -> SourceError:
    return SourceError(
        f"{name} is not {dialect.encoding}: it has bytes of another encoding after row {counter}",
        hint='say which one it has: rk.sources.files(..., encoding="latin-1")',
    )

"""CSV: every cell as text, rows that do not fit the header set apart with their number and their text.

Read by pyarrow's streaming reader. What it does not tell, or gets wrong, is looked after here and in `text.py`: a quote
that is never closed (it takes the rest of the file for one field), a duplicate name in the header, a row longer than
its block, and row numbers of rows that are set apart ahead of their block. Blank lines are no rows.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import io
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import IO, Any, Literal, Protocol, cast

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from rowkeeper.batch import Malformed
from rowkeeper.errors import ColumnsDiffer, SourceDamaged, SourceError
from rowkeeper.sources.file.pacing import Pace
from rowkeeper.sources.file.text import Utf8Stream

BLOCK_BYTES = 4 << 20
BLOCKS_AHEAD = 2
HOPELESS_ROWS = 100_000
ROW_BYTES_MAX = 64 << 20
HEADER_BYTES_MAX = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a file, in order.

    Attributes:
        numbers: number in the file of each row of `table`, from 0.
        places: number from 1, by which a person finds it: its line in NDJSON, its row otherwise.
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
    """How the cells are written.

    Attributes:
        records: of a JSON document, the path to its records.
    """

    delimiter: str
    encoding: str
    null_values: tuple[str, ...]
    records: str = "$"


def header_of(name: str, stream: IO[bytes], dialect: Dialect) -> tuple[list[str], int]:
    """The column names, and how many lines they take.

    Raises SourceError for an empty file, a name that is there twice, or a header that has no end.
    """
    head = _Head(Utf8Stream(name, stream, dialect.encoding))
    reader = csv.reader(io.TextIOWrapper(io.BufferedReader(head), "utf-8", newline=""), delimiter=dialect.delimiter)
    try:
        names = next((row for row in reader if row), None)
    except (csv.Error, UnicodeError) as error:
        raise _no_header(name) from error
    if names is None:
        raise SourceError(f"{name} is empty: it has not even a header", hint="see to whoever writes it")
    if head.cut and any("\n" in each for each in names):
        raise _no_header(name)
    refuse_twice(name, names)
    return names, reader.line_num


def refuse_twice(name: str, names: Sequence[str]) -> None:
    """Raises SourceError if a column name is there twice: either could be meant."""
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice:
        places = [number for number, each in enumerate(names, 1) if each == twice[0]]
        raise ColumnsDiffer(  # by number: in a file without a header the names are values
            f"{name} has the same name for its columns {' and '.join(map(str, places[:3]))}",
            hint="rename one of them in the file",
        )


def _no_header(name: str) -> SourceError:
    return SourceDamaged(
        f"the first {HEADER_BYTES_MAX >> 20} MB of {name} are no CSV header",
        hint="see whether a quote is missing there, and whether the file is a CSV at all",
    )


class _Head(io.RawIOBase):
    """The beginning of a stream: a header is not looked for beyond it."""

    def __init__(self, stream: Utf8Stream) -> None:
        self._stream, self._left = stream, HEADER_BYTES_MAX
        self.cut = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left < 2:
            self.cut = True
            return 0
        data = self._stream.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


@dataclasses.dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file whose header is known.

    Attributes:
        names: the columns; `keep` are those that are read.
        header_lines: lines that the header takes.
        batch_bytes: where that is little, blocks are smaller too: some of them are read ahead.
    """

    name: str
    reopen: Reopen
    names: Sequence[str]
    header_lines: int
    keep: Sequence[str]
    dialect: Dialect
    batch_bytes: int

    def pieces(self) -> Iterator[Piece]:
        """The rows, some thousands at a time. A row longer than a block makes the reading start over with larger ones.

        Raises SourceError for a wrong encoding, a quote that is never closed, or a row beyond `ROW_BYTES_MAX`.
        """
        done, block_bytes = 0, min(BLOCK_BYTES, self.batch_bytes)
        while True:
            try:
                for piece in map(functools.partial(_after, done), _Reading(self, block_bytes).pieces()):
                    if piece is not None:
                        yield piece
                        done = piece.next_row
            except _RowTooLong as error:
                if block_bytes >= ROW_BYTES_MAX:
                    raise SourceDamaged(
                        f"{self.name} has a row of more than {ROW_BYTES_MAX >> 20} MB after row {done}",
                        hint="see whether a quote is missing there",
                    ) from error
                block_bytes = min(4 * block_bytes, ROW_BYTES_MAX)
            else:
                return


class _RowTooLong(Exception):  # noqa: N818 - handled here, never seen outside
    """A row did not fit in a block."""


class _Reading:
    """One pass over a CSV file with blocks of one size."""

    def __init__(self, file: CsvFile, block_bytes: int) -> None:
        self._file = file
        self._block_bytes = block_bytes
        self._bad: list[Malformed] = []
        self._row = 0
        self._end = f"rowkeeper-end-of-file-{secrets.token_hex(8)}"
        if len(file.names) == 1:
            self._end = f"{self._end}{file.dialect.delimiter}{self._end}"
        self._ended = False
        self._is_opening = True  # until the first good row, all rows set apart are in memory
        self._bad_bytes = 0

    def pieces(self) -> Iterator[Piece]:
        file, pace = self._file, Pace(BLOCKS_AHEAD, self._block_bytes)
        with file.reopen() as stream, contextlib.closing(pace):
            end = f"\n{self._end}\n".encode()
            text = Utf8Stream(file.name, stream, file.dialect.encoding, end, pace)
            try:
                reader = self._reader(text)
                self._is_opening = False
                while (batch := self._next(reader, pace)) is not None:
                    if piece := self._piece(batch):
                        yield piece
            except pa.ArrowInvalid as error:
                raise self._explained(error) from error
            if piece := self._piece(None):
                yield piece
            if not self._ended:
                raise SourceDamaged(
                    f"{file.name} ends inside quotes: a quote is never closed",
                    hint="close it, or fetch the file again",
                )

    @staticmethod
    def _next(reader: Iterator[pa.RecordBatch], pace: Pace) -> pa.RecordBatch | None:
        pace.wait_for_batch()
        batch = next(reader, None)
        pace.take()
        return batch

    def _reader(self, stream: Utf8Stream) -> Iterator[pa.RecordBatch]:
        file = self._file
        return iter(
            pyarrow.csv.open_csv(
                cast("IO[bytes]", pa.PythonFile(stream, mode="r")),
                read_options=pyarrow.csv.ReadOptions(
                    block_size=self._block_bytes,
                    skip_rows=file.header_lines,
                    column_names=list(file.names),
                    use_threads=False,
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=file.dialect.delimiter, newlines_in_values=True, invalid_row_handler=self._set_apart
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types={each: pa.string() for each in file.names},
                    include_columns=list(file.keep),
                    check_utf8=False,  # done by the stream
                    strings_can_be_null=True,
                    null_values=list(file.dialect.null_values),
                    quoted_strings_can_be_null=False,
                ),
            )
        )

    def _set_apart(self, row: Any) -> Literal["skip", "error"]:
        """A row of another width: its number counts all rows before it, good or bad."""
        if row.text == self._end:  # the line after the last: no quote was open
            self._ended = True
            return "skip"
        number = row.number - self._file.header_lines - 1
        kind = "csv_too_many_fields" if row.actual_columns > row.expected_columns else "csv_too_few_fields"
        message = f"{row.actual_columns} fields where the header has {row.expected_columns}"
        self._bad.append(Malformed(number, f"row {number + 1}", kind, message, row.text.encode()))
        self._bad_bytes += len(row.text)
        hopeless = len(self._bad) >= HOPELESS_ROWS or self._bad_bytes > ROW_BYTES_MAX
        return "error" if self._is_opening and hopeless else "skip"

    def _piece(self, batch: pa.RecordBatch | None) -> Piece | None:
        """The rows of a block, those set apart among them: the good ones take the numbers that are left.

        The reader parses ahead of what it returns, so some of the rows set apart belong to a later block.
        """
        table = pa.Table.from_batches([batch]) if batch is not None else _none(self._file.keep)
        first, rows = self._row, table.num_rows
        self._bad.sort(key=lambda each: each.row)
        numbers = row_range(first, first + rows + len(self._bad))
        if self._bad:
            bad_rows = pa.array([each.row for each in self._bad], pa.uint64())
            numbers = numbers.filter(pc.invert(pc.is_in(numbers, bad_rows)))
        numbers = numbers.slice(0, rows)
        if rows:
            self._row = numbers[-1].as_py() + 1
        if batch is None and self._bad:
            self._row = self._bad[-1].row + 1
        bad = tuple(each for each in self._bad if each.row < self._row)
        del self._bad[: len(bad)]
        self._check_lengths(table, bad)
        return Piece(table, numbers, row_places(numbers), bad, self._row) if self._row > first else None

    def _check_lengths(self, table: pa.Table, bad: Sequence[Malformed]) -> None:
        """Raises _RowTooLong for a row beyond the limit that found room in two blocks."""
        longest = max((len(each.text) for each in bad), default=0)
        if table.nbytes > ROW_BYTES_MAX:
            lengths = (pc.fill_null(pc.binary_length(each).cast(pa.int64()), 0) for each in table.columns)
            add: Any = pc.add
            longest = max(longest, pc.max(functools.reduce(add, lengths)).as_py())
        if longest > ROW_BYTES_MAX:
            raise _RowTooLong

    def _explained(self, error: Exception) -> Exception:
        text, name = str(error), self._file.name
        if "straddling" in text:
            return _RowTooLong()
        if self._is_opening and self._bad:
            return ColumnsDiffer(
                f"none of the first {len(self._bad):,} rows of {name} has as many fields as the header "
                f"({len(self._file.names)}); {self._bad[-1].place} has {self._bad[-1].message.split()[0]}",
                hint="mend the header (a file without one?), or say the right delimiter=",
            )
        return SourceDamaged(
            f"{name} cannot be read as CSV after row {self._row}", hint="see whether a quote is missing there"
        )


def _after(done: int, piece: Piece) -> Piece | None:
    """The rows of a piece from number `done` on; None if there is none."""
    return piece.since(done) if piece.next_row > done else None


def row_range(first: int, end: int) -> pa.Array[Any]:
    """The row numbers from `first` to before `end`, as a uint64 array."""
    numbers: pa.Array[Any] = pl.int_range(first, end, dtype=pl.UInt64, eager=True).to_arrow()
    return numbers


def row_places(numbers: pa.Array[Any]) -> pa.Array[Any]:
    """Row numbers as people count them, from 1."""
    return pc.add(numbers, pa.scalar(1, pa.uint64()))


def _none(keep: Sequence[str]) -> pa.Table:
    return pa.table({each: pa.array([], pa.string()) for each in keep})

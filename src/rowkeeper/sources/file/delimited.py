"""CSV: every cell as text, rows that do not fit the header set apart with their number and their text.

Read by pyarrow's streaming reader. Three things it does not tell are looked after here: a quote that is never closed
(it takes the rest of the file for one field), a duplicate name in the header, and a row longer than its block.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import IO, Any, Protocol

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


def pieces(
    name: str, reopen: Reopen, names: Sequence[str], lines: int, keep: Sequence[str], dialect: Dialect
) -> Iterator[Piece]:
    """The rows of a CSV file, some thousands at a time."""
    done = 0
    try:
        for piece in _pieces(name, reopen, names, lines, keep, dialect, BLOCK_BYTES, 0):
            yield piece
            done = piece.next_row
    except _RowTooLong:
        try:
            yield from _pieces(name, reopen, names, lines, keep, dialect, ROW_BYTES_MAX, done)
        except _RowTooLong as error:
            raise SourceError(
                f"{name} has a row of more than {ROW_BYTES_MAX >> 20} MB after row {done}",
                hint="see whether a quote is missing there",
            ) from error


class _RowTooLong(Exception):  # noqa: N818 - handled here, never seen outside
    """A row did not fit in a block."""


def _pieces(
    name: str,
    reopen: Reopen,
    names: Sequence[str],
    lines: int,
    keep: Sequence[str],
    dialect: Dialect,
    block_bytes: int,
    done: int,
) -> Iterator[Piece]:
    bad: list[Malformed] = []
    counter = 0
    last_has_newline = False

    def set_apart(row: pyarrow.csv.InvalidRow) -> str:
        number = row.number - lines - 1
        kind = "csv_too_many_fields" if row.actual_columns > row.expected_columns else "csv_too_few_fields"
        message = f"{row.actual_columns} fields where the header has {row.expected_columns}"
        bad.append(Malformed(number, f"row {number + 1}", kind, message, row.text.encode()))
        return "skip"

    with reopen() as stream:
        quotes = _Quotes(stream)
        try:
            reader = pyarrow.csv.open_csv(
                pa.PythonFile(quotes, mode="r"),
                read_options=pyarrow.csv.ReadOptions(
                    block_size=block_bytes,
                    skip_rows=lines,
                    column_names=list(names),
                    encoding=dialect.encoding,
                    use_threads=False,
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=dialect.delimiter, newlines_in_values=True, invalid_row_handler=set_apart
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types={each: pa.string() for each in names},
                    include_columns=list(keep),
                    strings_can_be_null=True,
                    null_values=list(dialect.null_values),
                    quoted_strings_can_be_null=False,
                ),
            )
            while True:
                batch = reader.read_next_batch()
                bad.sort(key=lambda each: each.row)
                end = counter + batch.num_rows + len(bad)
                numbers = _numbers(counter, end, bad)
                if batch.num_rows:
                    last_has_newline = _has_newline(batch)
                if end > done and end > counter:
                    yield _piece(batch, numbers, tuple(bad), end, done)
                counter = end
                bad.clear()
        except StopIteration:
            pass
        except (pa.ArrowInvalid, UnicodeError) as error:
            raise _explained(name, error, dialect, counter) from error
        if bad:
            end = counter + len(bad)
            yield Piece(_none(keep), pa.array([], pa.uint64()), pa.array([], pa.string()), tuple(bad), end)
        if quotes.count % 2 and last_has_newline:
            raise SourceError(
                f"{name} ends inside quotes: a quote is never closed", hint="close it, or fetch the file again"
            )


def _numbers(first: int, end: int, bad: Sequence[Malformed]) -> pa.Array[Any]:
    numbers = pa.array(range(first, end), pa.uint64())
    if not bad:
        return numbers
    return numbers.filter(pc.invert(pc.is_in(numbers, pa.array([each.row for each in bad], pa.uint64()))))


def _has_newline(batch: pa.RecordBatch) -> bool:
    last = batch.slice(batch.num_rows - 1).to_pylist()[0]
    return any(value is not None and "\n" in value for value in last.values())


def _piece(batch: pa.RecordBatch, numbers: pa.Array[Any], bad: tuple[Malformed, ...], end: int, done: int) -> Piece:
    table = pa.Table.from_batches([batch])
    if done and len(numbers) and numbers[0].as_py() < done:
        fresh = pc.greater_equal(numbers, pa.scalar(done, pa.uint64()))
        table, numbers = table.filter(fresh), numbers.filter(fresh)
        bad = tuple(each for each in bad if each.row >= done)
    return Piece(table, numbers, row_places(numbers), bad, end)


def row_places(numbers: pa.Array[Any]) -> pa.Array[Any]:
    """"row 17" for each row number, counted from 1 for people."""
    return pc.binary_join_element_wise("row", pc.add(numbers, pa.scalar(1, pa.uint64())).cast(pa.string()), " ")


def _none(keep: Sequence[str]) -> pa.Table:
    return pa.table({each: pa.array([], pa.string()) for each in keep})


def _explained(name: str, error: Exception, dialect: Dialect, counter: int) -> Exception:
    text = str(error)
    if "straddling" in text:
        return _RowTooLong()
    if "UTF8" in text or isinstance(error, UnicodeError):
        return _wrong_encoding(name, dialect, counter)
    if "Empty CSV" in text:
        return SourceError(f"{name} is empty: it has not even a header", hint="see to whoever writes it")
    return SourceError(f"{name} cannot be read as CSV after row {counter}", hint="see whether a quote is missing there")


def _wrong_encoding(name: str, dialect: Dialect, counter: int) -> SourceError:
    return SourceError(
        f"{name} is not {dialect.encoding}: it has bytes of another encoding after row {counter}",
        hint='say which one it has: rk.sources.files(..., encoding="latin-1")',
    )

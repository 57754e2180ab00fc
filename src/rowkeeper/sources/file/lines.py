"""NDJSON: a document per line, passed on as it stands, so that null and absent stay apart."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import IO, Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.batch import RAW_LINE
from rowkeeper.errors import SourceDamaged, SourceError
from rowkeeper.sources.file.delimited import ROW_BYTES_MAX, Piece, Reopen, row_range
from rowkeeper.sources.file.text import BYTE_ORDER_MARK, Utf8Stream

CHUNK_BYTES = 1 << 20  # larger ones are new pages each time, and those take longer than the lines do
WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def pieces(name: str, reopen: Reopen, encoding: str, batch_bytes: int) -> Iterator[Piece]:
    """The lines of a file, some thousands at a time. Blank lines are no rows, but are counted as lines.

    Raises SourceError for a line of more than `ROW_BYTES_MAX`, and for text of another encoding.
    """
    line = row = 0
    pending: list[bytes] = []  # the beginning of a line whose end was not read yet
    pending_bytes = 0
    with utf8(name, reopen, encoding) as stream:
        while chunk := stream.read(min(CHUNK_BYTES, batch_bytes)):
            cut = chunk.rfind(b"\n") + 1
            if cut:
                piece, lines = _piece(name, b"".join((*pending, chunk[: cut - 1])), line, row)
                line, row = line + lines, piece.next_row
                pending, pending_bytes = [], 0
                if piece.table.num_rows:
                    yield piece
            pending.append(chunk[cut:])
            pending_bytes += len(chunk) - cut
            if pending_bytes > ROW_BYTES_MAX:
                raise _too_long(name, line)
    if pending_bytes:
        piece, _ = _piece(name, b"".join(pending), line, row)
        if piece.table.num_rows:
            yield piece


class _Transcoded(AbstractContextManager["Utf8Stream"]):
    """A file's content as UTF-8."""

    def __init__(self, name: str, content: AbstractContextManager[IO[bytes]], encoding: str) -> None:
        self._name, self._content, self._encoding = name, content, encoding

    def __enter__(self) -> Utf8Stream:
        return Utf8Stream(self._name, self._content.__enter__(), self._encoding)

    def __exit__(self, *fault: Any) -> bool | None:
        return self._content.__exit__(*fault)


def utf8(name: str, reopen: Reopen, encoding: str) -> AbstractContextManager[IO[bytes]]:
    """UTF-8 goes through as it stands: whether a line is good is the contract's to say."""
    if codecs.lookup(encoding).name == "utf-8":
        return reopen()
    return cast("AbstractContextManager[IO[bytes]]", _Transcoded(name, reopen(), encoding))


def _piece(name: str, text: bytes, line: int, row: int) -> tuple[Piece, int]:
    """The lines of a text without its last newline, and how many they are, blank ones included."""
    if line == 0:
        if text.startswith(WIDE_MARKS):
            raise SourceError(f"{name} is not utf-8 but utf-16", hint='rk.sources.files(..., encoding="utf-16")')
        text = text.removeprefix(BYTE_ORDER_MARK)
    if b"\r" in text:  # inside a document it can stand as white space only
        text = text.replace(b"\r\n", b"\n").removesuffix(b"\r")
    whole: Any = pa.array([text], pa.large_binary())
    documents: Any = pc.split_pattern(whole, "\n").flatten()
    places = pl.int_range(line + 1, line + 1 + len(documents), dtype=pl.UInt64, eager=True).to_arrow()
    if pc.max(pc.binary_length(documents)).as_py() > ROW_BYTES_MAX:
        raise _too_long(name, line)
    lines = len(documents)
    written: Any = pc.not_equal(pc.binary_length(documents), pa.scalar(0, pa.int64()))
    written = pc.and_not(written, pc.ascii_is_space(documents.view(pa.large_string())))
    if not pc.all(written).as_py():
        documents, places = documents.filter(written), places.filter(written)
    piece = Piece(
        table=pa.table({RAW_LINE: documents}),
        numbers=row_range(row, row + len(documents)),
        places=places,
        malformed=(),
        next_row=row + len(documents),
    )
    return piece, lines


def _too_long(name: str, line: int) -> SourceError:
    return SourceDamaged(
        f"{name} has a line of more than {ROW_BYTES_MAX >> 20} MB after line {line}",
        hint="one JSON document per line is expected",
    )

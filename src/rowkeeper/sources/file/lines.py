"""NDJSON: a document per line, passed on as it stands, so that null and absent stay apart."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from rowkeeper.batch import RAW_LINE
from rowkeeper.errors import SourceError
from rowkeeper.sources.file.delimited import ROW_BYTES_MAX, Piece, Reopen

CHUNK_BYTES = 4 << 20


def pieces(name: str, reopen: Reopen) -> Iterator[Piece]:
    """The lines of a file, some thousands at a time. Blank lines are no rows."""
    rest = b""
    line = row = 0
    with reopen() as stream:
        while chunk := stream.read(CHUNK_BYTES):
            *whole, rest = (rest + chunk).split(b"\n")
            if len(rest) > ROW_BYTES_MAX:
                raise SourceError(
                    f"{name} has a line of more than {ROW_BYTES_MAX >> 20} MB after line {line + len(whole)}",
                    hint="one JSON document per line is expected",
                )
            if whole:
                piece = _piece(whole, line, row)
                line, row = line + len(whole), piece.next_row
                if piece.table.num_rows:
                    yield piece
    if rest.strip():
        yield _piece([rest], line, row)


def _piece(lines: list[bytes], line: int, row: int) -> Piece:
    if line == 0 and lines[0].startswith(b"\xef\xbb\xbf"):
        lines[0] = lines[0][3:]
    kept = [(number, text) for number, text in enumerate(lines, line + 1) if text and not text.isspace()]
    return Piece(
        table=pa.table({RAW_LINE: pa.array([text.rstrip(b"\r") for _, text in kept], pa.large_binary())}),
        numbers=pa.array(range(row, row + len(kept)), pa.uint64()),
        places=pa.array([f"line {number}" for number, _ in kept], pa.string()),
        malformed=(),
        next_row=row + len(kept),
    )

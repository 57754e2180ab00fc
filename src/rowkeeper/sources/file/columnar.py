"""Parquet: typed columns as they are; dictionaries are decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import IOBase
from typing import IO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from rowkeeper.errors import SourceError
from rowkeeper.sources.file.delimited import Piece, Reopen, row_places


def open_parquet(name: str, stream: IO[bytes], *, seekable: bool) -> pq.ParquetFile:
    """A Parquet file; one inside a compressed stream is unpacked into memory, as its footer is read first.

    Raises SourceError if it is damaged or truncated.
    """
    try:
        return pq.ParquetFile(
            pa.PythonFile(cast("IOBase", stream), mode="r") if seekable else pa.BufferReader(stream.read())
        )
    except pa.ArrowInvalid as error:
        raise _damaged(name) from error


def pieces(
    name: str, reopen: Reopen, keep: Sequence[str], *, seekable: bool, batch_rows: int, start_row: int
) -> Iterator[Piece]:
    """The rows of a Parquet file from `start_row` on; row groups before it are not read."""
    with reopen() as stream:
        file = open_parquet(name, stream, seekable=seekable)
        groups, first = _groups(file, start_row)
        try:
            for batch in file.iter_batches(batch_rows, row_groups=groups, columns=list(keep)):
                end = first + batch.num_rows
                if end > start_row:
                    fresh = batch.slice(max(0, start_row - first))
                    numbers = pa.array(range(max(first, start_row), end), pa.uint64())
                    table = pa.Table.from_batches([fresh])
                    yield Piece(_decoded(table), numbers, row_places(numbers), (), end)
                first = end
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            raise _damaged(name) from error


def _groups(file: pq.ParquetFile, start_row: int) -> tuple[list[int], int]:
    """The row groups that hold `start_row` and what follows, and the number of their first row."""
    first = 0
    for index in range(file.num_row_groups):
        rows = file.metadata.row_group(index).num_rows
        if first + rows > start_row:
            return list(range(index, file.num_row_groups)), first
        first += rows
    return [], first


def _decoded(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(field.type.value_type))
    return table


def _damaged(name: str) -> SourceError:
    return SourceError(
        f"{name} is no whole Parquet file: it is damaged or truncated", hint="fetch it again, then run again"
    )

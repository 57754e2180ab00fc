"""Parquet: typed columns as they are; dictionaries are decoded. Page checksums are verified where the file has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import IOBase
from typing import IO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from rowkeeper.errors import SourceDamaged, SourceError
from rowkeeper.sources.file.delimited import Piece, Reopen, row_places, row_range

UNPACKED_BYTES_MAX = 1 << 30
PIECE_BYTES = 32 << 20
DAMAGES = (pa.ArrowInvalid, pa.ArrowNotImplementedError)


def open_parquet(name: str, stream: IO[bytes], *, seekable: bool) -> pq.ParquetFile:
    """A Parquet file; one inside a compressed stream is unpacked into memory, as its footer is read first.

    Raises SourceError if it is damaged, truncated, or too large to be unpacked (`UNPACKED_BYTES_MAX`).
    """
    try:
        if seekable:
            return pq.ParquetFile(
                pa.PythonFile(cast("IOBase", stream), mode="r"), page_checksum_verification=True, pre_buffer=False
            )
        content = stream.read(UNPACKED_BYTES_MAX + 1)
        if len(content) > UNPACKED_BYTES_MAX:
            raise SourceError(
                f"{name} is more than {UNPACKED_BYTES_MAX >> 30} GB when unpacked: Parquet is read from its end, so a "
                "packed file has to fit into memory",
                hint="unpack it first: Parquet is compressed inside",
            )
        return pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True, pre_buffer=False)
    except DAMAGES as error:
        raise _damaged(name) from error
    except OSError as error:
        if error.errno is not None or isinstance(error, EOFError):
            raise
        raise _damaged(name) from error


def pieces(
    name: str, reopen: Reopen, keep: Sequence[str], *, seekable: bool, batch_rows: int, start_row: int
) -> Iterator[Piece]:
    """The rows of a Parquet file from `start_row` on; row groups before it are not read."""
    with reopen() as stream:
        file = open_parquet(name, stream, seekable=seekable)
        groups, first = _groups(file, start_row)
        try:
            for batch in file.iter_batches(_rows(file, batch_rows), row_groups=groups, columns=list(keep)):
                end = first + batch.num_rows
                if end > start_row:
                    fresh = batch.slice(max(0, start_row - first))
                    numbers = row_range(max(first, start_row), end)
                    table = pa.Table.from_batches([fresh])
                    yield Piece(_decoded(table), numbers, row_places(numbers), (), end)
                first = end
        except DAMAGES as error:
            raise _damaged(name) from error
        except OSError as error:
            if error.errno is not None:
                raise  # the disk's fault, not the file's
            raise _damaged(name) from error


def _rows(file: pq.ParquetFile, batch_rows: int) -> int:
    """How many rows are about `PIECE_BYTES`, by the widest row group, and not more than `batch_rows`."""
    groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
    row_bytes = max((each.total_byte_size // max(each.num_rows, 1) for each in groups), default=0)
    return max(1, min(batch_rows, PIECE_BYTES // max(row_bytes, 1)))


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
    return SourceDamaged(
        f"{name} is no whole Parquet file: it is damaged or truncated", hint="fetch it again, then run again"
    )

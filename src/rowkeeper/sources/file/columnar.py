"""Parquet: typed columns as they are; dictionaries are decoded. Page checksums are verified where the file has them.

A row group may be larger than memory, so its pages are streamed. And a page may be far smaller than what it says: a
dictionary writes a long text once for a million rows. Such columns are read as dictionaries, and decoded in parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import IOBase
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rowkeeper.errors import SourceDamaged, SourceError
from rowkeeper.sources.file.delimited import Piece, Reopen, row_places, row_range

UNPACKED_BYTES_MAX = 1 << 30
PIECE_BYTES = 32 << 20
STREAM_BYTES = 1 << 20
DICTIONARY_BYTES_MAX = 4 << 20  # writers give up a dictionary at about a megabyte; the rest is for the numbers in it
INDEX_BYTES_MAX = 3
DAMAGES = (pa.ArrowInvalid, pa.ArrowNotImplementedError)


def open_parquet(name: str, stream: IO[bytes], *, seekable: bool, dictionaries: Sequence[str] = ()) -> pq.ParquetFile:
    """A Parquet file; one inside a compressed stream is unpacked into memory, as its footer is read first.

    Args:
        dictionaries: columns that are to be read as dictionaries.

    Raises SourceError if it is damaged, truncated, or too large to be unpacked (`UNPACKED_BYTES_MAX`).
    """
    try:
        if seekable:
            return _opened(pa.PythonFile(cast("IOBase", stream), mode="r"), dictionaries)
        content = stream.read(UNPACKED_BYTES_MAX + 1)
        if len(content) > UNPACKED_BYTES_MAX:
            raise SourceError(
                f"{name} is more than {UNPACKED_BYTES_MAX >> 30} GB when unpacked: Parquet is read from its end, so a "
                "packed file has to fit into memory",
                hint="unpack it first: Parquet is compressed inside",
            )
        return _opened(pa.BufferReader(content), dictionaries)
    except DAMAGES as error:
        raise _damaged(name) from error
    except OSError as error:
        if error.errno is not None or isinstance(error, EOFError):
            raise
        raise _damaged(name) from error


def _opened(source: Any, dictionaries: Sequence[str]) -> pq.ParquetFile:
    return pq.ParquetFile(
        source,
        page_checksum_verification=True,
        pre_buffer=False,
        buffer_size=STREAM_BYTES,
        read_dictionary=list(dictionaries),
    )


def pieces(
    name: str,
    reopen: Reopen,
    keep: Sequence[str],
    *,
    seekable: bool,
    batch_rows: int,
    batch_bytes: int,
    start_row: int,
) -> Iterator[Piece]:
    """The rows of a Parquet file from `start_row` on; row groups before it are not read."""
    piece_bytes = min(PIECE_BYTES, batch_bytes)
    with reopen() as stream:
        file = open_parquet(name, stream, seekable=seekable)
        if narrow := _dictionaries(file, keep):
            stream.seek(0)
            file = open_parquet(name, stream, seekable=seekable, dictionaries=narrow)
        groups, first = _groups(file, start_row)
        try:
            rows = _rows(file, batch_rows, piece_bytes)
            for batch in file.iter_batches(rows, row_groups=groups, columns=list(keep)):
                for part in _parts(batch, piece_bytes):
                    end = first + part.num_rows
                    if end > start_row:
                        fresh = part.slice(max(0, start_row - first))
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


def _dictionaries(file: pq.ParquetFile, keep: Sequence[str]) -> list[str]:
    """Text columns some of whose chunks are a dictionary and little else."""
    texts = {
        field.name for field in file.schema_arrow if pa.types.is_string(field.type) or pa.types.is_binary(field.type)
    }
    found = set()
    for index in range(file.num_row_groups):
        group = file.metadata.row_group(index)
        for each in (group.column(number) for number in range(group.num_columns)):
            most = DICTIONARY_BYTES_MAX + INDEX_BYTES_MAX * each.num_values
            if each.has_dictionary_page and each.total_uncompressed_size <= most:
                found.add(each.path_in_schema)
    return [each for each in keep if each in texts & found]


def _parts(batch: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    """A batch in parts of about so many bytes when its dictionaries are decoded."""
    whole = sum(_decoded_bytes(column) for column in batch.columns)
    rows = batch.num_rows if whole <= size else max(1, batch.num_rows * size // whole)
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _decoded_bytes(column: Any) -> int:
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths: Any = pc.binary_length(column.dictionary).cast(pa.int64()).take(column.indices)
    return int(pc.sum(lengths).as_py() or 0)


def _rows(file: pq.ParquetFile, batch_rows: int, piece_bytes: int) -> int:
    """How many rows are about `piece_bytes`, by the widest row group, and not more than `batch_rows`."""
    groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
    row_bytes = max((each.total_byte_size // max(each.num_rows, 1) for each in groups), default=0)
    return max(1, min(batch_rows, piece_bytes // max(row_bytes, 1)))


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

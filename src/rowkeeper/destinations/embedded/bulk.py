"""The short cut for bulk data: an Arrow file in memory, which the engine maps instead of receiving it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

CHUNK_ROWS = 65_536


@contextmanager
def shared_arrow_file(table: pa.Table) -> Iterator[str]:
    """Writes a table as an Arrow file into memory that has no name; yields the path by which the engine opens it.

    The memory is given back when the block is left, or with the process, whatever ends it.
    """
    with _memory() as descriptor:
        with os.fdopen(os.dup(descriptor), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=CHUNK_ROWS)
        yield _path(descriptor)


@contextmanager
def shared_file(data: bytes) -> Iterator[str]:
    """The same for what is a file already."""
    with _memory() as descriptor:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        yield _path(descriptor)


@contextmanager
def _memory() -> Iterator[int]:
    descriptor = os.memfd_create("rowkeeper-batch", os.MFD_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _path(descriptor: int) -> str:
    return f"/proc/{os.getpid()}/fd/{descriptor}"

"""Files opened through their compression. A stream that ends too soon is an error, never an end."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from rowkeeper.errors import SourceError

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

READ_BYTES = 1 << 20
DAMAGES = (OSError, EOFError, zlib.error, zipfile.BadZipFile, zstd.ZstdError, NotImplementedError)


@contextmanager
def opened(file: IO[bytes], name: str, member: str | None, compression: str) -> Iterator[IO[bytes]]:
    """The content of an open file as a stream of bytes."""
    if member is not None:
        try:
            with zipfile.ZipFile(file) as archive, archive.open(member) as stream:
                yield stream
        except KeyError as error:
            raise SourceError(f"{name} is no longer there: its zip holds no {member}", hint="run again") from error
    elif compression == "gz":
        with gzip.open(file) as stream:
            yield io.BufferedReader(stream, READ_BYTES)
    elif compression == "zst":
        with zstd.open(file) as stream:
            yield cast("IO[bytes]", stream)
    else:
        yield file


def damaged(name: str, error: Exception, rows: int | None = None) -> SourceError:
    """What an exception of a decompressor or of the disk means for a person.

    Args:
        rows: how many rows had been read, where any could have been.
    """
    text = str(error).lower()
    place = f" after row {rows:,}" if rows else ""
    if isinstance(error, OSError) and error.errno is not None:
        return SourceError(
            f"{name} cannot be read{place}: {os.strerror(error.errno)}", hint="see to the disk and its permissions"
        )
    if isinstance(error, EOFError) or any(each in text for each in ("end-of-stream", "truncated", "unexpected end")):
        return SourceError(f"{name} is truncated: it ends in the middle{place}", hint="fetch it again, then run again")
    if isinstance(error, NotImplementedError):
        return SourceError(f"{name} is packed in a way that cannot be read here: {error}", hint="unpack it first")
    if "not a zip file" in text:
        return SourceError(f"{name} is no whole zip file: it is damaged or truncated", hint="fetch it again")
    return SourceError(f"{name} is damaged{place}: {_kind(error)}", hint="fetch it again, then run again")


def _kind(error: Exception) -> str:
    return f"{type(error).__module__}.{type(error).__name__}"

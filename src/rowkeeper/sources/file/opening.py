"""Files opened through their compression. A stream that ends too soon is an error, never an end."""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from rowkeeper.errors import SourceError

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

READ_BYTES = 1 << 20
DAMAGES = (OSError, EOFError, zlib.error, zipfile.BadZipFile, zstd.ZstdError, NotImplementedError)


@contextmanager
def opened(file: IO[bytes], path: Path, member: str | None, compression: str) -> Iterator[IO[bytes]]:
    """The content of an open file as a stream of bytes."""
    if member is not None:
        try:
            with zipfile.ZipFile(file) as archive, archive.open(member) as stream:
                yield stream
        except KeyError as error:
            raise SourceError(f"{path} no longer holds {member}", hint="run again") from error
    elif compression == "gz":
        with gzip.open(file) as stream:
            yield io.BufferedReader(stream, READ_BYTES)
    elif compression == "zst":
        with zstd.open(file) as stream:
            yield cast("IO[bytes]", stream)
    else:
        yield file


def damaged(name: str, error: Exception) -> SourceError:
    """What an exception of a decompressor or of the disk means for a person."""
    text = str(error).lower()
    if isinstance(error, EOFError) or "end-of-stream" in text or "truncated" in text or "unexpected end" in text:
        return SourceError(f"{name} is truncated: it ends in the middle", hint="fetch it again, then run again")
    if isinstance(error, OSError) and error.errno is not None:
        return SourceError(f"{name} cannot be read: {error.strerror}", hint="see to the disk and its permissions")
    return SourceError(f"{name} is damaged: {type(error).__name__}", hint="fetch it again, then run again")

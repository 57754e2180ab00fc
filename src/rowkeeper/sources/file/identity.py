"""How a file is known again: by its size and the SHA-256 of its bytes.

Hashing a file that was hashed before is spared where the file system says that nothing has touched it. Its word is
taken as Git takes it: size, times and inode are all the same, and the last change was well before the hashing, as a
file that is changed twice within one tick of the clock shows the same times.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rowkeeper.errors import SourceError

RACY_NANOSECONDS = 2_000_000_000


def stat_of(path: Path) -> dict[str, int]:
    """What the file system says of a file."""
    try:
        return _document(os.stat(path))
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}", hint="see to its permissions") from error


def stat_of_descriptor(descriptor: int) -> dict[str, int]:
    """The same of an open file."""
    return _document(os.fstat(descriptor))


def _document(found: os.stat_result) -> dict[str, int]:
    return {
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "ctime_ns": found.st_ctime_ns,
        "inode": found.st_ino,
    }


def untouched(stat: Mapping[str, int], former: Mapping[str, Any]) -> bool:
    """Whether the file system vouches that the file is as it was when it was hashed."""
    same = all(former.get(name) == value for name, value in stat.items())
    return same and stat["ctime_ns"] + RACY_NANOSECONDS < int(former.get("hashed_ns", 0))


def hashed(path: Path, stat: Mapping[str, int]) -> tuple[str, int]:
    """The identity of a file's content, and when it was taken.

    Raises SourceError if the file changes meanwhile.
    """
    started = time.time_ns()
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}", hint="see to its permissions") from error
    if stat_of(path) != dict(stat):
        raise changed(path)
    return f"size:{stat['size']};sha256:{digest}", started


def changed(path: Path) -> SourceError:
    """The file is being written to."""
    return SourceError(
        f"{path} changed while it was read",
        hint="let its writer finish (write under another name, then rename), and run again",
    )

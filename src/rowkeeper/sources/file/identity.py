"""How a file is known again: by what its store says of it, or by its size and the SHA-256 of its bytes.

Hashing a file that was hashed before is spared where its store says that nothing has touched it. The word of a file
system is taken as Git takes it: size, times and inode are all the same, and the last change was well before the
hashing, as a file changed twice within one tick of the clock would show the same times.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any

from rowkeeper.errors import SourceChanged, SourceError
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.sources.file.store import Stamp, Store

RACY_NANOSECONDS = 2_000_000_000
HASHED_BYTES = 1 << 20  # between two looks at the clock


def same(stamp: Stamp, former: Mapping[str, Any]) -> bool:
    """Whether a file has the stamp that was kept of it."""
    return all(former.get(name) == value for name, value in stamp.items())


def untouched(stamp: Stamp, former: Mapping[str, Any]) -> bool:
    """Whether the store vouches that the file is as it was when it was hashed."""
    if "ctime_ns" not in stamp:  # of another machine: asked what it is known by, or looked at
        return False
    settled = int(stamp["ctime_ns"]) + RACY_NANOSECONDS < int(former.get("hashed_ns", 0))
    return same(stamp, former) and settled


def hashed(store: Store, location: str, stamp: Stamp) -> tuple[str, int]:
    """The identity of a file's content, and when it was taken.

    Raises SourceError if the file changes meanwhile, or cannot be read; DeadlineExceeded if the time is over.
    """
    started = time.time_ns()
    vouched = store.identity(stamp)
    if vouched is not None:
        return vouched, started
    try:
        with store.open(location) as file:
            digest, size = hashlib.sha256(), 0
            while part := file.read(HASHED_BYTES):
                digest.update(part)
                size += len(part)
                seconds_left()
    except OSError as error:
        raise SourceError(f"{location} cannot be read: {error.strerror}", hint="see to the disk") from error
    if store.stamp(location) != stamp:
        raise changed(location)
    return f"size:{size};sha256:{digest.hexdigest()}", started


def changed(location: str) -> SourceError:
    """The file is being written to."""
    return SourceChanged(
        f"{location} changed while it was read",
        hint="let its writer finish (write under another name, then rename), and run again",
    )

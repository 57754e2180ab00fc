"""Run boundaries: moments at which no table that backups hold is ahead of the ledger, nor behind it.

Whoever publishes to a table of the embedded engine or of a ClickHouse server holds a lock, shared with all others who
publish, from before the publish until the ledger knows of it. Whoever needs a moment between runs takes it alone: then
each table is as the ledger says, but for runs that died between publish and record. The lock is of the state folder,
and goes with the process that holds it. Of tables on a server, to which other machines may publish, a backup also looks
at the commit records once it has the ledger.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rowkeeper.errors import LeaseHeld, StateError
from rowkeeper.resilience.deadline import seconds_left

LOCK = "publish.lock"
LOOK_SECONDS = 0.01
HELD_SECONDS_MAX = 300.0
EMBEDDED = "clickhouse:embedded/"
CLICKHOUSE = "clickhouse:"  # embedded, or on a server


@contextmanager
def crossing(home: Path, target: str) -> Iterator[None]:
    """For the time in which a table may be ahead of the ledger. What no backup holds has no boundary here.

    Raises LeaseHeld if somebody who needs a moment between runs does not come to an end.
    """
    if not target.startswith(CLICKHOUSE):
        yield
        return
    with _locked(home, fcntl.LOCK_SH, HELD_SECONDS_MAX, "a backup has been holding publishes back"):
        yield


@contextmanager
def between_runs(home: Path, seconds: float) -> Iterator[None]:
    """Nobody who works with this state folder publishes to ClickHouse in the block.

    Raises LeaseHeld after so many seconds.
    """
    with _locked(home, fcntl.LOCK_EX, seconds, "runs have been publishing without a moment between them"):
        yield


@contextmanager
def _locked(home: Path, how: int, seconds: float, what: str) -> Iterator[None]:
    path = home / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(
            f"{path} cannot be made: {error.strerror}", hint="rowkeeper doctor says what is wrong"
        ) from error
    try:
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            except BlockingIOError:
                seconds_left()
                if time.monotonic() >= until:
                    raise LeaseHeld(
                        f"{what} for {seconds:.0f} s", hint="see what rowkeeper health shows under way, then try again"
                    ) from None
                time.sleep(LOOK_SECONDS)
            else:
                break
        yield
    finally:
        os.close(descriptor)

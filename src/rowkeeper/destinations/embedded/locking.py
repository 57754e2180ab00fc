"""File locks that are waited for a little at a time, so that a deadline, a signal and a limit reach whoever waits."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable

LOOK_SECONDS = 0.01


def locked_within(descriptor: int, seconds: float, patience: Callable[[], object] = lambda: None) -> bool:
    """Takes an exclusive lock on an open file; False if another process held it all the time.

    Args:
        patience: called again and again while it waits; what it raises ends the waiting.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            patience()
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK_SECONDS)
        else:
            return True

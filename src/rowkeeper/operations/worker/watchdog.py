"""The watchdog of the worker's own loop: a process whose loop stands still ends, to be started again."""

from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LOOP_SECONDS_MAX = 180.0  # a ledger that is locked may hold a round up for 30 s, more than once
STUCK = 70  # exit status: EX_SOFTWARE


class Watchdog:
    """Counts its own seconds between two rounds: while the whole process is stopped (SIGSTOP) none go by."""

    def __init__(self, seconds_max: float = LOOP_SECONDS_MAX) -> None:
        self._left = self._seconds_max = seconds_max
        self._done = threading.Event()

    def beat(self) -> None:
        """The loop went round."""
        self._left = self._seconds_max

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches until the block is left."""
        thread = threading.Thread(target=self._watch, name="rowkeeper-watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    def _watch(self) -> None:
        step = min(1.0, self._seconds_max / 4)
        while not self._done.wait(step):
            self._left -= step
            if self._left <= 0:
                os.write(2, b"the worker's loop stands still; it ends, to be started again. It stood here:\n")
                faulthandler.dump_traceback(all_threads=True)
                os._exit(STUCK)

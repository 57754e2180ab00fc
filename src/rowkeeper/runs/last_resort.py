"""The last resort of a command that was told to stop: it ends, wherever its threads hang.

Python runs a signal's handler between two steps of the main thread's own code, which may be a long time coming: a lock
on the ledger, a disk that does not answer, a computation in native code. A thread of its own reads from the descriptor
that is written to when a signal comes, whatever the main thread is at, and waits.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable

from rowkeeper.runs.interrupt import END_SECONDS_MAX, SIGNALS

AT_ONCE = "stopped at once; give the command again: it goes on or starts over"
TOO_LONG = "stopped in the midst of something that did not end; give the command again: it goes on or starts over"


class LastResort:
    """Ends the process at a second signal, or so long after the first.

    Args:
        leave: says so, and ends the process: it is called in a thread of its own, and must wait for nobody.
    """

    def __init__(self, leave: Callable[[str], None], seconds: float = END_SECONDS_MAX) -> None:
        self._leave = leave
        self._seconds = seconds
        self._theirs, self._ours = os.pipe()
        for end in (self._theirs, self._ours):
            os.set_blocking(end, False)

    def stand_by(self) -> None:
        """Begins to listen. To be called in the main thread, once its handlers are set."""
        signal.set_wakeup_fd(self._ours, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="last-resort", daemon=True).start()

    def _watch(self) -> None:
        ends_at: float | None = None
        while True:
            left = None if ends_at is None else max(0.0, ends_at - time.monotonic())
            if not select.select([self._theirs], [], [], left)[0]:
                self._leave(TOO_LONG)
            for number in os.read(self._theirs, 4096):
                if number in SIGNALS:
                    if ends_at is not None:
                        self._leave(AT_ONCE)
                    ends_at = time.monotonic() + self._seconds

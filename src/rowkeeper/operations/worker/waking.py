"""What wakes the work loop: signals, and children that ended."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from collections.abc import Iterator
from types import FrameType
from typing import Any

STOPS = (signal.SIGTERM, signal.SIGINT)


class Waker:
    """Counts signals, and sleeps until the next one.

    Attributes:
        stops: how often it was asked to stop.
        reload: it was asked to read its files anew.
    """

    def __init__(self) -> None:
        self.stops = 0
        self.reload = False
        self._ours, self._theirs = socket.socketpair()
        for end in (self._ours, self._theirs):
            end.setblocking(False)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Takes over the signals of this process until the block is left."""
        former: dict[signal.Signals, Any] = {
            number: signal.signal(number, self._came) for number in (*STOPS, signal.SIGHUP, signal.SIGCHLD)
        }
        before = signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in former.items():
                signal.signal(number, handler)
            self._ours.close()
            self._theirs.close()

    def _came(self, number: int, _frame: FrameType | None) -> None:
        if number in STOPS:
            self.stops += 1
        elif number == signal.SIGHUP:
            self.reload = True

    def wait(self, seconds: float) -> None:
        """Returns after so long, or at the next signal; at once if one came since the last call."""
        if select.select([self._ours], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                self._ours.recv(4096)

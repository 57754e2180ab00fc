"""Ctrl-C or SIGTERM at any moment: a batch is finished first, and a publish is too short to be stopped.

A second signal ends the command at once. Signals come to the main thread only; elsewhere nothing is put off.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rowkeeper.logs.native import told_by

SIGNALS = (signal.SIGINT, signal.SIGTERM)
BATCH_SECONDS_MAX = 8.0  # systemd and people begin to doubt after ten


class Strike:
    """A command's handler: the first signal is a KeyboardInterrupt, the second ends the process on the spot."""

    def __init__(self) -> None:
        self.came = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Implements a signal handler. Raises KeyboardInterrupt."""
        if self.came:
            os.write(told_by(), b"stopped at once; give the command again: it goes on or starts over\n")
            os._exit(1)
        self.came = True
        raise KeyboardInterrupt


@contextmanager
def ended_quietly() -> Iterator[None]:
    """Ctrl-C while a command is still being imported ends the process, without Python's traceback."""
    undecided = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not undecided or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Puts off the first signal until the block is left, where it is too late to matter.

    The steps from prepare to record take a fraction of a second. Stopping in the middle of them would be safe (the
    next command finishes or undoes them) but would leave the person who stopped not knowing which.
    """
    with _put_off(lambda: None):
        yield


@contextmanager
def finished_first() -> Iterator[None]:
    """Puts off the first signal until the block is left, for `BATCH_SECONDS_MAX` at most.

    Raises KeyboardInterrupt then.
    """
    came: list[bool] = []

    def come() -> None:
        came.append(True)
        _ring_after(BATCH_SECONDS_MAX)

    with _put_off(come):
        yield
    if came:
        _ring_after(0.0)
        raise KeyboardInterrupt


@contextmanager
def _put_off(come: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in former.items():
            if handler is not None:  # None: it was not set from Python, and cannot be set again
                signal.signal(number, handler)

    def put_off(_number: int, _frame: FrameType | None) -> None:
        restore()
        for handler in former.values():
            if isinstance(handler, Strike):
                handler.came = True
        come()

    for number, handler in former.items():
        if handler is not None and handler != signal.SIG_DFL:
            signal.signal(number, put_off)
    try:
        yield
    finally:
        restore()


def _ring_after(seconds: float) -> None:
    """Raises KeyboardInterrupt in so many seconds (0: not any more), unless somebody else uses the alarm."""
    if signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, signal.default_int_handler):
        signal.signal(signal.SIGALRM, signal.default_int_handler if seconds else signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)

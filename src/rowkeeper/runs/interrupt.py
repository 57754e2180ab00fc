"""Ctrl-C or SIGTERM at any moment: a batch or a publish is finished first, if that takes no longer than it may.

    0 s      the first signal; nothing new is begun, and from now on whoever waits knows how long it may
    8 s      what was to be finished first is given up
    9 s      nobody has time any more; what is left is to close the run in the ledger, and to leave
    9.5 s    the process ends, wherever its threads are (`last_resort.py`)

Signals come to the main thread only; elsewhere nothing is put off. Each of these ends leaves a run that goes on, as
SIGKILL at any moment does.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rowkeeper.resilience.deadline import process_ends_in

SIGNALS = (signal.SIGINT, signal.SIGTERM)
FINISH_SECONDS_MAX = 8.0
STOP_SECONDS_MAX = 9.0
END_SECONDS_MAX = 9.5  # systemd, the worker and people begin to doubt after ten


class Strike:
    """A command's handler: the first signal is a KeyboardInterrupt. The second is for the last resort to see to."""

    def __init__(self) -> None:
        self._came = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Implements a signal handler. Raises KeyboardInterrupt."""
        if not self._came:
            self.came()
            raise KeyboardInterrupt

    def came(self) -> None:
        """Notes the first signal: from now on the time of all threads is bounded."""
        self._came = True
        process_ends_in(STOP_SECONDS_MAX)


class Patience:
    """The handler of a command that makes one run after another: the first signal lets the run under way end.

    It has the time that anything has that is to be finished first; then it is interrupted, like any run. The second is
    for the last resort to see to.
    """

    def __init__(self) -> None:
        self._came = threading.Event()

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Implements a signal handler."""
        if not self._came.is_set():
            self._came.set()
            process_ends_in(STOP_SECONDS_MAX)
            _ring_after(FINISH_SECONDS_MAX)

    def pause(self, seconds: float) -> bool:
        """Waits so long; False as soon as a signal came."""
        return not self._came.wait(seconds)


@contextmanager
def patient() -> Iterator[Patience]:
    """In the block, the first signal is no interrupt: whoever is in it asks whether one came.

    Raises KeyboardInterrupt from where it is `FINISH_SECONDS_MAX` after it.
    """
    patience = Patience()
    former: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in former.items():
        if handler not in (None, signal.SIG_IGN):
            signal.signal(number, patience)
    try:
        yield patience
    finally:
        _ring_after(0.0)
        _restore(former)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Puts off the first signal until the block is left, where it is too late to matter.

    The steps from prepare to record take a fraction of a second. Stopping in the middle of them is safe (the next
    command finishes or undoes them) but leaves the person who stopped not knowing which. So it is done only where they
    hang: KeyboardInterrupt comes after `FINISH_SECONDS_MAX`.
    """
    with _put_off():
        yield


@contextmanager
def finished_first() -> Iterator[None]:
    """Puts off the first signal until the block is left, for `FINISH_SECONDS_MAX` at most.

    Raises KeyboardInterrupt then.
    """
    with _put_off() as came:
        yield
    if came:
        raise KeyboardInterrupt


@contextmanager
def _put_off() -> Iterator[list[int]]:
    """Yields the list to which a signal is added that comes in the block; the time of the block is bounded then."""
    came: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or any(isinstance(signal.getsignal(number), Patience) for number in SIGNALS):
        yield came
        return
    former: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in SIGNALS}

    def put_off(number: int, _frame: FrameType | None) -> None:
        _restore(former)
        came.append(number)
        for handler in former.values():
            if isinstance(handler, Strike):
                handler.came()
        _ring_after(FINISH_SECONDS_MAX)

    for number, handler in former.items():
        if handler is not None and handler != signal.SIG_DFL:
            signal.signal(number, put_off)
    try:
        yield came
    finally:
        _restore(former)
        if came:
            _ring_after(0.0)


def _restore(former: Mapping[signal.Signals, Any]) -> None:
    for number, handler in former.items():
        if handler is not None:  # None: it was not set from Python, and cannot be set again
            signal.signal(number, handler)


def _ring_after(seconds: float) -> None:
    """Raises KeyboardInterrupt in so many seconds (0: not any more), unless somebody else uses the alarm."""
    if signal.getsignal(signal.SIGALRM) not in (signal.SIG_DFL, signal.default_int_handler):
        return
    if seconds:
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, seconds)
    else:
        signal.setitimer(signal.ITIMER_REAL, 0.0)  # first, as an alarm that nobody handles ends the process
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

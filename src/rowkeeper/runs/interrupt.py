"""Ctrl-C at any moment: taken between two batches, put off while a publish is under way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Puts off the first Ctrl-C until the block is left, where it is too late to matter; a second one strikes.

    The steps from prepare to record take a fraction of a second. Stopping in the middle of them would be safe (the
    next command finishes or undoes them) but would leave the person who stopped not knowing which.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.getsignal(signal.SIGINT)

    def put_off(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, former)

    signal.signal(signal.SIGINT, put_off)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)

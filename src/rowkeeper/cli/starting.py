"""Before a command is imported. Imports next to nothing itself: until it is there, Ctrl-C is Python's to answer."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


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

"""What libraries in other languages write to standard error by themselves, past Python.

Rust's panics (Polars is written in Rust) print their words and a trace of the stack to descriptor 2 before they become
an exception. The words may quote values. A command, which owns its process, gives Python's own standard error another
descriptor; then descriptor 2 can be kept apart for a while, and what was written there is passed on unless it is of a
panic.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rowkeeper.errors import is_panic

STDERR = 2
PANICKED = (b" panicked at ", b"PanicException")  # the words of Rust's standard library, and of PyO3


class _Owned:
    """Whether this process is ours, and what is kept apart just now.

    Attributes:
        told: descriptor of the real standard error; None in a program that only uses Rowkeeper.
        blocks: how many keep descriptor 2 apart.
        kept: descriptor of what was written there. It is memory: words that may not be told are not written to a disk.
        passed_on: how many bytes of it were told, or are not to be told.
        panicked: a panic is among it, so nothing more of it is told.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.told: int | None = None
        self.blocks = 0
        self.kept = -1
        self.passed_on = 0
        self.panicked = False


_owned = _Owned()


def own_stderr() -> None:
    """For commands: from now on what Python writes to standard error goes by a descriptor of its own.

    Does nothing where somebody has put something else in its place.
    """
    try:
        if _owned.told is not None or sys.stderr.fileno() != STDERR:
            return
    except (OSError, ValueError, AttributeError):  # closed, or never open
        return
    sys.stderr.flush()
    _owned.told = os.dup(STDERR)
    sys.stderr = os.fdopen(
        _owned.told, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace", closefd=False
    )
    sys.excepthook = _unsaid


def _unsaid(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A panic that passes through Rust again on its way up is printed there, by this hook, before it goes on."""
    if not is_panic(error):
        sys.__excepthook__(kind, error, trace)


def told_by() -> int:
    """The descriptor of the real standard error, for whoever must write past Python."""
    return STDERR if _owned.told is None else _owned.told


@contextmanager
def withheld() -> Iterator[None]:
    """What others write to descriptor 2 in the block is told after it; if a library panicked, none of it is.

    Blocks of several threads may overlap: after a panic nothing is told until the last of them has ended.
    """
    if _owned.told is None:
        yield
        return
    with _owned.lock:
        if not _owned.blocks:
            _owned.kept = os.memfd_create("rowkeeper-stderr")
            _owned.passed_on, _owned.panicked = 0, False
            os.dup2(_owned.kept, STDERR)
        _owned.blocks += 1
    try:
        yield
    finally:
        with _owned.lock:
            _owned.blocks -= 1
            if not _owned.blocks:
                os.dup2(_owned.told, STDERR)
            _pass_on(_owned.told)
            if not _owned.blocks:
                os.close(_owned.kept)


def _pass_on(told: int) -> None:
    """Tells what was written since the last time. The mark of a panic comes before its words."""
    said = os.pread(_owned.kept, os.fstat(_owned.kept).st_size - _owned.passed_on, _owned.passed_on)
    _owned.passed_on += len(said)
    _owned.panicked = _owned.panicked or any(words in said for words in PANICKED)
    if said and not _owned.panicked:
        os.write(told, said)

"""What a run did less well than it should have: noted in one place, and told with its report.

A run collects these sentences. What has nobody to collect them (a plan that is only explained) is not worth noting.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rowkeeper.errors import FrameworkError
from rowkeeper.logs import failure, logger

log = logger("degraded")
_collected: ContextVar[list[str] | None] = ContextVar("rowkeeper_degraded", default=None)


@contextmanager
def collecting() -> Iterator[list[str]]:
    """Yields the list that the block's degradations go to, those of the threads that it starts included."""
    found: list[str] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def degraded(what: str, error: BaseException) -> None:
    """Notes what was done instead of what should have been, and why. Names and causes, no values."""
    log.warning("degraded", **{**failure(error), "instead": what})
    found = _collected.get()
    if found is not None:
        why = error.what if isinstance(error, FrameworkError) else type(error).__name__
        sentence = f"{what}: {why}"
        if sentence not in found:
            found.append(sentence)


@contextmanager
def optional(what: str) -> Iterator[None]:
    """Work that a run can do without: a fault of the machine, the disk or another program leaves it out, noted."""
    try:
        yield
    except (FrameworkError, OSError) as error:
        degraded(f"{what} was left out", error)

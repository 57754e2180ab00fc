"""How long the work at hand may still take: one absolute moment in a context variable, handed down the stack.

    with deadline(60):
        ...                                      # whatever is called in here
        client.settimeout(seconds_left(30))      # the less of 30 s and of what is left

Nested deadlines only shrink. asyncio tasks inherit theirs by themselves; a new thread does not, unless its function
goes through `carried`.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from rowkeeper.errors import DeadlineExceeded
from rowkeeper.resilience.clock import SYSTEM_CLOCK, Clock

P = ParamSpec("P")
T = TypeVar("T")

# The statement's own limit is a little less than the socket's: the engine's answer that it gave up still comes through.
SQL_MARGIN_SECONDS = 0.1
SQL_SECONDS_MIN = 0.05

_at: contextvars.ContextVar[tuple[float, Clock] | None] = contextvars.ContextVar("rowkeeper_deadline", default=None)


@contextmanager
def deadline(seconds: float | None, clock: Clock = SYSTEM_CLOCK) -> Iterator[None]:
    """The body, and all that it calls, may take so long; less if less was left already. None changes nothing.

    It stops nobody by itself: whoever waits asks `seconds_left` how long it may.
    """
    before = _at.get()
    at = None if seconds is None else clock.monotonic() + seconds
    if at is None or (before is not None and before[0] <= at):
        yield
        return
    token = _at.set((at, clock))
    try:
        yield
    finally:
        _at.reset(token)


def remaining() -> float | None:
    """Seconds until the deadline, below 0 once it has passed; None if there is none."""
    set_by = _at.get()
    return None if set_by is None else set_by[0] - set_by[1].monotonic()


def seconds_left(limit: float | None = None) -> float | None:
    """How long one step may wait: the less of its own limit and of what is left. None is for ever.

    Raises DeadlineExceeded if nothing is left.
    """
    left = remaining()
    if left is None:
        return limit
    if left <= 0:
        raise exceeded()
    return left if limit is None else min(limit, left)


def sql_seconds_left() -> float | None:
    """What to give a statement as `max_execution_time`; None if there is no deadline.

    Raises DeadlineExceeded if nothing is left.
    """
    left = seconds_left()
    return None if left is None else max(SQL_SECONDS_MIN, left - min(SQL_MARGIN_SECONDS, left / 10))


def carried(function: Callable[P, T]) -> Callable[P, T]:
    """The function with this moment's deadline (and every other context variable), for another thread to call."""
    context = contextvars.copy_context()

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> T:
        # A copy for each call: one context cannot be entered by two threads at a time.
        return context.copy().run(function, *args, **kwargs)

    return inside


def exceeded() -> DeadlineExceeded:
    """The error that says so."""
    return DeadlineExceeded("the deadline has passed", hint="allow more time, or see what was slow: rowkeeper doctor")

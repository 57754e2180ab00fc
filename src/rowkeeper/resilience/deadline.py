"""How long the work at hand may still take: one absolute moment in a context variable, handed down the stack.

    with deadline(60):
        ...                                      # whatever is called in here
        client.settimeout(seconds_left(30))      # the less of 30 s and of what is left

Nested deadlines only shrink. asyncio tasks inherit theirs by themselves; a new thread does not, unless its function
goes through `carried`. A process that was told to stop has one more, which is that of all its threads.
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
# What has to be done when the time is over: a note in the ledger, a lease given back.
CLEAN_UP_SECONDS = 0.15

_at: contextvars.ContextVar[tuple[float, Clock] | None] = contextvars.ContextVar("rowkeeper_deadline", default=None)


class _Process:
    """When this process is to have ended, on the system's monotonic clock; None while nobody told it to stop."""

    ends_at: float | None = None


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


@contextmanager
def cleaning_up() -> Iterator[None]:
    """For what must be done although the time is over: the body has `CLEAN_UP_SECONDS` at least, whatever was left.

    To be as brief as what is in it: whoever waits for the deadline waits for this as well.
    """
    set_by = _at.get()
    if set_by is None or set_by[0] - set_by[1].monotonic() >= CLEAN_UP_SECONDS:
        yield
        return
    token = _at.set((set_by[1].monotonic() + CLEAN_UP_SECONDS, set_by[1]))
    try:
        yield
    finally:
        _at.reset(token)


def process_ends_in(seconds: float | None) -> None:
    """This process was told to stop: from now on all of its threads have so long, or less. None: it goes on."""
    _Process.ends_at = None if seconds is None else SYSTEM_CLOCK.monotonic() + seconds


def process_is_ending() -> bool:
    """Whether this process was told to stop."""
    return _Process.ends_at is not None


def remaining() -> float | None:
    """Seconds until the deadline, below 0 once it has passed; None if there is none."""
    set_by = _at.get()
    left = None if set_by is None else set_by[0] - set_by[1].monotonic()
    if _Process.ends_at is None:
        return left
    process_left = _Process.ends_at - SYSTEM_CLOCK.monotonic()
    return process_left if left is None else min(left, process_left)


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
    return DeadlineExceeded("the deadline has passed", hint="run again: what was staged is kept; or allow more time")

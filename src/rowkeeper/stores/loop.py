"""The event loop in which obstore's requests are made, so that one can be left behind when its time is over.

obstore's blocking functions cannot be interrupted: a deadline would pass while they wait. Its asynchronous ones can be
cancelled. One thread of the process has the loop; whoever waits, waits in a thread of its own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rowkeeper.resilience.deadline import exceeded, seconds_left

T = TypeVar("T")
GLANCE_SECONDS = 0.25  # between two looks at the deadline, which can come nearer when the process is told to stop


class _Thread:
    """The loop of this process. A process that was forked makes its own."""

    lock = threading.Lock()
    loop: asyncio.AbstractEventLoop | None = None
    process = 0


def _running() -> asyncio.AbstractEventLoop:
    with _Thread.lock:
        if _Thread.loop is None or _Thread.process != os.getpid():
            _Thread.loop, _Thread.process = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_Thread.loop.run_forever, name="rowkeeper-store-loop", daemon=True).start()
        return _Thread.loop


def started(make: Callable[[], Awaitable[T]]) -> concurrent.futures.Future[T]:
    """Begins an asynchronous call; `waited` gives its result."""

    async def made() -> T:
        return await make()

    return asyncio.run_coroutine_threadsafe(made(), _running())


def waited(future: concurrent.futures.Future[T]) -> T:
    """The result of a call that was begun. Raises what it raised, and DeadlineExceeded, which ends it."""
    try:
        while True:
            left = seconds_left(GLANCE_SECONDS)
            with contextlib.suppress(concurrent.futures.TimeoutError):
                if not future.done():
                    concurrent.futures.wait([future], left)
                if future.done():
                    return future.result(0)
    except concurrent.futures.CancelledError:
        raise exceeded() from None
    finally:
        if not future.done():
            future.cancel()


def run(make: Callable[[], Awaitable[T]]) -> T:
    """Makes an asynchronous call, and waits for its result within the deadline."""
    return waited(started(make))

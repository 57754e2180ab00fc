"""Hedged reads: where an answer is late, ask a second time and take whichever comes first.

Only for reads, and paid from the retry budget: it helps against the one slow machine among many, not against a host
that is slow altogether. See Dean and Barroso, "The Tail at Scale" (2013).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rowkeeper.resilience.deadline import carried, seconds_left

T = TypeVar("T")

Wrap = Callable[[Callable[[], T]], T]


def hedged(function: Callable[[], T], after_seconds: float, second: Callable[[], Callable[[], T] | None]) -> T:
    """The first answer of one or two calls in threads; the error of the last if none has one.

    The loser cannot be stopped: it ends by itself, at the latest when its socket meets the deadline.

    Args:
        second: what to call when the first is late; None for nothing.

    Raises DeadlineExceeded if no answer came in time.
    """
    answers: queue.SimpleQueue[tuple[bool, T | Exception]] = queue.SimpleQueue()

    def ask(this: Callable[[], T]) -> None:
        try:
            answers.put((True, this()))
        except Exception as error:  # noqa: BLE001 - handed over to the thread that waits, which raises it
            answers.put((False, error))

    def start(this: Callable[[], T]) -> None:
        threading.Thread(target=carried(ask), args=(this,), name="rowkeeper-hedge", daemon=True).start()

    start(function)
    under_way, may_ask_again = 1, True
    while True:
        try:
            well, answer = answers.get(timeout=seconds_left(after_seconds if may_ask_again else None))
        except queue.Empty:
            seconds_left()
            may_ask_again = False
            other = second()
            if other is not None:
                start(other)
                under_way += 1
            continue
        under_way -= 1
        if well:
            return answer  # type: ignore[return-value]
        if not under_way:
            assert isinstance(answer, Exception)
            raise answer


async def hedged_async(
    function: Callable[[], Awaitable[T]],
    after_seconds: float,
    second: Callable[[], Callable[[], Awaitable[T]] | None],
) -> T:
    """The same with tasks; the loser is cancelled."""
    tasks = {asyncio.ensure_future(function())}
    try:
        done, waiting = await asyncio.wait(tasks, timeout=after_seconds)
        other = None if done else second()
        if other is not None:
            tasks.add(asyncio.ensure_future(other()))
            waiting = set(tasks)
        while True:
            # Both may end at the same moment: an answer counts before an error.
            well = [task for task in done if task.exception() is None]
            if well or not waiting:
                return (well or list(done))[0].result()
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

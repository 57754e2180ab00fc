"""Reading, checking and staging overlap: iterators that are run ahead in threads, with bounded queues between them.

What takes longest, and treats each item by itself, is done for several of them side by side.

Where memory is short nothing waits in a queue: one stage goes on when the next has taken what it made.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Generic, Self, TypeVar

from rowkeeper import metering
from rowkeeper.logs import logger
from rowkeeper.resilience.deadline import remaining, seconds_left

Item = TypeVar("Item")
Made = TypeVar("Made")

# A thread cannot be stopped from outside: one that is in the midst of something is waited for so long, and left behind.
CLOSE_SECONDS = 3.0
# What is kept back of the time that is left: for whoever closes, to say in the ledger that the run was stopped.
NOTE_SECONDS = 0.5

log = logger("run")


class _Ahead(threading.Thread, Generic[Item]):
    """Pulls an iterable in a thread and keeps at most `depth` items waiting, one while `is_tight`."""

    def __init__(
        self, items: Iterable[Item], depth: int, name: str, is_tight: Callable[[], bool], between: tuple[str, str]
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._makes, self._takes = between
        self._items = items
        self._context = contextvars.copy_context()  # deadlines, and what the log's lines are about
        self._depth = depth
        self._is_tight = is_tight
        self._waiting: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._ended = False
        self._error: BaseException | None = None

    def run(self) -> None:
        self._context.run(self._pull)

    def _pull(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    break
                seconds_left()
        except BaseException as error:  # noqa: BLE001 - handed over whole to the thread that consumes
            self._error = error
        finally:
            if isinstance(self._items, Generator):
                self._items.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, item: Item) -> bool:
        with self._changed:
            if not self._closed and not self._has_room():
                over = metering.waiting(self._makes, "room_wait_seconds")
                self._changed.wait_for(lambda: self._closed or self._has_room())
                over()
            if self._closed:
                return False
            self._waiting.append(item)
            self._changed.notify_all()
            return True

    def _has_room(self) -> bool:
        """An empty queue has room whatever is measured: somebody must go on for memory to become free."""
        return not self._waiting or (len(self._waiting) < self._depth and not self._is_tight())

    def __iter__(self) -> Iterator[Item]:
        while True:
            with self._changed:
                over = metering.waiting(self._takes, "input_wait_seconds")
                while not self._changed.wait_for(lambda: self._waiting or self._ended or self._closed, seconds_left()):
                    pass  # the time is over, and `seconds_left` says so
                over()
                if self._closed or not self._waiting:
                    break
                item = self._waiting.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None and not self._closed:
            raise self._error

    def close(self) -> None:
        """Lets the thread end after the item it is at, and whoever waits for an item of it."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Conveyor:
    """Stages that run ahead of each other, each in a thread of its own; closed together when the block is left.

    What a stage is in the midst of then (a transform that sleeps, a read that hangs) is waited for, but not longer than
    `CLOSE_SECONDS` and what is left of the deadline. A thread that is left behind ends after its item, which nobody
    takes; it has to do with the source and the contract only, not with the destination nor the ledger.
    """

    def __init__(self) -> None:
        self._stages: list[_Ahead[object]] = []

    def ahead(
        self,
        items: Iterable[Item],
        depth: int,
        name: str,
        is_tight: Callable[[], bool] = lambda: False,
        between: tuple[str, str] = ("", ""),
    ) -> Iterator[Item]:
        """Runs `items` in a thread of this name, at most `depth` items ahead of whoever consumes them.

        What the iterable raises is raised by the iterator, after the items that came before it; the iterator raises
        DeadlineExceeded when the time is over, whatever the thread is at.

        Args:
            is_tight: whether memory is short, so that no more than one may wait.
            between: which stage of the run makes the items, and which takes them: whose waits are measured.
        """
        stage = _Ahead(items, depth, name, is_tight, between)
        self._stages.append(stage)  # type: ignore[arg-type]
        stage.start()
        return iter(stage)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """All are told before any is waited for: one may be waiting for what another makes."""
        for stage in self._stages:
            stage.close()
        left = remaining()
        until = time.monotonic() + (CLOSE_SECONDS if left is None else min(CLOSE_SECONDS, max(left - NOTE_SECONDS, 0)))
        for stage in self._stages:
            stage.join(max(0.0, until - time.monotonic()))
            if stage.is_alive():
                log.warning("thread left behind", operation=stage.name)


@contextmanager
def ahead(
    items: Iterable[Item], depth: int, name: str, is_tight: Callable[[], bool] = lambda: False
) -> Iterator[Iterator[Item]]:
    """A conveyor of one stage; see there."""
    with Conveyor() as conveyor:
        yield conveyor.ahead(items, depth, name, is_tight)


def side_by_side(items: Iterable[Item], work: Callable[[Item], Made], workers: int, name: str) -> Iterator[Made]:
    """Does the work for several items at a time, in threads of this name; what it makes comes in the items' order.

    What the work raises is raised in its item's turn. A thread that is in the midst of an item when the iterator is
    closed is waited for, but not longer than `CLOSE_SECONDS`.
    """
    jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
    threads = [threading.Thread(target=_serve, args=(jobs,), name=name, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            made: Future[Made] = Future()
            waiting.append(made)
            jobs.put(partial(contextvars.copy_context().run, _settle, made, work, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for each in waiting:
            each.cancel()
        for _ in threads:
            jobs.put(None)
        for thread in threads:
            thread.join(CLOSE_SECONDS)


def _serve(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()


def _settle(made: Future[Made], work: Callable[[Item], Made], item: Item) -> None:
    if made.set_running_or_notify_cancel():
        try:
            made.set_result(work(item))
        except BaseException as error:  # noqa: BLE001 - handed over whole to the thread that consumes
            made.set_exception(error)

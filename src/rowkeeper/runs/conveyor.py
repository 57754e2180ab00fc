"""Reading, checking and staging overlap: an iterator that is run ahead in a thread, with a bounded queue.

What takes longest, and treats each item by itself, is done for several of them side by side.

Where memory is short nothing waits in it: one stage goes on when the next has taken what it made.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

CLOSE_SECONDS = 3.0


class _Ahead(threading.Thread, Generic[Item]):
    """Pulls an iterable in a thread and keeps at most `depth` items waiting, one while `is_tight`."""

    def __init__(self, items: Iterable[Item], depth: int, name: str, is_tight: Callable[[], bool]) -> None:
        super().__init__(name=name, daemon=True)
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
            self._changed.wait_for(lambda: self._closed or self._has_room())
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
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    break
                item = self._waiting.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Lets the thread end after the item it is at, and waits for that."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.join()


@contextmanager
def ahead(
    items: Iterable[Item], depth: int, name: str, is_tight: Callable[[], bool] = lambda: False
) -> Iterator[Iterator[Item]]:
    """Runs `items` in a thread of this name, at most `depth` items ahead of whoever consumes them.

    Args:
        is_tight: whether memory is short, so that no more than one may wait.

    What the iterable raises is raised by the iterator, after the items that came before it. When the block is
    left, for whatever reason, the thread has ended and a generator behind it is closed.
    """
    thread = _Ahead(items, depth, name, is_tight)
    thread.start()
    try:
        yield iter(thread)
    finally:
        thread.close()


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
            jobs.put(partial(contextvars.copy_context().run, _fulfil, made, work, item))
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


def _fulfil(made: Future[Made], work: Callable[[Item], Made], item: Item) -> None:
    if made.set_running_or_notify_cancel():
        try:
            made.set_result(work(item))
        except BaseException as error:  # noqa: BLE001 - handed over whole to the thread that consumes
            made.set_exception(error)

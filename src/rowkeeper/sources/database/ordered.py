"""Several readers at work side by side, their results handed on in the order of the work."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from rowkeeper.resilience.deadline import carried

T = TypeVar("T")
Job = Callable[[threading.Event], Iterator[T]]
"""Reads one part; told by the event that nobody waits for more of it."""
AHEAD = 1  # pieces of each part that may wait
_END = object()


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def in_order(jobs: Iterable[Job[T]], workers: int) -> Iterator[T]:
    """What the jobs give, those of the first before those of the second; so many of them are at work at a time.

    Raises what a job raised, when its turn comes. Afterwards no thread is left.
    """
    stop = threading.Event()
    waiting: deque[tuple[queue.Queue[Any], Future[None]]] = deque()
    rest = iter(jobs)
    with ThreadPoolExecutor(workers, thread_name_prefix="rowkeeper-database") as pool:

        def begin() -> None:
            for job in rest:
                results: queue.Queue[Any] = queue.Queue(AHEAD)
                waiting.append((results, pool.submit(carried(_work), job, results, stop)))
                return

        try:
            for _ in range(workers):
                begin()
            while waiting:
                while (item := waiting[0][0].get()) is not _END:
                    if isinstance(item, _Failed):
                        raise item.error
                    yield item
                waiting.popleft()
                begin()
        finally:
            stop.set()
            for results, future in waiting:
                _drain(results, future)


def _work(job: Job[Any], results: queue.Queue[Any], stop: threading.Event) -> None:
    try:
        with contextlib.closing(job(stop)) as items:  # type: ignore[type-var]
            for item in items:
                if stop.is_set():
                    break
                results.put(item)
    except BaseException as error:  # noqa: BLE001 - it is raised again where the results are taken
        results.put(_Failed(error))
    else:
        results.put(_END)


def _drain(results: queue.Queue[Any], future: Future[None]) -> None:
    """Takes what a worker has still to put, until it has ended."""
    while not future.done() or not results.empty():
        with contextlib.suppress(queue.Empty):
            if isinstance(item := results.get(timeout=0.05), _Failed) or item is _END:
                return

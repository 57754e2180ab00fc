"""The threads that requests are carried out in.

The functions behind the routes wait for the ledger, the engine and disks, so each call of one has a thread for itself;
the event loop only reads and writes sockets. A thread works in a copy of the request's context: on whose behalf, until
when.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from rowkeeper.errors import FrameworkError, UnknownError, is_fault
from rowkeeper.logs import logger
from rowkeeper.logs.failure import failure

P = ParamSpec("P")
T = TypeVar("T")
_END = object()

log = logger("server")


class Pool:
    """So many threads."""

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="request")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns or raises. What nobody foresaw is logged, and told as such: `UnknownError`."""
        return await self._within(contextvars.copy_context(), functools.partial(work, *args, **kwargs))

    async def each(self, items: Iterator[T], context: contextvars.Context) -> AsyncIterator[T]:
        """The items of an iterator that waits, one after the other, each made in this context.

        It is closed where nobody wants more of it.
        """
        making: asyncio.Future[T | object] | None = None
        try:
            while True:
                making = asyncio.ensure_future(self._within(context, functools.partial(next, items, _END)))
                item = await asyncio.shield(making)
                if item is _END:
                    return
                yield item  # type: ignore[misc]
        finally:
            if making is not None and not making.done():  # a thread is at it, and cannot be stopped
                await asyncio.wait([making])
            if close := getattr(items, "close", None):
                await self._within(context, close)

    async def _within(self, context: contextvars.Context, work: Callable[[], T]) -> T:
        call = functools.partial(context.run, _known, work)
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def close(self) -> None:
        """Takes no more; what is under way ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _known(work: Callable[[], T]) -> T:
    try:
        return work()
    except FrameworkError:
        raise
    except BaseException as error:
        if not is_fault(error):
            raise
        log.error("a request failed as nobody foresaw", **failure(error))
        raise UnknownError.of(error) from error

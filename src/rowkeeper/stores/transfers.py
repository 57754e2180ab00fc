"""What is under way between an object store and us: a listing, a range, an upload."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from rowkeeper.errors import ObjectMissing, StoreError
from rowkeeper.stores import loop
from rowkeeper.stores.access import library
from rowkeeper.stores.store import Item

T = TypeVar("T")
PART_BYTES = 16 << 20
PARTS_AT_A_TIME = 2


class Asking(Protocol):
    """The store, as far as these need it."""

    @property
    def client(self) -> Any:
        """obstore at work."""
        ...

    def head(self, name: str) -> Item:
        """What is said of a file."""
        ...

    def asked(self, operation: str, name: str, function: Callable[[], T]) -> T:
        """The result of a request, made again where that helps."""
        ...

    def told(self, name: str, function: Callable[[], T]) -> T:
        """The result of what must not be made again."""
        ...

    def range_of(self, name: str, same: Item | None, start: int, size: int) -> Callable[[], Awaitable[memoryview]]:
        """What asks for a range."""
        ...


class Listing:
    """A listing under way, chunk by chunk.

    Args:
        begin: the listing of what comes after a name; of everything, if it is None.
    """

    def __init__(self, begin: Callable[[str | None], Any]) -> None:
        self._begin = begin
        self._last: str | None = None
        self._stream: Any = None

    def following(self) -> Any:
        """The next chunk; None at the end. After an error it begins anew, behind the last name."""
        stream, self._stream = self._stream or self._begin(self._last), None
        chunk = loop.run(lambda: _next(stream))
        if chunk is not None:
            self._stream, self._last = stream, chunk[-1]["path"]
        return chunk


class Range:
    """A range on its way. Implements Fetch: begun at once, and asked for again if that fails."""

    def __init__(self, store: Asking, name: str, same: Item | None, start: int, size: int) -> None:
        self._store, self._name = store, name
        self._make = store.range_of(name, same, start, size)
        self._begun: concurrent.futures.Future[memoryview] | None = loop.started(self._make)

    def result(self) -> memoryview:
        """Implements Fetch."""
        return self._store.asked("read", self._name, self._once)

    def _once(self) -> memoryview:
        begun, self._begun = self._begun, None
        return loop.waited(begun) if begun is not None else loop.run(self._make)

    def forget(self) -> None:
        """Implements Fetch."""
        if self._begun is not None:
            self._begun.cancel()


class Upload:
    """A file that is being written in parts. Implements Writing."""

    def __init__(self, store: Asking, name: str) -> None:
        self._store, self._name, self._size = store, name, 0
        self._writer: Any = None
        self._before: str | None = None  # what was there under this name
        self._item: Item | None = None

    @property
    def item(self) -> Item:
        """Implements Writing."""
        assert self._item is not None, "the writing is not over"
        return self._item

    def write(self, data: bytes) -> int:
        """Implements Writing. Not made again here: what was taken and what was not is not known."""
        writer = self._opened()
        self._store.told(self._name, lambda: loop.run(lambda: writer.write(data)))
        self._size += len(data)
        return len(data)

    def finish(self) -> None:
        """Makes the file of the parts, all at once. Where the answer is lost, it is looked whether it is there."""
        writer = self._opened()
        try:
            self._store.told(self._name, lambda: loop.run(writer.close))
        except StoreError:
            found = self._found()
            if found is None or found.size != self._size or found.version == self._before:
                raise
        self._item = self._store.head(self._name)

    def _found(self) -> Item | None:
        try:
            return self._store.head(self._name)
        except ObjectMissing:
            return None

    def _opened(self) -> Any:
        obstore = library()

        if self._writer is None:
            before = self._found()
            self._before = before.version if before is not None else None
            self._writer = obstore.open_writer_async(
                self._store.client.again,
                self._name,
                buffer_size=PART_BYTES,
                max_concurrency=PARTS_AT_A_TIME,
            )
        return self._writer


async def _next(stream: Any) -> Any:
    try:
        return await stream.__anext__()
    except StopAsyncIteration:
        return None

"""Files of a store as streams: fetched in ranges, several at a time, ahead of who reads, in bounded memory.

Read from its beginning to its end, a file is fetched in large ranges, the next ones while one is being read. Read here
and there, as Parquet's columns are, exactly what is asked for is fetched; where somebody reads on behind what they have
just read (each column is read so by itself), the next piece of the same size is fetched ahead.
"""

from __future__ import annotations

import collections
import io
import os
from collections.abc import Callable
from typing import Protocol

from rowkeeper.stores.store import Access

RANGE_BYTES = 8 << 20
RANGES_AHEAD = 3
AHEAD_BYTES_MAX = 32 << 20  # of a file that is read here and there
SMALL_BYTES = 64 << 10
FIRST_BYTES = 1 << 20


class Fetch(Protocol):
    """A range that is on its way, or was fetched."""

    def result(self) -> bytes | memoryview:
        """The bytes, exactly as many as were asked for. Raises as the store does, after it was asked again."""
        ...

    def forget(self) -> None:
        """Nobody will ask for it."""
        ...


Begin = Callable[[int, int], Fetch]
"""Begins to fetch a range: where, and how many bytes."""


class RangedFile(io.RawIOBase):
    """A file of a store, seekable.

    Args:
        name: for messages.
        size: of the file.
        begin: how ranges are fetched.
    """

    def __init__(self, name: str, size: int, begin: Begin, access: Access) -> None:
        self.name = name
        self._size, self._at = size, 0
        self._ranges: _Ahead = (_Sequence if access == "sequence" else _Random)(size, begin)

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """It can be read from anywhere."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes elsewhere; nothing is fetched for it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError("a file has nothing before its beginning")
        self._at = start + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """As many bytes as are asked for, unless the file ends before."""
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        data = self._ranges.take(self._at, wanted)
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        """All that is left."""
        return self.read()

    def readinto(self, buffer: object) -> int:
        """The same, into a buffer."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Forgets what is on its way."""
        if not self.closed:
            self._ranges.close()
        super().close()


class _Ahead(Protocol):
    def __init__(self, size: int, begin: Begin) -> None: ...
    def take(self, start: int, size: int) -> bytes: ...
    def close(self) -> None: ...


class _Sequence:
    """Large ranges in a row; going elsewhere begins a new row."""

    def __init__(self, size: int, begin: Begin) -> None:
        self._size, self._begin = size, begin
        self._row: collections.deque[tuple[int, Fetch]] = collections.deque()
        self._next = 0  # where the next range of the row begins
        self._steps = 0
        self._here: tuple[int, memoryview] = (0, memoryview(b""))

    def take(self, start: int, size: int) -> bytes:
        parts = []
        while size:
            first, view = self._here
            if not first <= start < first + len(view):
                self._advance(start)
                first, view = self._here
            part = view[start - first : start - first + size]
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def _advance(self, start: int) -> None:
        self._here = (0, memoryview(b""))
        if not self._row or self._row[0][0] != start:
            self.close()
            self._next, self._steps = start, 0
        # The first range is small: a header is all that some want. Then it is read on, and they grow.
        while self._next < self._size and len(self._row) <= min(self._steps, RANGES_AHEAD):
            size = min(FIRST_BYTES if self._steps == 0 and not self._row else RANGE_BYTES, self._size - self._next)
            self._row.append((self._next, self._begin(self._next, size)))
            self._next += size
        self._steps += 1
        first, fetch = self._row.popleft()
        self._here = (first, memoryview(fetch.result()))

    def close(self) -> None:
        while self._row:
            self._row.popleft()[1].forget()


class _Random:
    """What is asked for, and what follows it where that was asked for before."""

    def __init__(self, size: int, begin: Begin) -> None:
        self._size, self._begin = size, begin
        self._ahead: collections.OrderedDict[int, tuple[int, Fetch]] = collections.OrderedDict()
        self._ahead_bytes = 0

    def take(self, start: int, size: int) -> bytes:
        kept = self._ahead.pop(start, None)
        if kept is not None:
            self._ahead_bytes -= kept[0]
        if kept is not None and kept[0] >= size:
            self._follow(start + kept[0], size)
            data = memoryview(kept[1].result())
            if kept[0] > size:  # the rest is of whoever reads on
                self._keep(start + size, kept[0] - size, _Had(data[size:]))
            return bytes(data[:size])
        if kept is not None:
            kept[1].forget()
        fetch = self._begin(start, size)
        self._follow(start + size, size)
        return bytes(fetch.result())

    def _follow(self, start: int, size: int) -> None:
        size = min(size, self._size - start)
        if size >= SMALL_BYTES and start not in self._ahead and size <= AHEAD_BYTES_MAX:
            self._keep(start, size, self._begin(start, size))

    def _keep(self, start: int, size: int, fetch: Fetch) -> None:
        self._ahead[start] = (size, fetch)
        self._ahead_bytes += size
        while self._ahead_bytes > AHEAD_BYTES_MAX:
            _, (gone, old) = self._ahead.popitem(last=False)
            self._ahead_bytes -= gone
            old.forget()

    def close(self) -> None:
        for _, fetch in self._ahead.values():
            fetch.forget()
        self._ahead.clear()
        self._ahead_bytes = 0


class _Had:
    """The rest of a range that was fetched."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    def result(self) -> memoryview:
        return self._data

    def forget(self) -> None:
        return None

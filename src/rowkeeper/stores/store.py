"""What a place with files can do, wherever it is: a folder of this machine, a bucket, a server that gives files out.

Names are paths below the place, with `/` between their parts, whatever the place is.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import IO, Literal, Protocol, Self

Access = Literal["sequence", "random"]
"""How a file is going to be read: from its beginning to its end, or here and there (from its end, by columns)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """What a store says of a file without reading it.

    Attributes:
        name: below the place.
        size: bytes.
        version: what changes with its content, by the store's own word (an ETag without its quotes; of a folder: inode
            and times). Empty where the store says nothing of the kind.
        modified: when it was written last, aware; None where the store does not say.
    """

    name: str
    size: int
    version: str
    modified: datetime | None

    def is_same(self, other: Item) -> bool:
        """Whether the store vouches that two looks saw the same content."""
        known = self.version == other.version if self.version or other.version else self.modified == other.modified
        return self.size == other.size and known


class Writing(Protocol):
    """A file that is being written, and that nobody sees before it is whole."""

    def write(self, data: bytes) -> int:
        """Adds bytes, and returns how many."""
        ...

    @property
    def item(self) -> Item:
        """What was written; known once the writing is over."""
        ...


class ReadableStore(Protocol):
    """A place with files.

    All raise EgressRefused and TLSError and what is derived from them, DeadlineExceeded, and StoreError: narrower where
    it is known what is wrong.
    """

    @property
    def place(self) -> str:
        """Where it is, for people: `s3://bucket`, `/data`."""
        ...

    def head(self, name: str) -> Item:
        """What is said of a file. Raises ObjectMissing."""
        ...

    def read(self, name: str, *, start: int = 0, size: int | None = None, same: Item | None = None) -> bytes:
        """Bytes of a file from `start` on, all of them or `size`.

        Args:
            same: what it must still be. Raises ObjectChanged if it is not.
        """
        ...

    def open(self, name: str, *, same: Item | None = None, access: Access = "sequence") -> IO[bytes]:
        """A file as a seekable stream, read ahead of who reads it, in bounded memory.

        Args:
            same: what it must be, to its end. None is what it is now. Raises ObjectChanged if it is not.
        """
        ...

    def close(self) -> None:
        """Gives back connections. It can be used again."""
        ...


class FileStore(ReadableStore, Protocol):
    """A place with files that can be listed and written."""

    def list(self, folder: str = "") -> Iterator[Item]:
        """The files in a folder (`2026/11/`; empty for the whole place) and in those below it, by name."""
        ...

    def put(self, name: str, data: bytes, *, if_absent: bool = False, if_same: Item | None = None) -> Item:
        """Writes a file whole: whoever reads it sees all of it, or what was there before; durable when it returns.

        Args:
            if_absent: only where there is none. Raises ObjectExists.
            if_same: only in the place of this one. Raises ObjectChanged.
        """
        ...

    def writing(self, name: str) -> AbstractContextManager[Writing]:
        """Writes a file in pieces, of any size, in bounded memory.

        It is there when the body has ended, and not if the body ends with an exception.
        """
        ...

    def delete(self, name: str) -> None:
        """Takes a file away; one that is not there is no error."""
        ...

    def copy(self, name: str, to: str) -> None:
        """Makes the same file under another name, over whatever is there."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class ClosedByLast:
    """A context manager for any number of users, in any threads: the last to leave closes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0

    def __enter__(self) -> Self:
        with self._lock:
            self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            held = [] if self._users else self._let_go()
        for give_back in held:
            give_back()

    def close(self) -> None:
        """Gives back what is held; it is taken anew by whoever uses it again."""
        with self._lock:
            held = self._let_go()
        for give_back in held:
            give_back()

    def _let_go(self) -> Sequence[Callable[[], object]]:
        """Forgets what is held, under the lock; what is returned gives it back, in that order."""
        raise NotImplementedError

"""Files on other machines, behind the same seam as those of this one: object stores, and web servers.

A file is known by what its store says of it (size and ETag), so nothing is read to find out that nothing is new; where
a server says nothing of the kind, by its content, like a file of this machine.
"""

from __future__ import annotations

import fnmatch
import io
import re
from collections.abc import Callable, Sequence
from typing import IO, Any, cast

from rowkeeper.errors import ObjectMissing, SourceMissing
from rowkeeper.protocols import Site
from rowkeeper.resilience.policy import Resilience
from rowkeeper.sources.file.store import Entry, Stamp
from rowkeeper.stores import Address, Download, FileStore, Item, ReadableStore, StoreAccess, address_of, open_store
from rowkeeper.stores.downloads import Downloads
from rowkeeper.stores.store import Access, ClosedByLast

WILD = re.compile(r"[*?\[]")
BUFFER_BYTES = 1 << 20
LISTED_MAX = 3


class RemoteStore(ClosedByLast):
    """Buckets or web servers, at work. Implements Store; use it in `with`.

    Args:
        access: who we are there.
        resilience: how each request survives.
    """

    def __init__(self, access: StoreAccess, site: Site, resilience: Resilience | None) -> None:
        super().__init__()
        self._access, self._site, self._resilience = access, site, resilience
        self._open: dict[str, ReadableStore] = {}

    def _let_go(self) -> Sequence[Callable[[], object]]:
        done, self._open = self._open, {}
        return [each.close for each in done.values()]

    def list(self, pattern: str) -> Sequence[Entry]:
        """The files of a bucket that match; of a web server the one that is named.

        `*` and `?` do not match a `/`; `**` as a part of the path is any number of folders.
        """
        address = address_of(pattern)
        if not address.is_cloud:
            return [Entry(pattern, pattern, pattern.partition("?")[0].partition("#")[0])]
        store = cast("FileStore", self._store(address))
        whole = f"{address.scheme}://{address.bucket}"
        if not WILD.search(address.path):
            return [Entry(f"{whole}/{address.path}", f"{whole}/{address.path}")]
        folder = _folder_of(address.path)
        matches = _matcher(address.path)
        found: list[Entry] = []
        others: list[str] = []
        for item in store.list(folder):
            if matches(item.name) and not (item.name.endswith("/") and not item.size):
                found.append(Entry(f"{whole}/{item.name}", f"{whole}/{item.name}"))
            elif len(others) < LISTED_MAX:
                others.append(item.name)
        if not found:
            raise SourceMissing(
                f"no file matches {pattern}",
                hint=f"there are: {', '.join(others)}" if others else "nothing is there; see to the bucket and folder",
            )
        return found

    def reach(self, pattern: str) -> None:
        """Asks for one file that is named, or for the first of a folder."""
        address = address_of(pattern)
        if not address.is_cloud or not WILD.search(address.path):
            self.stamp(pattern)
            return
        next(iter(cast("FileStore", self._store(address)).list(_folder_of(address.path))), None)

    def stamp(self, location: str) -> Stamp:
        """What the store says of it now."""
        try:
            return _stamp(self._head(location))
        except ObjectMissing as error:
            raise SourceMissing(error.what, hint=error.hint, context=error.context) from error

    def stamp_of_open(self, file: IO[bytes]) -> Stamp:
        """The same of a file that `open` gave: all that is read of it must be of this one."""
        return _stamp(cast("_Opened", file).item)

    def identity(self, stamp: Stamp) -> str | None:
        """By what it is known without being read; None if the store says nothing that changes with the content."""
        if stamp["version"]:
            return f"size:{stamp['size']};etag:{stamp['version']}"
        if stamp["modified"] and int(stamp["size"]) >= 0:
            return f"size:{stamp['size']};modified:{stamp['modified']}"
        return None

    def open(self, location: str, access: Access = "sequence") -> IO[bytes]:
        """The content, from its beginning."""
        address = address_of(location)
        store = self._store(address)
        name = address.path
        item = store.head(name)
        file = cast("io.RawIOBase", store.open(name, same=item, access=access))
        return cast("IO[bytes]", _Opened(file, item, BUFFER_BYTES if access == "sequence" else 0))

    def _head(self, location: str) -> Item:
        address = address_of(location)
        return self._store(address).head(address.path)

    def _store(self, address: Address) -> ReadableStore:
        place = f"{address.scheme}://{address.bucket or address.path.split('/', 3)[2]}"
        with self._lock:
            if place not in self._open:
                self._open[place] = (
                    Downloads(address.path, self._access, self._site, self._resilience)
                    if isinstance(self._access, Download)
                    else open_store(address, self._access, self._site, resilience=self._resilience)
                )
            return self._open[place]


class _Opened(io.RawIOBase):
    """A file of a store with what was said of it when it was opened.

    Who reads it here and there gets what it asks for, at once; a zip's reader asks for some bytes at a time.
    """

    def __init__(self, file: io.RawIOBase, item: Item, buffer_bytes: int) -> None:
        self.item = item
        self._file: Any = io.BufferedReader(file, buffer_bytes) if buffer_bytes else file

    @property
    def name(self) -> str:
        """For messages."""
        return self.item.name

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """It can be read from anywhere, if the server does ranges."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = 0) -> int:
        """Goes elsewhere."""
        return int(self._file.seek(offset, whence))

    def read(self, size: int | None = -1) -> bytes:
        """As many bytes as are asked for, unless the file ends before."""
        data: bytes = self._file.read(size)
        return data

    def readinto(self, buffer: Any) -> int:
        """The same, into a buffer."""
        return int(self._file.readinto(buffer))

    def close(self) -> None:
        """Forgets what is on its way."""
        self._file.close()
        super().close()


def _folder_of(pattern: str) -> str:
    """The folder below which everything lies that a pattern matches."""
    parts = pattern.split("/")
    fixed = next(number for number, part in enumerate(parts) if WILD.search(part))
    return "".join(f"{each}/" for each in parts[:fixed])


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a name matches, part by part."""
    wanted = pattern.split("/")

    def matches(name: str) -> bool:
        return _parts_match(wanted, name.split("/"))

    return matches


def _parts_match(wanted: Sequence[str], parts: Sequence[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_parts_match(wanted[1:], parts[skip:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], wanted[0]) and _parts_match(wanted[1:], parts[1:])


def _stamp(item: Item) -> Stamp:
    return {
        "size": item.size,
        "version": item.version,
        "modified": "" if item.modified is None else item.modified.isoformat(),
    }

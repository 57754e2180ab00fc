"""Files on their way into the packs of a backup."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from rowkeeper.destinations.embedded.diskkeys import SIGNATURE
from rowkeeper.operations.backups.manifest import StoredFile
from rowkeeper.operations.backups.packs import Entry, Hashed, Sealing, index_written
from rowkeeper.operations.backups.store import BackupStore
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.security.keysets import Key

PACK_BYTES = 64 << 20
READ_BYTES = 1 << 20
INDEX = "index"


class _Pack:
    """One that is being written."""

    def __init__(self, store: BackupStore, id: str, name: str, key: Key | None) -> None:
        self.name = name
        self.size = 0  # of what it holds
        with ExitStack() as stack:
            self._hashed = Hashed(stack.enter_context(store.writing(id, name)))
            self._sealing = None if key is None else Sealing(self._hashed, key, name)  # which writes its header
            self._stack = stack.pop_all()

    def write(self, data: bytes) -> None:
        self.size += len(data)
        (self._sealing or self._hashed).write(data)

    def close(self) -> StoredFile:
        with self._stack:
            if self._sealing is not None:
                self._sealing.finish()
        return self._hashed.stored(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives it up where there is an error; one that was closed is left as it is."""
        self._stack.__exit__(kind, error, trace)


class Packer:
    """Packs files into a backup. To be used in `with`: without an exception all packs are whole after it.

    Args:
        key: seals what is not encrypted.
        known: what the base holds, by path: what is the same there is not stored again.
    """

    def __init__(self, store: BackupStore, id: str, key: Key, known: Mapping[str, Entry]) -> None:
        self._place, self._id, self._key, self._known = store, id, key, known
        self._packs: dict[bool, _Pack] = {}  # by whether they are sealed
        self._count = 0
        self.entries: list[Entry] = []
        self.files: list[StoredFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as packs:
            for pack in self._packs.values():
                packs.enter_context(pack)
            if error is not None:
                raise error  # which each of them makes of it what its store says
            for sealed in list(self._packs):
                self._close(sealed)

    def add(self, path: str, file: Path) -> None:
        """Stores a file, unless the base has it as it is."""
        digest = _sha256(file)
        known = self._known.get(path)
        if known is not None and (known.size, known.sha256) == (file.stat().st_size, digest):
            self.entries.append(known)
            return
        self._store_file(path, file, digest, sealed=True)

    def add_native(self, path: str, file: Path) -> None:
        """Stores a file of ClickHouse's own backup: as it is where the engine's disk has encrypted it."""
        with file.open("rb") as opened:
            sealed = opened.read(len(SIGNATURE)) != SIGNATURE
        self._store_file(path, file, "", sealed=sealed)

    def add_data(self, path: str, data: bytes) -> None:
        """Stores what is in no file."""
        self._store(path, [data], "", sealed=True)

    def keep(self, entries: Iterable[Entry]) -> None:
        """What lies in the base, and is of this backup as well."""
        self.entries += entries

    def finish_index(self) -> StoredFile:
        """Stores the index, when all else is stored."""
        with _Pack(self._place, self._id, INDEX, self._key) as pack:
            pack.write(index_written(self.entries))
            stored = pack.close()
        self.files.append(stored)
        return stored

    def _store_file(self, path: str, file: Path, digest: str, *, sealed: bool) -> None:
        self._store(path, _pieces(file), digest, sealed=sealed)

    def _store(self, path: str, pieces: Iterable[bytes], digest: str, *, sealed: bool) -> None:
        pack = self._packs.get(sealed)
        if pack is None:
            self._count += 1
            name = f"{'sealed' if sealed else 'tables'}-{self._count:06d}"
            pack = self._packs[sealed] = _Pack(self._place, self._id, name, self._key if sealed else None)
        offset, size = pack.size, 0
        for piece in pieces:
            pack.write(piece)
            size += len(piece)
        self.entries.append(Entry(path, size, digest, self._id, pack.name, offset))
        if pack.size >= PACK_BYTES:
            self._close(sealed)

    def _close(self, sealed: bool) -> None:
        failpoint("backup.before_pack_close")
        self.files.append(self._packs.pop(sealed).close())
        failpoint("backup.after_pack")


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(READ_BYTES):
            yield piece


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()

"""A folder of this machine as a store."""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

from rowkeeper.durable import sync_folder
from rowkeeper.errors import ObjectMissing, StoreError, StoreForbidden, StoreUnavailable
from rowkeeper.stores import faults
from rowkeeper.stores.store import Access, Item

DRAFT = ".rowkeeper-draft-"
LOCK = ".rowkeeper-lock"


class Folder:
    """Implements FileStore. Files appear whole, by renaming, and are on disk when a call returns.

    Args:
        base: the folder; made when something is written.
    """

    def __init__(self, base: Path) -> None:
        self._base = base

    @property
    def place(self) -> str:
        """Implements ReadableStore."""
        return str(self._base)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def close(self) -> None:
        """Implements ReadableStore. There is nothing to give back."""

    def list(self, folder: str = "") -> Iterator[Item]:
        """Implements FileStore. Drafts are no files yet."""
        found = []
        for where, folders, names in os.walk(self._base / folder):
            folders.sort()
            for name in names:
                if not name.startswith((DRAFT, LOCK)):
                    found.append((Path(where) / name).relative_to(self._base).as_posix())
        for name in sorted(found):
            with contextlib.suppress(ObjectMissing):
                yield self.head(name)

    def head(self, name: str) -> Item:
        """Implements ReadableStore."""
        with self._telling(name):
            return _item(name, os.stat(self._base / name))

    def read(self, name: str, *, start: int = 0, size: int | None = None, same: Item | None = None) -> bytes:
        """Implements ReadableStore."""
        with self._telling(name), self.open(name, same=same) as file:
            file.seek(start)
            return file.read(-1 if size is None else size)

    def open(self, name: str, *, same: Item | None = None, access: Access = "sequence") -> IO[bytes]:
        """Implements ReadableStore."""
        del access
        with self._telling(name):
            file = (self._base / name).open("rb")
            if same is not None and not _item(name, os.fstat(file.fileno())).is_same(same):
                file.close()
                raise faults.changed(self.place, name)
            return file

    def put(self, name: str, data: bytes, *, if_absent: bool = False, if_same: Item | None = None) -> Item:
        """Implements FileStore."""
        with self._telling(name), self._drafted(name) as (file, draft):
            file.write(data)
            self._to_disk(file)
            with self._locked(name) if if_same is not None else contextlib.nullcontext():
                if if_same is not None and not self.head(name).is_same(if_same):
                    raise faults.changed(self.place, name)
                self._appear(draft, name, only_new=if_absent)
            return self.head(name)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[_Draft]:
        """Implements FileStore."""
        with self._telling(name), self._drafted(name) as (file, draft):
            writing = _Draft(file)
            yield writing
            self._to_disk(file)
            self._appear(draft, name, only_new=False)
            writing.written = self.head(name)

    def delete(self, name: str) -> None:
        """Implements FileStore."""
        with self._telling(name), contextlib.suppress(FileNotFoundError):
            (self._base / name).unlink()
            sync_folder((self._base / name).parent)

    def copy(self, name: str, to: str) -> None:
        """Implements FileStore."""
        with self.open(name) as source, self.writing(to) as target:
            shutil.copyfileobj(source, target.file)

    @contextlib.contextmanager
    def _drafted(self, name: str) -> Iterator[tuple[IO[bytes], Path]]:
        """A file beside the one that is meant, which is gone afterwards, one way or the other."""
        path = self._base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{DRAFT}{secrets.token_hex(8)}")
        try:
            with draft.open("xb") as file:
                yield file, draft
        finally:
            draft.unlink(missing_ok=True)

    @staticmethod
    def _to_disk(file: IO[bytes]) -> None:
        file.flush()
        os.fsync(file.fileno())

    def _appear(self, draft: Path, name: str, *, only_new: bool) -> None:
        path = self._base / name
        if only_new:
            try:
                os.link(draft, path)  # the one step that fails if there is something
            except FileExistsError:
                raise faults.exists(self.place, name) from None
        else:
            draft.replace(path)
        sync_folder(path.parent)

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """One at a time compares a file of this folder and puts another in its place."""
        with (self._base / name).parent.joinpath(LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _telling(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _told(error, f"{self.place}/{name}") from error


class _Draft:
    """Implements Writing."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.written: Item | None = None

    @property
    def item(self) -> Item:
        """Implements Writing."""
        assert self.written is not None, "the writing is not over"
        return self.written

    def write(self, data: bytes) -> int:
        """Implements Writing."""
        return self.file.write(data)


def _item(name: str, found: os.stat_result) -> Item:
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    version = f"{found.st_ino}-{found.st_mtime_ns}-{found.st_ctime_ns}"
    return Item(name, found.st_size, version, datetime.datetime.fromtimestamp(found.st_mtime, datetime.UTC))


def _told(error: OSError, what: str) -> StoreError:
    reason = os.strerror(error.errno) if error.errno is not None else type(error).__name__
    if isinstance(error, FileNotFoundError):
        return ObjectMissing(f"{what} is not there", hint="see to its name; run again")
    if isinstance(error, PermissionError):
        return StoreForbidden(f"{what}: {reason}", hint="see to its permissions")
    return StoreUnavailable(f"{what}: {reason}", hint="see to the disk, and run again")

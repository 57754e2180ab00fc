"""The seam behind which files lie: on this machine, or on others (remote.py). Readers see streams of bytes only."""

from __future__ import annotations

import dataclasses
import difflib
import glob
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, Self

from rowkeeper.errors import SourceError, SourceMissing
from rowkeeper.stores.store import Access

Stamp = Mapping[str, int | str]
"""What a store says of a file without reading it; another stamp means that the file was touched. JSON values."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A file that a pattern matches.

    Attributes:
        key: its name within the pipeline, the same at every run.
        location: where the store finds it.
        named: by which its format is told, where that is not the key.
    """

    key: str
    location: str
    named: str = ""


class Store(Protocol):
    """A place with files, used in `with`: there its connections are kept."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def list(self, pattern: str) -> Sequence[Entry]:
        """The files that match, at least one; raises SourceError that says where it looked and what is there."""
        ...

    def reach(self, pattern: str) -> None:
        """Passes if the place of these files answers; raises SourceError as `list` does."""
        ...

    def stamp(self, location: str) -> Stamp:
        """What the store says of a file now; raises SourceError if it is no readable file."""
        ...

    def stamp_of_open(self, file: IO[bytes]) -> Stamp:
        """The same of a file that `open` gave, even if its name stands for another one by now."""
        ...

    def identity(self, stamp: Stamp) -> str | None:
        """By what a file is known that has this stamp, by the store's word; None if it takes a look at its content."""
        ...

    def open(self, location: str, access: Access = "sequence") -> IO[bytes]:
        """The content, from its beginning, seekable; raises SourceError if it cannot be opened.

        Args:
            access: whether it is going to be read here and there, as Parquet and zips are.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class LocalStore:
    """Files of this machine. Relative patterns start from `base`; their keys are relative to it too."""

    base: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def reach(self, pattern: str) -> None:
        """A file matches: a look at folders of this machine costs next to nothing."""
        self.list(pattern)

    def list(self, pattern: str) -> Sequence[Entry]:
        """Matches `*`, `?`, `[...]` and `**`; a name that exists as it is written is taken as such."""
        matches = [pattern] if os.path.lexists(self.base / pattern) else []
        matches = matches or sorted(glob.glob(pattern, root_dir=self.base, recursive=True))
        found = [self._entry(each, pattern) for each in matches if not (self.base / each).is_dir()]
        if not found:
            raise self._nothing(pattern, matches)
        return found

    def stamp(self, location: str) -> Stamp:
        """Size, times and inode."""
        try:
            return _stamp(os.stat(location), location)
        except OSError as error:
            raise _unreadable(location, error) from error

    def stamp_of_open(self, file: IO[bytes]) -> Stamp:
        """The same by descriptor."""
        return _stamp(os.fstat(file.fileno()), str(file.name))

    def identity(self, stamp: Stamp) -> str | None:
        """Times can be set back: it takes a look."""
        del stamp
        return None

    def open(self, location: str, access: Access = "sequence") -> IO[bytes]:
        """A plain file; a pipe or a device is refused by its stamp, as opening it could wait for ever."""
        del access
        self.stamp(location)
        try:
            return Path(location).open("rb")
        except OSError as error:
            raise _unreadable(location, error) from error

    def _entry(self, match: str, pattern: str) -> Entry:
        location = str(self.base / match)
        key = Path(match if os.path.isabs(pattern) else os.path.relpath(location, self.base)).as_posix()
        try:
            key.encode()
        except UnicodeEncodeError as error:
            raise SourceError(
                f"a file that matches {pattern} has a name that is no UTF-8: {os.fsencode(key)!r}", hint="rename it"
            ) from error
        return Entry(key, location)

    def _nothing(self, pattern: str, folders: Sequence[str]) -> SourceError:
        if folders:
            return SourceMissing(
                f"no file matches {pattern}: {self.base / folders[0]} is a folder",
                hint=f'for the files in it: "{pattern.rstrip("/")}/*"',
            )
        beginning = Path(pattern).parent
        while glob.has_magic(str(beginning)) and not (self.base / beginning).is_dir():
            beginning = beginning.parent
        folder = self.base / beginning
        try:
            names = sorted(each.name for each in folder.iterdir())
        except NotADirectoryError:
            return SourceMissing(f"no file matches {pattern}: {folder} is no folder", hint="correct the pattern")
        except FileNotFoundError:
            return SourceMissing(f"no file matches {pattern}: there is no folder {folder}", hint="correct the pattern")
        except OSError as error:
            return SourceMissing(
                f"no file matches {pattern}: {folder}: {error.strerror}", hint="see to its permissions"
            )
        near = difflib.get_close_matches(Path(pattern).name, names, n=3, cutoff=0.4) or names[:3]
        return SourceMissing(
            f"no file matches {pattern} (looked in {folder})",
            hint="there are: " + ", ".join(near) if near else "the folder is empty",
        )


def _stamp(found: os.stat_result, location: str) -> Stamp:
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or device"
        raise SourceError(f"{location} is {kind}, not a file", hint="give a file: it is read more than once")
    return {
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "ctime_ns": found.st_ctime_ns,
        "inode": found.st_ino,
    }


def _unreadable(location: str, error: OSError) -> SourceError:
    hint = "it was there a moment ago: run again" if isinstance(error, FileNotFoundError) else "see to its permissions"
    return SourceError(f"{location} cannot be read: {error.strerror}", hint=hint)

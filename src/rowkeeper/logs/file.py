"""A file of lines that stays private and small, written by any number of processes at once.

Each line is one append, which the kernel does not mix with another's. When the file is full it becomes `NAME.1`, that
one `NAME.2`, and so on; one process does it, under a lock, and the others notice that their file has another name. The
standard library's rotating handler loses lines as soon as two processes rotate.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

FORMER_MAX = 4


class RotatingFile:
    """Appends lines. Never raises for the disk: what cannot be written is counted in `lost`.

    Args:
        path: the file; its folder is made (0700) with the first line.
        bytes_max: how big it may grow; with the former ones that are kept it is five times that on the disk.
    """

    def __init__(self, path: Path, bytes_max: int) -> None:
        self.path = path
        self.lost = 0
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._descriptor = -1

    def write(self, line: str) -> None:
        """Appends one line."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._lock:
            try:
                self._open_for(len(data))
                if os.write(self._descriptor, data) != len(data):
                    os.write(self._descriptor, b"\n")  # the disk is full: the line that follows begins anew
                    self.lost += 1
                else:
                    self.lost = 0
            except OSError:
                self.lost += 1
                self._shut()

    def close(self) -> None:
        """Gives the file back."""
        with self._lock:
            self._shut()

    def _open_for(self, size: int) -> None:
        if self._descriptor >= 0 and not self._is_current():
            self._shut()  # another process has rotated it away
        if self._descriptor < 0:
            self._open()
        if os.fstat(self._descriptor).st_size + size > self._bytes_max and self._rotated():
            self._shut()
            self._open()

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self.path, flags, 0o600)
        os.fchmod(self._descriptor, 0o600)  # whatever the umask, and whoever made it

    def _is_current(self) -> bool:
        try:
            named, held = os.stat(self.path), os.fstat(self._descriptor)
        except FileNotFoundError:
            return False
        return (named.st_ino, named.st_dev) == (held.st_ino, held.st_dev)

    def _rotated(self) -> bool:
        """Whether the file has another name now; False if another process is about to do it."""
        lock = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        try:
            if self._is_current():
                for path in former(self.path):
                    number = int(path.name.rpartition(".")[2])
                    if number >= FORMER_MAX:
                        path.unlink()
                    else:
                        path.rename(self.path.with_name(f"{self.path.name}.{number + 1}"))
                self.path.rename(self.path.with_name(f"{self.path.name}.1"))
        finally:
            os.close(lock)
        return True

    def _shut(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def former(path: Path) -> list[Path]:
    """The files that it was before, the oldest first."""
    found = [each for each in path.parent.glob(f"{path.name}.*") if each.name.rpartition(".")[2].isdigit()]
    return sorted(found, key=lambda each: -int(each.name.rpartition(".")[2]))

"""What makes files last: names, and all of a volume, brought to the disk; links in the place of copies.

`OSError` is raised as the kernel has it; whoever calls says what it means where it happened.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable. Raises OSError."""
    with opened(folder) as descriptor:
        os.fsync(descriptor)


def sync_volume(descriptor: int) -> None:
    """Makes everything on the volume of an open folder durable. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def link_or_copy(path: str | Path, to: str | Path) -> None:
    """The same file under another name as well; a copy, where the file system has no links for it. Raises OSError."""
    try:
        os.link(path, to)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        shutil.copy2(path, to)


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """A descriptor of a folder. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

"""Folders that are for their owner alone, and those that turned out not to be."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from rowkeeper.errors import StateError

OTHERS = stat.S_IRWXG | stat.S_IRWXO
NAMED_MAX = 3


def make_folder(path: Path) -> None:
    """Makes a folder and those above it that are not there, each 0700 whatever the umask. Raises OSError."""
    if not path.parent.exists():
        make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        path.chmod(0o700)


def refuse_open(folder: Path) -> None:
    """Raises StateError if others can open the state folder, or what lies in it: the ledger, keys, `home.json`, ...

    One floor deep: below it everything lies in a folder that was looked at.
    """
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & OTHERS:
        raise StateError(f"the state folder {folder} is open to others (mode {mode:04o})", hint=f"chmod 700 {folder}")
    loose = sorted(entry.name for entry in os.scandir(folder) if _is_open(entry))
    if loose:
        named = ", ".join(loose[:NAMED_MAX]) + ", ..." * (len(loose) > NAMED_MAX)
        raise StateError(f"in the state folder {folder} is open to others: {named}", hint=f"chmod -R go= {folder}")


def _is_open(entry: os.DirEntry[str]) -> bool:
    """Links have no mode of their own; what went away meanwhile is open to nobody."""
    with contextlib.suppress(FileNotFoundError):
        return not entry.is_symlink() and bool(entry.stat(follow_symlinks=False).st_mode & OTHERS)
    return False

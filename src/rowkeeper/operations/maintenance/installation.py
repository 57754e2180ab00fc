"""What is done for the installation as a whole: drafts of processes that died, and the ledger's own database."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from rowkeeper.operations.maintenance.task import Task
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.room import check_room
from rowkeeper.runs.workspace import Workspace

DRAFT = re.compile(r"\..+\.[0-9a-f]{16}")  # as security/keyfile.py names them
DRAFT_KEPT = timedelta(days=1)  # nobody writes one file for so long
OF_THE_ENGINE = "engine"
FREE_SHARE_MIN = 0.25
FREE_BYTES_MIN = 1 << 20
VACUUM_BYTES_MAX = 2 << 30  # whoever wants to write waits meanwhile, and not for ever
JOURNAL_BYTES_MAX = 4 << 20  # SQLite itself moves on at about as much


def find_drafts(space: Workspace, now: datetime) -> Iterator[Task]:
    """Private files that a process was writing when it died: nobody comes back for them."""
    for folder, folders, names in os.walk(space.folder.path):
        if Path(folder) == space.folder.path:
            folders[:] = [each for each in folders if each != OF_THE_ENGINE]
        for path in sorted(Path(folder) / name for name in names if DRAFT.fullmatch(name)):
            try:
                found = path.stat()
            except FileNotFoundError:
                continue  # it was no leftover: it is written by now
            if found.st_mtime < (now - DRAFT_KEPT).timestamp():
                told = f"remove the draft {path.relative_to(space.folder.path)}"
                yield Task("files", "state folder", told, partial(_remove, path), found.st_size)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    failpoint("maintain.after_draft")


def find_upkeep(space: Workspace) -> Iterator[Task]:
    """The ledger's free pages, its statistics and its journal; of SQLite."""
    upkeep = space.ledger.upkeep
    pages = upkeep.pages()
    if pages is None or upkeep.path is None:
        return
    if pages.free >= FREE_BYTES_MIN and pages.free >= FREE_SHARE_MIN * pages.file and pages.file <= VACUUM_BYTES_MAX:
        told = f"write it anew without its free pages, {pages.free / 1e6:,.1f} MB of {pages.file / 1e6:,.1f} MB"
        yield Task("ledger", "ledger", told, partial(_vacuum, space, upkeep.path.parent, pages.file), pages.free)
    if pages.journal > JOURNAL_BYTES_MAX:
        told = f"take its journal of {pages.journal / 1e6:,.1f} MB into it, and bring its statistics up to date"
        yield Task("ledger", "ledger", told, upkeep.tidy, pages.journal)


def _vacuum(space: Workspace, folder: Path, size: int) -> None:
    """While no run is under way: whatever writes has to wait for the end."""
    check_room(folder, 2 * size, space.settings.disk_free_min)
    space.ledger.upkeep.vacuum()
    space.ledger.upkeep.tidy()

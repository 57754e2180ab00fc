"""Keys for tests that work below the workspace."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from rowkeeper.protocols import DiskKeys
from rowkeeper.runs.workspace import disk_keys
from rowkeeper.security.statefolder import open_state_folder


def random_disk_keys() -> Callable[[], DiskKeys]:
    """The key of a disk that no other engine will open."""
    keys = DiskKeys(7, {7: os.urandom(32)})
    return lambda: keys


def disk_keys_of(home: Path) -> Callable[[], DiskKeys]:
    """Those of a state folder."""
    return lambda: disk_keys(open_state_folder(home).keysets)

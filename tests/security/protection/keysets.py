"""Keysets of a state folder of their own, for tests of protections alone."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from rowkeeper.security.keysets import Keysets
from rowkeeper.security.statefolder import open_state_folder


def fresh() -> Keysets:
    """Keysets that nobody else has; the folder goes with the process."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    return open_state_folder(folder / "state", f"file:{folder / 'key'}").keysets

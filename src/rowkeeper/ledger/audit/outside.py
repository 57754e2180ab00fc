"""The newest checkpoint outside the database, in files."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from rowkeeper.logs import failure, logger

log = logger("audit")


def hash_of(path: Path) -> str:
    """The SHA-256 of a file, in hex digits."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unreadable"


def write_outside(path: Path, note: str) -> None:
    """Whole or not at all. If it cannot be, that is logged: the entry is committed, and the next one tries again."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(note)
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        log.warning("checkpoint not written outside the ledger", path=str(path), **failure(error))

"""The key file: 32 random bytes in hex, outside the state folder, readable by its owner alone."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rowkeeper.durable import sync_folder
from rowkeeper.errors import KeyUnusable, SecurityError
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.security.private import make_folder
from rowkeeper.security.weakkeys import refuse_weak

KEY_BYTES = 32


def default_path(home_id: str) -> Path:
    """Where the key of a state folder lies unless `ROWKEEPER_KEY_FILE` says otherwise."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "rowkeeper" / f"{home_id}.key"


def load_or_make(path: Path) -> tuple[bytes, bool]:
    """The key in this file, made if there is none; and whether it was made."""
    if path.exists():
        return load(path), False
    try:
        make_folder(path.parent)
        write_private(path, secrets.token_hex(KEY_BYTES).encode() + b"\n")
    except FileExistsError:
        return load(path), False
    except OSError as error:
        raise KeyUnusable(
            f"the key file {path} cannot be made: {error.strerror}",
            hint="set ROWKEEPER_KEY_FILE to a place that you may write",
        ) from error
    return load(path), True


def load(path: Path) -> bytes:
    """Reads a key file; refuses one that is missing, damaged, or readable by others."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text()
    except OSError as error:
        raise KeyUnusable(
            f"the key file {path} cannot be read: {error.strerror}",
            hint="put it back from its backup, or point ROWKEEPER_KEY_FILE at it; "
            "without it the encrypted tables cannot be opened",
        ) from error
    if mode & 0o077:
        raise SecurityError(f"the key file {path} is open to others (mode {mode:04o})", hint=f"chmod 600 {path}")
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyUnusable(
            f"the key file {path} does not hold {KEY_BYTES} bytes in hex", hint="put it back from its backup"
        )
    refuse_weak(key, str(path))
    return key


def derive(key: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose alone (HKDF-SHA256, RFC 5869)."""
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=f"rowkeeper {purpose}".encode()).derive(
        key
    )


def check_value(key: bytes) -> str:
    """Tells one key from another without telling the key."""
    return hmac.new(key, b"rowkeeper key check", hashlib.sha256).hexdigest()[:16]


def write_private(path: Path, data: bytes) -> None:
    """Makes a file (0600 whatever the umask), whole and durable or not at all.

    Raises FileExistsError if there is one of that name.
    """
    draft, descriptor = _private_draft(path)
    try:
        _fill(descriptor, data)
        failpoint("private_file.before_link")
        os.link(draft, path)
    finally:
        draft.unlink()
    sync_folder(path.parent)


def replace_private(path: Path, data: bytes) -> None:
    """Puts a file (0600 whatever the umask) in the place of the one of this name: that one or this, never a part."""
    draft, descriptor = _private_draft(path)
    try:
        _fill(descriptor, data)
        failpoint(f"{path.name}.before_replace")
        os.replace(draft, path)
        failpoint(f"{path.name}.after_replace")
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def _private_draft(path: Path) -> tuple[Path, int]:
    """A new file beside the one that is meant, and its descriptor."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    return draft, os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _fill(descriptor: int, data: bytes) -> None:
    """Writes a whole file, 0600 whatever the umask, until it is on the disk; closes it."""
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())

"""Sealed files: AES-256-GCM, so that what lies in a file can neither be read nor changed unnoticed.

Layout: the magic `RKS1`, a nonce of 12 bytes, the ciphertext with its tag of 16 bytes. The file's name is
bound in as associated data, so one sealed file cannot stand in for another.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rowkeeper.errors import DiskFull, IntegrityError, SealBroken, StateError
from rowkeeper.security.keyfile import derive, sync_folder, write_private

MAGIC = b"RKS1"
NONCE_BYTES = 12
NO_SPACE = {28, 122}  # ENOSPC, EDQUOT


class Seal:
    """Seals and opens the files of one purpose below one folder.

    Args:
        key: the state folder's key.
        purpose: what the files are; each purpose has a key of its own.
        root: the folder that file names are relative to.
    """

    def __init__(self, key: bytes, purpose: str, root: Path) -> None:
        self._cipher = AESGCM(derive(key, purpose))
        self._root = root

    def write(self, name: str, data: bytes) -> str:
        """Writes a sealed file durably, in the place of one that a dead run left.

        Returns the SHA-256 of its bytes. Raises DiskFull or StateError; then there is no such file.
        """
        path = self._root / name
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = MAGIC + nonce + self._cipher.encrypt(nonce, data, name.encode())
        try:
            for folder in (self._root, path.parent):  # parents=True would make the upper one open to others
                if not folder.exists():
                    folder.mkdir(mode=0o700, exist_ok=True)
                    sync_folder(folder.parent)
            path.unlink(missing_ok=True)
            write_private(path, sealed)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise DiskFull(
                    f"no room left on the disk to write {path}",
                    hint="free some space and run again: what was staged is kept",
                ) from error
            raise StateError(
                f"{path} cannot be written: {error.strerror}", hint="rowkeeper doctor says what is wrong"
            ) from error
        return hashlib.sha256(sealed).hexdigest()

    def remove(self, name: str) -> None:
        """Removes a sealed file, which may be gone already."""
        (self._root / name).unlink(missing_ok=True)

    def keep_only(self, folder: str, known: Collection[str]) -> None:
        """Removes whatever else is in a folder below the root: also drafts of processes that died as they wrote.

        Raises OSError.
        """
        inside = self._root / folder
        for path in inside.iterdir() if inside.exists() else ():
            if f"{folder}/{path.name}" not in known:
                path.unlink(missing_ok=True)

    def read(self, name: str, *, sha256: str | None = None) -> bytes:
        """Opens a sealed file.

        Args:
            sha256: what `write` returned, where it must be that very file.

        Raises IntegrityError where it is missing, was changed, or is another file than its name says.
        """
        path = self._root / name
        try:
            sealed = path.read_bytes()
        except OSError as error:
            raise IntegrityError(f"{path} cannot be read: {error.strerror}", hint="restore it from a backup") from error
        nonce = sealed[len(MAGIC) : len(MAGIC) + NONCE_BYTES]
        try:
            if not sealed.startswith(MAGIC) or sha256 not in (None, hashlib.sha256(sealed).hexdigest()):
                raise InvalidTag
            return self._cipher.decrypt(nonce, sealed[len(MAGIC) + NONCE_BYTES :], name.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBroken(
                f"{path} was changed since it was sealed, or sealed with another key",
                hint="restore it from a backup",
            ) from error

"""Sealed files: AES-256-GCM, so that what lies in a file can neither be read nor changed unnoticed.

Layout: the magic `RKS2`, the id of the key (4 bytes, big-endian), a nonce of 12 bytes, the ciphertext with its tag of
16 bytes. Magic, key id and the file's name are bound in as associated data, so one sealed file cannot stand in for
another. Files of before there were keysets have the magic `RKS1` and no key id, and only their name is bound in.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rowkeeper.durable import sync_folder
from rowkeeper.errors import DiskFull, IntegrityError, KeyUnusable, SealBroken, StateError
from rowkeeper.security.keyfile import write_private
from rowkeeper.security.keysets import FIRST_IDS, Key, Keysets

MAGIC, FIRST_MAGIC = b"RKS2", b"RKS1"
HEADER_BYTES = 8  # magic and key id
NONCE_BYTES = 12
USE = "sealed file"
NO_SPACE = {28, 122}  # ENOSPC, EDQUOT


class Seal:
    """Seals and opens the files of one purpose below one folder.

    Args:
        keysets: where their keys are.
        purpose: what the files are; each purpose has a keyset of its own.
        root: the folder that file names are relative to.
    """

    def __init__(self, keysets: Keysets, purpose: str, root: Path) -> None:
        self._keysets = keysets
        self._purpose = purpose
        self._root = root

    def write(self, name: str, data: bytes) -> str:
        """Writes a sealed file durably, in the place of one that a dead run left.

        Returns the SHA-256 of its bytes. Raises DiskFull or StateError; then there is no such file.
        """
        while True:
            key = self._keysets.of(self._purpose).primary
            header = MAGIC + key.id.to_bytes(4)
            nonce = secrets.token_bytes(NONCE_BYTES)
            sealed = header + nonce + AESGCM(key.derive(USE)).encrypt(nonce, data, header + name.encode())
            self._store(name, sealed)
            # Whoever revokes a key counts what is sealed with it, after it has been rotated away. A file that was
            # begun before the rotation, and was not there to be counted, is written anew.
            if self._keysets.of(self._purpose).primary.id == key.id:
                return hashlib.sha256(sealed).hexdigest()

    def _store(self, name: str, sealed: bytes) -> None:
        path = self._root / name
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

        Raises IntegrityError where it is missing, was changed, or is another file than its name says; KeyRevoked where
        its key was revoked, or whatever keeps its keyset from being opened.
        """
        path = self._root / name
        try:
            sealed = path.read_bytes()
        except OSError as error:
            raise IntegrityError(f"{path} cannot be read: {error.strerror}", hint="restore it from a backup") from error
        number = _key_id(sealed, self._purpose)
        if number is None or sha256 not in (None, hashlib.sha256(sealed).hexdigest()):
            raise _broken(path)
        keyset = self._keysets.of(self._purpose)
        try:
            key = keyset.key(number)
        except KeyUnusable as error:  # an id that was never given: the header was changed
            raise _broken(path) from error
        try:
            return _opened(sealed, key, name)
        except (InvalidTag, ValueError) as error:  # a ValueError for one that is cut off in its nonce
            raise _broken(path) from error

    def key_ids(self, pattern: str = "*.sealed") -> Counter[int]:
        """How many files are sealed with which key, by what stands in their headers. Raises IntegrityError.

        Args:
            pattern: of their names.
        """
        counted: Counter[int] = Counter()
        for path in self._root.rglob(pattern):
            try:
                with path.open("rb") as file:
                    number = _key_id(file.read(HEADER_BYTES), self._purpose)
            except FileNotFoundError:
                continue  # it was removed meanwhile
            except OSError as error:
                raise IntegrityError(f"{path} cannot be read: {error.strerror}", hint="see to the disk") from error
            if number is not None:
                counted[number] += 1
        return counted


def _key_id(sealed: bytes, purpose: str) -> int | None:
    """The id of the key that a file is sealed with; None if it is no sealed file."""
    if sealed.startswith(FIRST_MAGIC):
        return FIRST_IDS.get(purpose)
    if sealed.startswith(MAGIC) and len(sealed) >= HEADER_BYTES:
        return int.from_bytes(sealed[len(MAGIC) : HEADER_BYTES])
    return None


def _opened(sealed: bytes, key: Key, name: str) -> bytes:
    """Raises InvalidTag or ValueError."""
    first = sealed.startswith(FIRST_MAGIC)
    header = b"" if first else sealed[:HEADER_BYTES]
    start = len(FIRST_MAGIC) if first else HEADER_BYTES
    nonce, ciphertext = sealed[start : start + NONCE_BYTES], sealed[start + NONCE_BYTES :]
    return AESGCM(key.material if first else key.derive(USE)).decrypt(nonce, ciphertext, header + name.encode())


def _broken(path: Path) -> SealBroken:
    return SealBroken(
        f"{path} was changed since it was sealed, or sealed with another key", hint="restore it from a backup"
    )

"""The folder of the private authority: `certs/` in the state folder.

    ca.pem, ca.key          the authority: its certificate, and its key, sealed
    crl.pem                 its revocation list
    NAME/cert.pem, key.pem  a leaf: a link to the version that is in use
    .versions/              all versions; the key of one that was replaced is removed

A renewed leaf takes the place of the former one by the renaming of one link, so a crash leaves the one or the other,
and never a certificate with the key of another.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rowkeeper.durable import sync_folder
from rowkeeper.errors import AuthorityError, DeclarationError, StateError
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.security.keyfile import write_private

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
RESERVED = {"ca.pem", "ca.key", "crl.pem", "lock"}


class CertificateFolder:
    """Reads and writes it.

    Args:
        path: `certs/` in the state folder; made at first use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ca = path / "ca.pem"
        self.crl = path / "crl.pem"
        self._versions = path / ".versions"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time changes it. Raises AuthorityError if another is at it, StateError if it cannot be."""
        try:
            for folder in (self.path, self._versions):
                folder.mkdir(mode=0o700, exist_ok=True)
                folder.chmod(0o700)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StateError(
                f"{self.path} cannot be written: {error.strerror}", hint="run as the user who owns the state folder"
            ) from error
        try:
            _lock(descriptor)
            yield
        except OSError as error:
            raise StateError(
                f"{error.filename or self.path} cannot be written: {error.strerror}",
                hint="free some space, or run as the user who owns the state folder; what was there before is whole",
            ) from error
        finally:
            os.close(descriptor)

    def names(self) -> list[str]:
        """The leaves that are in use."""
        return sorted(each.name for each in self.path.glob("*") if each.is_symlink())

    def cert(self, name: str) -> Path:
        """The certificate of a leaf that is in use."""
        return self.path / self.checked(name) / "cert.pem"

    def key(self, name: str) -> Path:
        """Its key."""
        return self.path / self.checked(name) / "key.pem"

    def notes(self, name: str) -> Mapping[str, Any]:
        """What is known of a leaf that does not stand in its certificate."""
        try:
            found = json.loads((self.path / self.checked(name) / "leaf.json").read_text())
        except (OSError, ValueError) as error:
            raise AuthorityError(
                f"the folder of the leaf {name} is damaged",
                hint=f"rowkeeper certs issue {name} --replace makes it anew",
            ) from error
        return dict(found)

    def checked(self, name: str) -> str:
        """Refuses a name that is a path, or another file's. Raises DeclarationError."""
        if not NAME.fullmatch(name) or name in RESERVED:
            raise DeclarationError(
                f"{name!r} cannot be the name of a leaf",
                hint="lower-case letters, digits, dots, hyphens: web, db.example",
            )
        return name

    def put(self, name: str, serial: int, cert: bytes, key: bytes, notes: Mapping[str, Any]) -> None:
        """Puts a leaf into use, in the place of the one of the same name. Raises OSError."""
        version = self._versions / f"{self.checked(name)}-{serial:x}"
        version.mkdir(mode=0o700)
        for file, data in (("cert.pem", cert), ("key.pem", key), ("leaf.json", json.dumps(notes).encode())):
            write_private(version / file, data)
        sync_folder(self._versions)
        failpoint("certificates.before_switch")
        draft = self.path / f".{name}.{secrets.token_hex(8)}"
        draft.symlink_to(version.relative_to(self.path))
        draft.replace(self.path / name)
        sync_folder(self.path)
        failpoint("certificates.after_switch")
        for former in self.versions(name):
            if former.parent != version:
                (former.parent / "key.pem").unlink(missing_ok=True)

    def versions(self, name: str) -> list[Path]:
        """The certificates that were ever made under a name. A folder without one is of a process that died."""
        pattern = re.compile(re.escape(self.checked(name)) + r"-[0-9a-f]+")
        folders = [each for each in self._versions.glob("*") if pattern.fullmatch(each.name)]
        return [each / "cert.pem" for each in folders if (each / "cert.pem").exists()]

    def remove(self, name: str) -> None:
        """Takes a leaf out of use, and its key away; its certificates stay. Raises OSError."""
        (self.path / self.checked(name)).unlink(missing_ok=True)
        for each in self.versions(name):
            (each.parent / "key.pem").unlink(missing_ok=True)
        sync_folder(self.path)

    def replace(self, path: Path, data: bytes) -> None:
        """Writes a file, whole and durable, in the place of the former one. Raises OSError."""
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            write_private(draft, data)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)


def _lock(descriptor: int) -> None:
    """Not waited for: who holds it needs a moment, or hangs. Closing the descriptor gives it back."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise AuthorityError(
            "another process is at the certificates", hint="give the command again when it has ended"
        ) from error

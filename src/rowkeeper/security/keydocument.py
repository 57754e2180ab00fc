"""`keys.json` in the state folder: every keyset, wrapped, and which key wraps them.

It is one file, so that one rename turns all of it, and whoever dies on the way leaves the former or the next. Whoever
changes it holds `keys.lock`. Each keyset is wrapped by itself; the seal of the whole keeps anybody from taking one out,
or from putting another's in.
"""

from __future__ import annotations

import base64
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic import ValidationError as PydanticValidationError

from rowkeeper.errors import DiskFull, KeysetsDamaged, StateError, WrongKey
from rowkeeper.security.keyfile import replace_private
from rowkeeper.security.keyproviders import KeyProvider, NotUnwrapped

NAME, LOCK = "keys.json", "keys.lock"
LOCK_SECONDS_MAX, LOOK_SECONDS = 60.0, 0.02
SEALED = b"rowkeeper keys"
NO_SPACE = {28, 122}  # ENOSPC, EDQUOT
FROM_A_BACKUP = "put keys.json back from a backup of this state folder"


class KeyRecord(BaseModel):
    """What is told of a key without opening its keyset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made: datetime
    revoked: datetime | None = None
    reason: str | None = None


class WrappedKeyset(BaseModel):
    """A keyset as it is stored.

    Attributes:
        primary: the id of the key that writes.
        keys: all of them, those that were revoked too.
        tink: Tink's document of the encrypted keyset.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    primary: int
    keys: dict[int, KeyRecord]
    tink: dict[str, Any]

    @property
    def enabled(self) -> frozenset[int]:
        """The ids of those that read."""
        return frozenset(number for number, record in self.keys.items() if record.revoked is None)


class KeyDocument(BaseModel):
    """The whole of it.

    Attributes:
        home: the id of the state folder.
        key: the reference of the key that wraps the keysets.
        check: tells that key from another; empty where its provider does.
        seal: made with that key over everything else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    home: str
    key: str
    check: str
    keysets: dict[str, WrappedKeyset]
    seal: str = ""

    def sealed(self, provider: KeyProvider) -> KeyDocument:
        """With its seal."""
        return self.model_copy(update={"seal": base64.b64encode(provider.encrypt(SEALED, self._about())).decode()})

    def check_seal(self, path: Path, provider: KeyProvider) -> None:
        """Raises WrongKey if the key is another one, KeysetsDamaged if the document was changed."""
        if provider.check() != self.check or (not self.check and provider.reference != self.key):
            raise WrongKey(
                f"the key in {provider.reference} is not the key of the state folder {path.parent}",
                hint=f"its keysets are wrapped with {self.key}: put that key back, or point ROWKEEPER_KEY at it",
            )
        try:
            provider.decrypt(base64.b64decode(self.seal), self._about())
        except (NotUnwrapped, ValueError) as error:
            raise KeysetsDamaged(f"{path} was changed since it was written", hint=FROM_A_BACKUP) from error

    def _about(self) -> bytes:
        return self.model_dump_json(exclude={"seal"}).encode()


def read(path: Path, home_id: str) -> KeyDocument:
    """Reads it, without looking at its seal. Raises KeysetsDamaged."""
    try:
        document = KeyDocument.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise KeysetsDamaged(
            f"{path} is missing: it holds the keys of everything in the state folder", hint=FROM_A_BACKUP
        ) from error
    except OSError as error:
        raise KeysetsDamaged(f"{path} cannot be read: {error.strerror}", hint="run as the user who owns it") from error
    except PydanticValidationError as error:
        raise KeysetsDamaged(f"{path} is damaged: it does not hold what Rowkeeper wrote", hint=FROM_A_BACKUP) from error
    if document.home != home_id:
        raise KeysetsDamaged(
            f"{path} is of another state folder (id {document.home}; this one is {home_id})", hint=FROM_A_BACKUP
        )
    return document


def write(path: Path, document: KeyDocument) -> None:
    """Puts it in the place of the former, durably. Raises DiskFull or StateError; then the former is as it was."""
    try:
        replace_private(path, document.model_dump_json(indent=1).encode())
    except OSError as error:
        if error.errno in NO_SPACE:
            raise DiskFull(f"no room left on the disk to write {path}", hint="free some space and try again") from error
        raise StateError(
            f"{path} cannot be written: {error.strerror}", hint="rowkeeper doctor says what is wrong"
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time changes the keys; the lock goes with the process. Raises StateError after a minute."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(
            f"{folder / LOCK} cannot be made: {error.strerror}", hint="rowkeeper doctor says what is wrong"
        ) from error
    try:
        os.fchmod(descriptor, 0o600)
        _wait_for(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, folder: Path) -> None:
    until = time.monotonic() + LOCK_SECONDS_MAX
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise StateError(
                    f"another process has been changing the keys of {folder} for {LOCK_SECONDS_MAX:.0f} s",
                    hint=f"end the process that holds {folder / LOCK}, then try again",
                ) from None
            time.sleep(LOOK_SECONDS)
        else:
            return

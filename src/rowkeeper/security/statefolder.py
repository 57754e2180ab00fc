"""The state folder: made private, recognised again, and refused where it cannot be trusted.

`home.json` is its birth certificate: an id, and the version of its layout. `keys.json` beside it holds its keysets and
says which key wraps them. In layout 1, which had no keysets, the certificate named the key file itself; such a folder
is brought to this layout as it is opened, and its keys stay what they were.
"""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rowkeeper.errors import KeyUnusable, NewerState, StateError, WrongKey
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.security import keydocument, keyfile
from rowkeeper.security.keyproviders import FILE, KeyProvider, LocalKey, key_path, normal, open_provider
from rowkeeper.security.keysets import ENGINE, QUARANTINE, SAMPLES, SPOOL, Keysets
from rowkeeper.security.private import make_folder, refuse_open
from rowkeeper.security.references.vault import Vault

LAYOUT_VERSION = 2
CERTIFICATE = "home.json"
FIRST_PURPOSES = {ENGINE: "engine disk", QUARANTINE: "quarantine", SAMPLES: "samples", SPOOL: "spool"}


@dataclasses.dataclass(frozen=True, slots=True)
class StateFolder:
    """An opened state folder.

    Attributes:
        path: absolute.
        id: 32 hex digits, given at its making.
        keysets: the keys of everything in it.
        provider: what opened it of the keys that wrap those.
        open_provider: that of another reference; makes a key file that is not there.
    """

    path: Path
    id: str
    keysets: Keysets = dataclasses.field(repr=False)
    provider: KeyProvider
    open_provider: Callable[[str], KeyProvider] = dataclasses.field(repr=False)

    @property
    def key_made(self) -> bool:
        """The key file was made just now, and somebody should be told to keep a copy."""
        return self.provider.made

    @property
    def key_path(self) -> Path | None:
        """The key file; None where the key is elsewhere."""
        return key_path(self.keysets.reference) if self.keysets.reference.startswith(FILE) else None


@dataclasses.dataclass(frozen=True, slots=True)
class _Opening:
    """What a state folder is opened with."""

    path: Path
    key: str | None
    vault: Vault | None

    def provider(self, reference: str, *, make: bool = False) -> KeyProvider:
        if reference.startswith(FILE):
            refuse_inside(key_path(reference), self.path)
        return open_provider(reference, self.vault, make=make)

    def folder(self, home_id: str, provider: KeyProvider) -> StateFolder:
        keysets = Keysets(self.path, home_id, provider, self.provider)
        return StateFolder(self.path, home_id, keysets, provider, lambda text: self.provider(normal(text), make=True))


def open_state_folder(path: Path, key: str | None = None, vault: Vault | None = None) -> StateFolder:
    """Opens the state folder, making it (0700) and its key at first use.

    Args:
        key: the reference of the key that wraps its keysets; None for the one that it was made with, or a key file.
        vault: who holds keys of `transit:`.

    Raises:
        StateError: it cannot be written, is open to others, or was made by a newer version.
        SecurityError: its key is missing or is another one, or its keysets were changed.
    """
    path = path.expanduser().absolute()
    _make_private(path)
    opening = _Opening(path, normal(key) if key else None, vault)
    text = _read_certificate(path)
    if text is None:
        with keydocument.locked(path):  # of two processes that both find the folder new, one becomes the founder
            text = _read_certificate(path)
            if text is None:
                return _found(opening)
    return _recognise(opening, text)


def _read_certificate(path: Path) -> str | None:
    try:
        return (path / CERTIFICATE).read_text()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        return ""
    except OSError as error:
        raise StateError(
            f"the state folder {path} cannot be read: {error.strerror}",
            hint="run as the user who owns it, or set ROWKEEPER_HOME to a folder of your own",
        ) from error


def _make_private(path: Path) -> None:
    try:
        if not path.exists():
            make_folder(path)
    except OSError as error:
        raise StateError(
            f"the state folder {path} cannot be made: {error.strerror}",
            hint="set ROWKEEPER_HOME to a folder that you may write",
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise StateError(
            f"no permission to write the state folder {path}",
            hint="run as the user who owns it, or set ROWKEEPER_HOME to a folder of your own",
        )
    refuse_open(path)


def refuse_inside(key: Path, folder: Path) -> None:
    """A key may not lie beside what it locks. Raises KeyUnusable."""
    if key.is_relative_to(folder):
        raise KeyUnusable(
            f"the key file {key} would lie inside the state folder that it protects",
            hint="set ROWKEEPER_KEY_FILE to a place outside the state folder",
        )


def _found(opening: _Opening) -> StateFolder:
    """The key is safe on disk before the keysets are wrapped with it, and those are before the certificate is."""
    left = opening.path / keydocument.NAME
    if left.exists() and b'"tink"' in left.read_bytes():
        raise StateError(
            f"{opening.path / CERTIFICATE} is missing, and the folder holds keys: it is no new one",
            hint="restore it from a backup; the tables cannot be opened without it",
        )
    home_id = uuid.uuid4().hex
    reference = opening.key or normal(f"{FILE}{keyfile.default_path(home_id)}")
    folder = opening.folder(home_id, opening.provider(reference, make=True))
    folder.keysets.found({})
    failpoint("home.before_certificate")
    _write_certificate(opening.path, home_id)
    return folder


def _write_certificate(path: Path, home_id: str) -> None:
    text = json.dumps({"id": home_id, "layout": LAYOUT_VERSION})
    try:
        keyfile.replace_private(path / CERTIFICATE, text.encode())
    except OSError as error:
        raise StateError(
            f"the state folder {path} cannot be written: {error.strerror}",
            hint="free some space, or set ROWKEEPER_HOME to another folder",
        ) from error


def _recognise(opening: _Opening, text: str) -> StateFolder:
    path = opening.path
    try:
        certificate = json.loads(text)
        home_id, layout = str(certificate["id"]), int(certificate["layout"])
        if layout == 1:
            return _bring_forward(opening, home_id, certificate["key_file"], certificate["key_check"])
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"{path / CERTIFICATE} is damaged: it does not hold what Rowkeeper wrote",
            hint="restore it from a backup; the tables cannot be opened without it",
        ) from error
    if layout > LAYOUT_VERSION:
        raise NewerState(
            f"the state folder {path} was made by a newer version of Rowkeeper "
            f"(layout {layout}; this version knows {LAYOUT_VERSION})",
            hint="upgrade: pip install --upgrade rowkeeper",
        )
    return _open(opening, home_id)


def _open(opening: _Opening, home_id: str) -> StateFolder:
    document = keydocument.read(opening.path / keydocument.NAME, home_id)
    folder = opening.folder(home_id, opening.provider(opening.key or document.key))
    folder.keysets.check()
    return folder


def _bring_forward(opening: _Opening, home_id: str, key_file: Any, check: Any) -> StateFolder:
    """From layout 1: what was derived from its key becomes the first key of each keyset. Nothing else is touched."""
    reference = opening.key or f"{FILE}{Path(key_file)}"
    provider = opening.provider(reference)
    if not isinstance(provider, LocalKey):
        raise KeyUnusable(
            f"the state folder {opening.path} was made with a key file, and {reference} is none",
            hint="open it with its key file first; then rowkeeper keys rewrap --to moves its keysets",
        )
    if provider.check() != check:
        raise WrongKey(
            f"the key in {provider.reference} is not the key of the state folder {opening.path}",
            hint="put back the key file that was made with this folder, or point ROWKEEPER_KEY_FILE at it",
        )
    with keydocument.locked(opening.path):
        folder = opening.folder(home_id, provider)
        if not (opening.path / keydocument.NAME).exists():
            folder.keysets.found({purpose: provider.derived(info) for purpose, info in FIRST_PURPOSES.items()})
        failpoint("home.before_layout")
        _write_certificate(opening.path, home_id)
    folder.keysets.check()
    return folder

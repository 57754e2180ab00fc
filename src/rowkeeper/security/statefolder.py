"""The state folder: made private, recognised again, and refused where it cannot be trusted.

`home.json` is its birth certificate: an id, the version of its layout, and a check value of its key.
"""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
from pathlib import Path

from rowkeeper.errors import KeyUnusable, NewerState, StateError, WrongKey
from rowkeeper.security import keyfile
from rowkeeper.security.private import make_folder, refuse_open

LAYOUT_VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True)
class StateFolder:
    """An opened state folder.

    Attributes:
        path: absolute.
        id: 32 hex digits, given at its making.
        key: the 32 bytes from which every key at rest is derived.
        key_path: where that key lies.
        key_made: the key was made just now, and somebody should be told to keep a copy.
    """

    path: Path
    id: str
    key: bytes = dataclasses.field(repr=False)
    key_path: Path
    key_made: bool


def open_state_folder(path: Path, key_file: Path | None = None) -> StateFolder:
    """Opens the state folder, making it (0700) and its key at first use.

    Raises:
        StateError: it cannot be written, is open to others, or was made by a newer version.
        SecurityError: its key is missing or is another one.
    """
    path = path.expanduser().absolute()
    _make_private(path)
    certificate = path / "home.json"
    try:
        text = certificate.read_text() if certificate.exists() else None
    except OSError as error:
        raise StateError(
            f"the state folder {path} cannot be read: {error.strerror}",
            hint="run as the user who owns it, or set ROWKEEPER_HOME to a folder of your own",
        ) from error
    return _make(path, key_file) if text is None else _recognise(path, text, key_file)


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


def _make(path: Path, key_file: Path | None) -> StateFolder:
    home_id = uuid.uuid4().hex
    key_path = key_file.expanduser().absolute() if key_file else keyfile.default_path(home_id)
    if key_path.is_relative_to(path):
        raise KeyUnusable(
            f"the key file {key_path} would lie inside the state folder that it protects",
            hint="set ROWKEEPER_KEY_FILE to a place outside the state folder",
        )
    key, key_made = keyfile.load_or_make(key_path)
    text = json.dumps(
        {
            "id": home_id,
            "layout": LAYOUT_VERSION,
            "key_check": keyfile.check_value(key),
            "key_file": str(key_path),
        }
    )
    # The key is safe on disk before the certificate names it, and of two processes that both find the folder
    # new exactly one becomes the founder; the other recognises what that one made.
    try:
        keyfile.write_private(path / "home.json", text.encode())
    except FileExistsError:
        if key_made and key_file is None:
            key_path.unlink()
        return _recognise(path, (path / "home.json").read_text(), key_file)
    except OSError as error:
        raise StateError(
            f"the state folder {path} cannot be written: {error.strerror}",
            hint="free some space, or set ROWKEEPER_HOME to another folder",
        ) from error
    return StateFolder(path, home_id, key, key_path, key_made)


def _recognise(path: Path, text: str, key_file: Path | None) -> StateFolder:
    try:
        certificate = json.loads(text)
        home_id, layout, check = certificate["id"], int(certificate["layout"]), certificate["key_check"]
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"{path / 'home.json'} is damaged: it does not hold what Rowkeeper wrote",
            hint="restore it from a backup; the tables cannot be opened without it",
        ) from error
    if layout > LAYOUT_VERSION:
        raise NewerState(
            f"the state folder {path} was made by a newer version of Rowkeeper "
            f"(layout {layout}; this version knows {LAYOUT_VERSION})",
            hint="upgrade: pip install --upgrade rowkeeper",
        )
    key_path = key_file.expanduser().absolute() if key_file else Path(certificate["key_file"])
    key = keyfile.load(key_path)
    if keyfile.check_value(key) != check:
        raise WrongKey(
            f"the key in {key_path} is not the key of the state folder {path}",
            hint="put back the key file that was made with this folder, or point ROWKEEPER_KEY_FILE at it",
        )
    return StateFolder(path, home_id, key, key_path, key_made=False)

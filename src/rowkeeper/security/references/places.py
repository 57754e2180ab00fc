"""Secrets that are on this machine: in the environment, in a file, in the user's keyring."""

from __future__ import annotations

import os
import shlex
import stat
from importlib import import_module
from pathlib import Path

from rowkeeper.errors import SecretUnavailable
from rowkeeper.nearest import did_you_mean

FILE_BYTES_MAX = 1_048_576


def of_environment(name: str) -> str:
    """The value of a variable. Raises SecretUnavailable if it is not set."""
    try:
        return os.environ[name]
    except KeyError:
        raise SecretUnavailable(
            f"env:{name}: the environment variable {name} is not set",
            hint=did_you_mean(name, os.environ, f"set {name} where rowkeeper is started"),
        ) from None


def of_file(place: str) -> str:
    """What a file holds, without the newline at its end.

    Raises SecretUnavailable if it cannot be read, if others can, or if it holds no text.
    """
    path = Path(place).expanduser()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe without a writer would hang
        with os.fdopen(descriptor, "rb") as file:
            state = os.fstat(file.fileno())  # of what is read, whatever the name means a moment later
            if not stat.S_ISREG(state.st_mode):
                raise SecretUnavailable(f"file:{place}: {path} is no file", hint="name a file that holds the secret")
            if state.st_mode & 0o077:
                raise SecretUnavailable(
                    f"file:{place}: the file is open to others (mode {stat.S_IMODE(state.st_mode):04o})",
                    hint=f"chmod 600 {path}",
                )
            text = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SecretUnavailable(
            f"file:{place}: the file cannot be read: {error.strerror}",
            hint=f"put the secret into {path}, readable by this user alone (chmod 600)",
        ) from None
    if len(text) > FILE_BYTES_MAX:
        raise SecretUnavailable(
            f"file:{place}: the file is larger than {FILE_BYTES_MAX:,} bytes", hint="name a file that holds the secret"
        )
    try:
        return text.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SecretUnavailable(
            f"file:{place}: what the file holds is no UTF-8 text", hint="store the secret as text, bytes as hex"
        ) from None


def of_keyring(place: str) -> str:
    """A password of the user's keyring: Secret Service, KWallet, or what `keyring` is set to.

    Raises SecretUnavailable if there is none, or no keyring.
    """
    service, _, name = place.partition("/")
    try:
        keyring = import_module("keyring")
    except ImportError:
        raise SecretUnavailable(
            f"keyring:{place}: the library for keyrings is not installed", hint="pip install 'rowkeeper[keyring]'"
        ) from None
    try:
        found: str | None = keyring.get_password(service, name)
    except keyring.errors.KeyringError as error:
        raise SecretUnavailable(
            f"keyring:{place}: the keyring cannot be asked: {type(error).__name__}",
            hint="unlock it, or choose one with PYTHON_KEYRING_BACKEND; without a desktop, use file: or vault:",
        ) from None
    if found is None:
        raise SecretUnavailable(
            f"keyring:{place}: the keyring has no {name} for {service}",
            hint=f"keyring set {shlex.quote(service)} {shlex.quote(name)}",
        )
    return found

"""`keyring:` references, with a real keyring: a file of `keyrings.alt`, which needs no desktop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CANARY = "canary-of-the-mine"
ALT = "keyrings.alt.file.PlaintextKeyring"
RESOLVE = """
import sys
from rowkeeper.errors import SecretUnavailable
from rowkeeper.security.references import resolve
try:
    print(resolve(sys.argv[1]).reveal())
except SecretUnavailable as error:
    print(error.what, "/", error.hint)
"""


def resolved(
    reference: str, folder: Path, before: str = "", backend: str = "keyrings.alt.file.PlaintextKeyring"
) -> str:
    """What a process of its own says: a backend is chosen once."""
    env = {"PYTHON_KEYRING_BACKEND": backend, "XDG_DATA_HOME": str(folder), "PATH": "", "HOME": str(folder)}
    words = [sys.executable, "-c", before + RESOLVE, reference]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout.strip()


KEEP = f"import keyring; keyring.set_password('orders db', 'ada/lovelace', '{CANARY}')\n"


def test_a_password_of_the_keyring_is_read(tmp_path: Path):
    """The first `/` ends the service's name; spaces are part of it."""
    assert resolved("keyring:orders db/ada/lovelace", tmp_path, KEEP) == CANARY


def test_a_password_that_is_not_there_is_named_with_the_command_that_keeps_it(tmp_path: Path):
    """Service and user, and nothing of the others."""
    said = resolved("keyring:orders db/grace", tmp_path, KEEP)
    assert said == ("keyring:orders db/grace: the keyring has no grace for orders db / keyring set 'orders db' grace")


def test_without_a_keyring_it_says_what_to_use(tmp_path: Path):
    """As on a server without a desktop."""
    said = resolved("keyring:orders/ada", tmp_path, backend="keyring.backends.fail.Keyring")
    assert "keyring:orders/ada: the keyring cannot be asked: NoKeyringError" in said
    assert "use file: or vault:" in said


@pytest.mark.parametrize("blocked", ["import sys; sys.modules['keyring'] = None\n"])
def test_without_the_library_the_extra_is_named(tmp_path: Path, blocked: str):
    """The core does not install it."""
    said = resolved("keyring:orders/ada", tmp_path, blocked)
    assert "pip install 'rowkeeper[keyring]'" in said

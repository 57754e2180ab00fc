"""References that lead to places on this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from rowkeeper.errors import SecretLiteral, SecretUnavailable
from rowkeeper.logs.secrets import scrubbed
from rowkeeper.security.references import is_reference, parse, resolve

CANARY = "canary-of-the-mine"


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "the.secret"
    path.write_text(CANARY + "\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "text",
    ["env:PGPASS", "file:/run/secrets/db", "file:~/a b", "keyring:rowkeeper/ada", "vault:secret/data/a#password"],
)
def test_references_are_known_by_their_form(text: str):
    """Each scheme's form is taken, and is written back as it was."""
    assert str(parse(text)) == text
    assert is_reference(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (CANARY, "env:NAME"),
        ("", "env:NAME"),
        (f"evn:{CANARY}", "did you mean env:"),
        (f"ENV:{CANARY}", "env:NAME"),
        (f"{CANARY}:x", "env:NAME"),
        ("env:", "env:NAME"),
        ("env:A B", "env:NAME"),
        (f"keyring:{CANARY}", "keyring:SERVICE/NAME"),
        (f"vault:{CANARY}", "vault:PATH#KEY"),
        (f"vault:/{CANARY}#a", "vault:PATH#KEY"),
        (f"vault:a?x={CANARY}#a", "vault:PATH#KEY"),
    ],
)
def test_what_is_no_reference_is_refused_and_not_quoted(text: str, hint: str):
    """It may be the secret itself; the hint says how a reference is written."""
    with pytest.raises(SecretLiteral) as caught:
        parse(text, "the password")
    assert caught.value.what.startswith("the password: ")
    assert hint in caught.value.hint
    assert CANARY not in f"{caught.value.what} {caught.value.hint}"


def test_a_variable_is_read(monkeypatch: pytest.MonkeyPatch):
    """And is taken out of every message from then on."""
    monkeypatch.setenv("PGPASS", CANARY)
    assert resolve("env:PGPASS").reveal() == CANARY
    assert CANARY not in scrubbed(f"it said {CANARY}")


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch):
    """With the nearest that is set."""
    monkeypatch.setenv("PGPASS_MAIN", CANARY)
    with pytest.raises(SecretUnavailable, match="PGPASS_MAIM is not set") as caught:
        resolve("env:PGPASS_MAIM")
    assert caught.value.hint == "did you mean PGPASS_MAIN?"


def test_an_empty_secret_is_none(monkeypatch: pytest.MonkeyPatch):
    """A reference that resolves to nothing is an error, not an empty password."""
    monkeypatch.setenv("PGPASS", "")
    with pytest.raises(SecretUnavailable, match="env:PGPASS: what is there is empty"):
        resolve("env:PGPASS")


def test_a_file_is_read_without_its_last_newline(secret_file: Path):
    """Editors put one there."""
    assert resolve(f"file:{secret_file}").reveal() == CANARY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o777])
def test_a_file_that_others_can_open_is_refused(secret_file: Path, mode: int):
    """The hint is the command that closes it."""
    secret_file.chmod(mode)
    with pytest.raises(SecretUnavailable, match=f"open to others .mode {mode:04o}") as caught:
        resolve(f"file:{secret_file}")
    assert caught.value.hint == f"chmod 600 {secret_file}"


def test_a_link_is_as_open_as_what_it_leads_to(secret_file: Path, tmp_path: Path):
    """The file that is read is looked at, not its name."""
    (tmp_path / "link").symlink_to(secret_file)
    secret_file.chmod(0o644)
    with pytest.raises(SecretUnavailable, match="open to others"):
        resolve(f"file:{tmp_path / 'link'}")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path):
    """Folders, pipes that nobody writes to, sockets: no traceback and no waiting."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name in ("folder", "pipe", "socket", "nothing"):
            with pytest.raises(SecretUnavailable, match=name):
                resolve(f"file:{tmp_path / name}")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a" * 2_000_000])
def test_what_is_no_text_is_refused(secret_file: Path, content: bytes):
    """A file of bytes, or a huge one, is no secret."""
    secret_file.write_bytes(content)
    with pytest.raises(SecretUnavailable, match=str(secret_file)):
        resolve(f"file:{secret_file}")

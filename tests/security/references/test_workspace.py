"""References as a run follows them: in the workspace, by the pinned client, to a real OpenBao and a real ledger."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rowkeeper as rk
from rowkeeper.configuration.reference import others
from rowkeeper.errors import SecretLiteral, SecretUnavailable
from rowkeeper.security.references import resolve
from tests.openbao import OpenBao

CANARY = "canary-of-the-mine"


def test_a_vault_reference_is_followed_in_an_open_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Outside of one there is no vault, and the error says which settings name it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with OpenBao(tmp_path / "bao") as bao:
        bao.call("POST", "secret/data/orders", data={"password": CANARY})
        token = tmp_path / "token"
        token.write_text(bao.token('path "secret/data/*" { capabilities = ["read"] }'))
        token.chmod(0o600)
        settings = rk.Settings(home=tmp_path / "home", vault_address=bao.address, vault_token=f"file:{token}")
        with rk.Workspace.open(settings):
            assert resolve("vault:secret/orders#password").reveal() == CANARY
        with pytest.raises(SecretUnavailable, match="no vault is configured") as caught:
            resolve("vault:secret/orders#password")
        assert "ROWKEEPER_VAULT_ADDRESS" in caught.value.hint


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package that brings the scheme `box`: its module, which a test writes, and its metadata."""
    info = tmp_path / "box_of_tests-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: box-of-tests\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rowkeeper.secrets]\nbox = box_of_tests:read\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    others.cache_clear()
    yield tmp_path / "box_of_tests.py"
    sys.modules.pop("box_of_tests", None)
    others.cache_clear()


def test_an_entry_point_brings_a_scheme(plugged: Path):
    """Its function is given what follows the scheme, and gives the secret."""
    plugged.write_text("def read(place): return f'of {place}'\n")
    assert resolve("box:at/home").reveal() == "of at/home"


def test_without_it_the_scheme_is_unknown():
    """What it would have led to is not quoted: it may be a secret."""
    with pytest.raises(SecretLiteral, match="unknown scheme"):
        resolve("box:at/home")


@pytest.mark.parametrize("does", [f"raise RuntimeError('{CANARY}')", "return b'bytes'", "return None", "return ''"])
def test_what_an_entry_point_does_wrong_is_one_error_without_its_words(plugged: Path, does: str):
    """It raises, or gives no text: its words may quote the secret."""
    plugged.write_text(f"def read(place): {does}\n")
    with pytest.raises(SecretUnavailable) as caught:
        resolve("box:at/home")
    assert "box:at/home" in caught.value.what
    assert CANARY not in f"{caught.value.what}{caught.value.hint}"
    assert caught.value.__cause__ is None


def test_an_entry_point_that_cannot_be_imported_is_one_error(plugged: Path):
    """As when its package is half removed."""
    plugged.write_text("import nothing_of_that_name\n")
    with pytest.raises(SecretUnavailable, match="box_of_tests:read, which reads it, raised ModuleNotFoundError"):
        resolve("box:at/home")

"""References as a run follows them: in the workspace, by the pinned client, to a real OpenBao and a real ledger."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import rowkeeper as rk
from rowkeeper.errors import SecretUnavailable
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
def plugged(monkeypatch: pytest.MonkeyPatch) -> type:
    """An installed package that brings the scheme `box`."""

    class Box:
        content: object = CANARY

        @staticmethod
        def read(place: str) -> object:
            if isinstance(Box.content, Exception):
                raise Box.content
            return Box.content

    monkeypatch.setitem(sys.modules, "box_of_tests", Box)
    point = EntryPoint("box", "box_of_tests:read", "rowkeeper.secrets")
    monkeypatch.setattr("rowkeeper.configuration.reference.entry_points", lambda **_: [point])
    monkeypatch.setattr("rowkeeper.security.references.resolving.entry_points", lambda **_: [point])
    rk_reference = sys.modules["rowkeeper.configuration.reference"]
    rk_reference.others.cache_clear()
    yield Box
    rk_reference.others.cache_clear()


def test_an_entry_point_brings_a_scheme(plugged: type):
    """Its function is given what follows the scheme, and gives the secret."""
    assert resolve("box:at/home").reveal() == CANARY


@pytest.mark.parametrize("content", [RuntimeError(f"no {CANARY}"), b"bytes", None, ""])
def test_what_an_entry_point_does_wrong_is_one_error_without_its_words(plugged: type, content: object):
    """It raises, or gives no text: they may quote the secret."""
    plugged.content = content
    with pytest.raises(SecretUnavailable) as caught:
        resolve("box:at/home")
    assert "box:at/home" in caught.value.what
    assert CANARY not in f"{caught.value.what}{caught.value.hint}"
    assert caught.value.__cause__ is None

"""The key that wraps the others: in a file, the environment, a keyring or a vault; and when it is not to be had."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.errors import KeyUnusable, SecretLiteral, SecretUnavailable, SettingsError, WeakKey, WrongKey
from rowkeeper.security.statefolder import open_state_folder
from tests.arena import Arena
from tests.openbao import OpenBao
from tests.security.keys.test_commands import BAD, PIPELINE, add, hashes

KEK = os.urandom(32).hex()
MAY_WRAP = 'path "transit/+/rowkeeper" { capabilities = ["create", "update"] }'


# ---------------------------------------------------------------------------------- environment and keyring


def test_a_key_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It opens what it wrapped; missing, another, and no key at all are each told by name, without their value."""
    monkeypatch.setenv("THE_KEK", KEK)
    key = open_state_folder(tmp_path / "s", "env:THE_KEK").keysets.of("a").primary
    assert open_state_folder(tmp_path / "s").keysets.of("a").primary == key  # it is written down where it is
    assert not (tmp_path / "config").exists()
    monkeypatch.setenv("THE_KEK", os.urandom(32).hex())
    with pytest.raises(WrongKey, match="the key in env:THE_KEK is not the key"):
        open_state_folder(tmp_path / "s")
    for wrong in ("ab" * 31, "canary" * 11, "ab" * 33):
        monkeypatch.setenv("THE_KEK", wrong)
        with pytest.raises(KeyUnusable, match="env:THE_KEK does not hold 32 bytes in hex") as caught:
            open_state_folder(tmp_path / "s")
        assert wrong not in f"{caught.value.what} {caught.value.hint}"
    monkeypatch.setenv("THE_KEK", "00" * 32)
    with pytest.raises(WeakKey, match="env:THE_KEK"):
        open_state_folder(tmp_path / "s")
    monkeypatch.delenv("THE_KEK")
    with pytest.raises(SecretUnavailable, match="THE_KEK is not set"):
        open_state_folder(tmp_path / "s")


def test_a_key_that_is_not_there_founds_nothing(tmp_path: Path):
    """A new state folder whose key cannot be had stays new."""
    with pytest.raises(SecretUnavailable):
        open_state_folder(tmp_path / "s", "env:NO_SUCH_KEK")
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["keys.lock"]


def test_a_literal_key_is_refused(own_arena: Arena):
    """A key in the place of a reference is no setting, and is not told."""
    refused = own_arena.run("runs", "--json", env={"ROWKEEPER_KEY": KEK})
    assert (refused.status, refused.json["error"]["code"]) == (2, SecretLiteral.code), refused
    assert KEK not in refused.stdout + refused.stderr
    both = own_arena.run("runs", env={"ROWKEEPER_KEY": "env:A", "ROWKEEPER_KEY_FILE": "/x"})
    assert (both.status, "key and key_file are both set" in both.stderr) == (2, True), both


def test_a_key_of_the_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The user's keyring holds it; it opens what it wrapped, and an empty keyring is told so."""
    import keyring
    from keyrings.alt.file import PlaintextKeyring

    before, backend = keyring.get_keyring(), PlaintextKeyring()
    backend.file_path = str(tmp_path / "ring")
    keyring.set_keyring(backend)
    try:
        keyring.set_password("rowkeeper", "kek", KEK)
        key = open_state_folder(tmp_path / "s", "keyring:rowkeeper/kek").keysets.of("a").primary
        assert open_state_folder(tmp_path / "s").keysets.of("a").primary == key
        keyring.delete_password("rowkeeper", "kek")
        with pytest.raises(SecretUnavailable, match="keyring:rowkeeper/kek"):
            open_state_folder(tmp_path / "s")
    finally:
        keyring.set_keyring(before)


# ------------------------------------------------------------------------------------------ a key in a vault


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with OpenBao(tmp_path_factory.mktemp("bao")) as server:
        server.call("POST", "sys/mounts/transit", type="transit")
        server.call("POST", "transit/keys/rowkeeper")
        yield server


@pytest.fixture
def vaulted(bao: OpenBao, own_arena: Arena) -> Arena:
    """A state folder whose keysets are wrapped by the vault, with a run in it."""
    own_arena.env |= {
        "ROWKEEPER_KEY": "transit:rowkeeper",
        "ROWKEEPER_VAULT_ADDRESS": bao.address,
        "ROWKEEPER_VAULT_TOKEN": "env:BAO_TOKEN",
        "BAO_TOKEN": bao.token(MAY_WRAP),
    }
    own_arena.write("p.py", PIPELINE)
    add(own_arena, 0)
    own_arena.ok("run", "p.py")
    return own_arena


def version(arena: Arena) -> set[str]:
    """Which versions of the vault's key wrapped the keysets."""
    import base64

    keysets = json.loads((arena.home / "keys.json").read_text())["keysets"]
    wrapped = [base64.b64decode(each["tink"]["encryptedKeyset"]).decode() for each in keysets.values()]
    return {each.split(":")[1] for each in wrapped}


def test_the_key_stays_in_the_vault(vaulted: Arena, bao: OpenBao):
    """The vault wraps and unwraps; there is no key file, and what is on disk opens with the vault alone."""
    assert not (vaulted.folder / "config").exists()
    assert vaulted.ok("keys", "list")["wrapped_with"] == "transit:rowkeeper"
    assert BAD in json.dumps(vaulted.ok("quarantine", "show", "1"))
    assert version(vaulted) == {"v1"}
    del vaulted.env["ROWKEEPER_KEY"]  # it is written down where the key is
    assert len(vaulted.rows("people")) == 100


def test_rewrap_takes_the_newest_version(vaulted: Arena, bao: OpenBao):
    """After a rotation in the vault the keysets are wrapped anew, no data are touched, and the old version can go."""
    bao.call("POST", "transit/keys/rowkeeper/rotate")
    newest = bao.call("GET", "transit/keys/rowkeeper")["data"]["latest_version"]
    before = hashes(vaulted, "logs", "ledger.sqlite", "audit", "engine")
    vaulted.ok("keys", "rewrap")
    after = hashes(vaulted, "logs", "ledger.sqlite", "audit", "engine")
    assert {name for name in after if after[name] != before.get(name)} == {"keys.json"}
    assert version(vaulted) == {f"v{newest}"}
    bao.call("POST", "transit/keys/rowkeeper/config", min_decryption_version=newest)
    assert BAD in json.dumps(vaulted.ok("quarantine", "show", "1"))


def test_from_the_vault_to_a_file_and_back(vaulted: Arena, bao: OpenBao):
    """Providers can be changed for one another, and the rows are read all the time."""
    del vaulted.env["ROWKEEPER_KEY"]
    for to in (f"file:{vaulted.folder}/the.key", "transit:rowkeeper"):
        vaulted.ok("keys", "rewrap", "--to", to)
        assert vaulted.ok("keys", "list")["wrapped_with"] == to
        assert BAD in json.dumps(vaulted.ok("quarantine", "show", "1"))


@pytest.mark.parametrize(
    ("fault", "code", "told", "mend"),
    [
        ("sealed", "RK-6012", "is sealed", "bao operator unseal"),
        ("down", "RK-6012", "does not answer", "ROWKEEPER_VAULT_ADDRESS"),
        ("policy", "RK-6001", "does not unwrap with this key (status 403)", 'path "transit/decrypt/rowkeeper"'),
        ("token", "RK-6011", "refuses the token", "bao token create"),
        ("key", "RK-6002", "transit:other is not the key of", "transit:rowkeeper"),
        ("unset", "RK-1001", "no vault is configured", "ROWKEEPER_VAULT_ADDRESS"),
    ],
)
def test_a_vault_that_does_not_help(vaulted: Arena, bao: OpenBao, fault: str, code: str, told: str, mend: str):
    """Sealed, down, forbidden, another key, not configured: one error each with its mend, and nothing is written."""
    before = hashes(vaulted, "logs", "engine", "ledger.sqlite")
    env = {
        "down": {"ROWKEEPER_VAULT_ADDRESS": "http://127.0.0.1:9"},
        "policy": {"BAO_TOKEN": bao.token('path "secret/*" { capabilities = ["read"] }')},
        "token": {"BAO_TOKEN": "s.none"},
        "key": {"ROWKEEPER_KEY": "transit:other"},
    }.get(fault, {})
    if fault == "unset":
        del vaulted.env["ROWKEEPER_VAULT_ADDRESS"]
    if fault == "sealed":
        bao.seal()
    try:
        refused = vaulted.run("quarantine", "show", "1", "--json", env=env)
        rotated = vaulted.run("keys", "rotate", "--all", env=env)
    finally:
        if fault == "sealed":
            bao.unseal()
    error = refused.json["error"]
    assert (error["code"], refused.status) == (code, 2 if code == "RK-1001" else 1), refused
    assert told in error["what"], error
    assert mend in error["hint"], error
    assert rotated.status, rotated
    assert "Traceback" not in refused.stderr + rotated.stderr
    assert hashes(vaulted, "logs", "engine", "ledger.sqlite") == before
    assert BAD in json.dumps(vaulted.run("quarantine", "show", "1", "--json").json) or fault == "unset"


def test_a_run_goes_on_while_the_vault_is_sealed(vaulted: Arena, bao: OpenBao):
    """Keysets that a process has opened stay open: the vault is needed to begin, not all the time."""
    add(vaulted, 1000)
    during = vaulted.start("run", "p.py", failpoints="run.after_quarantine=stop")
    during.wait_stopped()
    bao.seal()
    try:
        during.go_on()
        ended = during.wait()
    finally:
        bao.unseal()
    assert ended.status == 0, ended
    assert BAD in json.dumps(vaulted.ok("quarantine", "show", "2"))


def test_a_key_name_is_checked(tmp_path: Path):
    """A name that is a path elsewhere in the vault is no key."""
    for name in ("", "../sys/seal", "a b", "keys/../x", "a?b"):
        with pytest.raises(SettingsError, match="key"):
            open_state_folder(tmp_path / "s", f"transit:{name}")

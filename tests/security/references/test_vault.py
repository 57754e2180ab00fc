"""References into a real OpenBao: what is read, and one clear error for each thing that can be wrong."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from rowkeeper.errors import FrameworkError, SecretUnavailable, SettingsError, VaultUnreachable
from rowkeeper.resilience.deadline import deadline
from rowkeeper.security.references import Resolver
from rowkeeper.security.references.vault import Credentials, Vault, vault_of
from tests.openbao import ROOT, OpenBao, client_for

CANARY = "canary-of-the-mine"
READS = 'path "secret/data/*" { capabilities = ["read"] }'
Open = Callable[..., AbstractContextManager[Vault]]


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with OpenBao(tmp_path_factory.mktemp("bao")) as server:
        server.call("POST", "secret/data/orders", data={"password": CANARY, "port": 5432})
        server.call("POST", "sys/mounts/old", type="kv", options={"version": "1"})
        server.call("POST", "old/orders", password=CANARY)
        yield server


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Open:
    def by(address: str, token: str = "", role: tuple[str, str] | None = None, **more: str) -> AbstractContextManager:
        monkeypatch.setenv("THE_TOKEN", token)
        credentials = Credentials("env:THE_TOKEN")
        if role is not None:
            monkeypatch.setenv("THE_ROLE", role[0])
            monkeypatch.setenv("THE_SECRET", role[1])
            credentials = Credentials(None, "env:THE_ROLE", "env:THE_SECRET", more.pop("mount", "approle"))
        return vault_of(address, credentials, resolve=Resolver().resolve, open_client=client_for, **more)

    return by


def told(error: FrameworkError) -> str:
    return f"{error.what} / {error.hint}"


@pytest.mark.parametrize("path", ["secret/orders", "old/orders"])
def test_a_key_value_store_of_either_version_is_read(bao: OpenBao, opened: Open, path: str):
    """The path is written the same for both, as for `bao kv get`."""
    with opened(bao.address, ROOT) as vault:
        assert Resolver(vault=vault.read).resolve(f"vault:{path}#password").reveal() == CANARY


def test_a_token_that_may_read_the_secret_alone_is_enough(bao: OpenBao, opened: Open):
    """A policy of one line: nothing else of the vault is needed."""
    with opened(bao.address, bao.token(READS)) as vault:
        assert vault.read("secret/orders#password") == CANARY


def test_an_approle_is_let_in_and_gives_its_token_back(bao: OpenBao, opened: Open):
    """At another mount as well; the token that it was given is none any more afterwards."""
    role = bao.approle(READS, mount="machines")
    with opened(bao.address, role=role, mount="machines") as vault:
        assert vault.read("secret/orders#password") == CANARY
        token = vault._access.token.secret.reveal()
        assert not bao.refuses("secret/data/orders", token)
    assert bao.refuses("secret/data/orders", token)


def test_a_given_token_is_not_revoked(bao: OpenBao, opened: Open):
    """It belongs to somebody else."""
    token = bao.token(READS)
    with opened(bao.address, token) as vault:
        vault.read("secret/orders#password")
    assert not bao.refuses("secret/data/orders", token)


def test_a_namespace_is_asked_for_its_own(bao: OpenBao, opened: Open):
    """What is in a namespace is found there, and not without it."""
    bao.call("POST", "sys/namespaces/team")
    headers = {"X-Vault-Token": ROOT, "X-Vault-Namespace": "team"}
    for path, body in (("sys/mounts/kv", {"type": "kv"}), ("kv/orders", {"password": CANARY})):
        httpx.post(f"{bao.address}/v1/{path}", headers=headers, json=body).raise_for_status()
    with opened(bao.address, ROOT, namespace="team") as vault:
        assert vault.read("kv/orders#password") == CANARY
    with opened(bao.address, ROOT) as vault, pytest.raises(SecretUnavailable, match="nothing there"):
        vault.read("kv/orders#password")


@pytest.mark.parametrize(
    ("place", "what", "hint"),
    [
        ("secret/nothing#password", "vault:secret/nothing: the vault has nothing there", "bao kv get secret/nothing"),
        ("nowhere/at/all#password", "vault:nowhere/at/all: the vault has nothing there", "bao kv get nowhere"),
        ("secret/data/orders#password", "the vault has nothing there", "vault:secret/orders#KEY"),
        ("secret/orders#pasword", "vault:secret/orders#pasword: the secret has no key pasword", "mean password?"),
        ("secret/orders#zzz", "the secret has no key zzz", "it has password, port"),
        ("secret/orders#port", "vault:secret/orders#port: what is there is no text", "store it as text"),
    ],
)
def test_what_is_not_there_is_named(bao: OpenBao, opened: Open, place: str, what: str, hint: str):
    """A missing path, a missing key: each with what is there, and no values."""
    with opened(bao.address, ROOT) as vault, pytest.raises(SecretUnavailable) as caught:
        vault.read(place)
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert CANARY not in told(caught.value)


def test_a_deleted_secret_is_nothing(bao: OpenBao, opened: Open):
    """A key-value store of version 2 keeps a grave of it."""
    bao.call("POST", "secret/data/dead", data={"password": CANARY})
    bao.call("DELETE", "secret/data/dead")
    with opened(bao.address, ROOT) as vault, pytest.raises(SecretUnavailable, match="nothing there"):
        vault.read("secret/dead#password")


def test_a_wrong_token_is_told_by_its_reference(bao: OpenBao, opened: Open):
    """Not by itself."""
    with opened(bao.address, "s.wrong-token-of-somebody") as vault, pytest.raises(SecretUnavailable) as caught:
        vault.read("secret/orders#password")
    assert "refuses the token of env:THE_TOKEN" in caught.value.what
    assert "bao token create" in caught.value.hint
    assert "wrong-token" not in told(caught.value)


def test_a_token_that_was_revoked_in_mid_work_is_told_as_such(bao: OpenBao, opened: Open):
    """And not as a policy that lacks something."""
    token = bao.token(READS)
    with opened(bao.address, token) as vault:
        vault.read("secret/orders#password")
        bao.call("POST", "auth/token/revoke", token=token)
        with pytest.raises(SecretUnavailable, match="refuses the token of env:THE_TOKEN"):
            vault.read("secret/orders#password")


def test_a_token_of_an_approle_that_was_revoked_is_replaced(bao: OpenBao, opened: Open):
    """The AppRole is still good: it logs in again, and the secret is read."""
    with opened(bao.address, role=bao.approle(READS)) as vault:
        vault.read("secret/orders#password")
        bao.call("POST", "auth/token/revoke", token=vault._access.token.secret.reveal())
        assert vault.read("secret/orders#password") == CANARY


def test_a_policy_that_lacks_the_path_is_told_with_what_it_lacks(bao: OpenBao, opened: Open):
    """The hint is the line of the policy."""
    token = bao.token('path "secret/data/other" { capabilities = ["read"] }')
    with opened(bao.address, token) as vault, pytest.raises(SecretUnavailable) as caught:
        vault.read("secret/orders#password")
    assert "vault:secret/orders: the vault does not let this token read it" in caught.value.what
    assert 'path "secret/data/orders" { capabilities = ["read"] }' in caught.value.hint


def test_a_wrong_secret_id_is_told_by_its_reference(bao: OpenBao, opened: Open):
    """And the hint is how a new one is made."""
    role, _ = bao.approle(READS)
    with opened(bao.address, role=(role, CANARY)) as vault, pytest.raises(SecretUnavailable) as caught:
        vault.read("secret/orders#password")
    assert "refuses the AppRole of env:THE_ROLE and env:THE_SECRET" in caught.value.what
    assert "secret-id" in caught.value.hint
    assert CANARY not in told(caught.value)


def test_a_sealed_vault_says_so_and_works_when_it_is_unsealed(tmp_path: Path, opened: Open):
    """One error while it is sealed, which may pass by itself; the same vault answers afterwards."""
    with OpenBao(tmp_path) as server, opened(server.address, ROOT) as vault:
        server.call("POST", "secret/data/orders", data={"password": CANARY})
        server.seal()
        with pytest.raises(VaultUnreachable, match="is sealed") as caught, deadline(5):
            vault.read("secret/orders#password")
        assert caught.value.retryable
        assert "bao operator unseal" in caught.value.hint
        server.unseal()
        assert vault.read("secret/orders#password") == CANARY


def test_a_vault_that_is_down_says_so(opened: Open):
    """By its address, with what to look at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else can
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with opened(address, ROOT) as vault, pytest.raises(VaultUnreachable) as caught, deadline(3):
            vault.read("secret/orders#password")
    assert f"the vault at {address} does not answer" in caught.value.what
    assert "ROWKEEPER_VAULT_ADDRESS" in caught.value.hint


@pytest.mark.parametrize("address", ["http://vault.example:8200", "vault.example:8200", "ftp://127.0.0.1", "http://"])
def test_a_vault_without_tls_is_asked_on_this_machine_alone(opened: Open, address: str):
    """Its address is refused before anything is sent."""
    with pytest.raises(SettingsError, match="vault_address"), opened(address, ROOT):
        pass


@pytest.mark.parametrize(
    ("token", "role_id", "secret_id", "what"),
    [
        (None, None, None, "neither a token nor an AppRole"),
        ("env:A", "env:B", "env:C", "both a token and an AppRole"),
        (None, "env:B", None, "one id is set"),
        ("vault:a#b", None, None, "cannot be in the vault"),
    ],
)
def test_the_credentials_fit_together(token: str, role_id: str, secret_id: str, what: str):
    """A token, or both ids of an AppRole, from elsewhere than the vault."""
    with pytest.raises(SettingsError, match=what):
        Credentials(token, role_id, secret_id)

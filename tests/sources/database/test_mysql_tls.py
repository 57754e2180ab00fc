"""MySQL by TLS: a real server that lets nobody in without it. Skipped where none is installed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID as Use

import rowkeeper as rk
from rowkeeper.errors import CertificateRefused, FrameworkError
from tests.security.tls import workshop
from tests.security.tls.workshop import Made
from tests.sources.database.conftest import Loader
from tests.sources.database.servers import CERTIFIED, PASSWORD, READER, WHY_NO_MYSQL, MySQL, mysqld

VERSION = (
    "SELECT 1 AS id, variable_value AS version FROM information_schema.session_status "
    "WHERE variable_name = 'Ssl_version'"
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.fixture(scope="module")
def server(folder: Path, root: Made) -> Iterator[MySQL]:
    found = mysqld()
    if found is None:
        pytest.skip(WHY_NO_MYSQL)
    clients = root.write(folder, "ca")[0]
    cert, key = root.leaf().write(folder, "server")
    tls = (f"--ssl-cert={cert}", f"--ssl-key={key}", f"--ssl-ca={clients}", "--require-secure-transport=ON")
    made = MySQL(folder, found, *tls)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", PASSWORD)


def source(server: MySQL, tls: rk.TLS | None, user: str = READER) -> rk.sources.DatabaseSource:
    password = "env:DB_PASSWORD" if user == READER else None
    url = f"mysql+pymysql://{user}@localhost:{server.port}/shop"
    return rk.sources.database(url, query=VERSION, password=password, tls=tls)


def test_rows_come_by_tls(server: MySQL, loader: Loader, folder: Path):
    """The server says by which version."""
    assert loader.values(source(server, rk.TLS(ca=folder / "ca.pem")))["version"] == ["TLSv1.3"]


def test_without_tls_nobody_is_let_in(server: MySQL, loader: Loader):
    """The server refuses it, and one clear error says so: the other tests are not about a server that takes all."""
    with pytest.raises(FrameworkError) as caught:
        loader.load(source(server, None))
    assert caught.value.code.startswith("RK-21")


FAULTS = {
    "expired": lambda root: root.leaf(begins=-30, ends=-1),
    "not yet valid": lambda root: root.leaf(begins=1),
    "for another name": lambda root: root.leaf("other.example"),
    "of another authority": lambda root: workshop.authority("Others").leaf(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_certificate_that_is_not_to_be_trusted_is_refused(
    server: MySQL, loader: Loader, folder: Path, root: Made, fault: str
):
    """Before the server is told who we are: it counts a client that went away in the midst of the handshake."""
    FAULTS[fault](root).write(folder, "server")
    server.do("FLUSH SSL")
    try:
        with pytest.raises(CertificateRefused):
            loader.load(source(server, rk.TLS(ca=folder / "ca.pem")))
    finally:
        root.leaf().write(folder, "server")
        server.do("FLUSH SSL")
    assert loader.load(source(server, rk.TLS(ca=folder / "ca.pem"))).ids == [1]


def test_a_client_certificate_is_shown(server: MySQL, loader: Loader, folder: Path, root: Made):
    """A user without a password is let in by it, and not without."""
    cert, key = root.leaf("client", uses=[Use.CLIENT_AUTH]).write(folder, "client")
    shown = rk.TLS(ca=folder / "ca.pem", cert=cert, key=key)
    assert loader.load(source(server, shown, user=CERTIFIED)).ids == [1]
    with pytest.raises(FrameworkError):
        loader.load(source(server, rk.TLS(ca=folder / "ca.pem"), user=CERTIFIED))

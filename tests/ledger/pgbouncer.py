"""PgBouncer in front of a PostgreSQL server: few connections to it, which transactions take turns on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import psycopg

from tests.ledgers import Server

PLACE = "ROWKEEPER_TEST_PGBOUNCER"
WHY_NONE = (
    f"no PgBouncer on this machine (pgbouncer in PATH, or its path in {PLACE}; Debian has a package, PyPI has no wheel)"
)
START_SECONDS_MAX = 30.0


def pgbouncer() -> Path | None:
    found = os.environ.get(PLACE) or shutil.which("pgbouncer")
    return Path(found) if found and Path(found).exists() else None


class Pool:
    """PgBouncer, `pool_mode = transaction`, at a port of loopback.

    Args:
        folder: which the user that PostgreSQL runs as may enter.
        size: how many connections to the server there are at most.
    """

    def __init__(self, program: Path, server: Server, folder: Path, size: int) -> None:
        user = server.server.system_user
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (folder / "users.txt").write_text('"postgres" ""\n')
        (folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host={server.sockets} port=5432\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {folder / 'users.txt'}\n"
            f"pool_mode = transaction\ndefault_pool_size = {size}\nmax_client_conn = 200\n"
        )
        self._log = folder / "pgbouncer.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [program, folder / "pgbouncer.ini"], user=user, stdout=log, stderr=log, cwd="/"
            )
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                psycopg.connect(f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres").close()
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None, self._log.read_text()
                assert time.monotonic() < until, self._log.read_text()
                time.sleep(0.05)  # until it listens

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

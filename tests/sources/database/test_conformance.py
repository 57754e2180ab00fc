"""The database source keeps what every source must: real servers, by TLS and passwords, through a proxy that cuts."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rowkeeper.testing import Cutter, Fault, SourceConformance
from rowkeeper.testing.sources import Row
from tests.arena import Arena
from tests.extent import Sampled
from tests.security.tls.workshop import Made
from tests.sources.database.servers import PASSWORD, MySQL, Postgres, columns_of
from tests.sources.rigs import InArena

LOAD = """rk.sources.database(
        "{url}",
        table="{table}",
        password="env:DB_PASSWORD",
        {tls}
        resilience=rk.Resilience(
            retry=rk.Retry(attempts=3, wait_seconds_initial=0.01, wait_seconds_max=0.02, attempt_seconds_max=5.0),
            breaker=None,
            deadline_seconds=40,
        ),
    {more})"""
INCREMENTAL = """incremental=rk.sources.Increment("id", lookback=5),"""


@dataclasses.dataclass
class ServerRig:
    """A server behind a cutter."""

    runner: InArena
    cutter: Cutter
    more: str = ""
    tables: int = 0

    @property
    def table(self) -> str:
        return f"t{os.getpid()}_{self.tables}"

    @contextlib.contextmanager
    def _password(self) -> Iterator[None]:
        self.runner.arena.env["DB_PASSWORD"] = "wrong"
        yield
        self.runner.arena.env["DB_PASSWORD"] = PASSWORD

    @contextlib.contextmanager
    def _elsewhere(self, port: int) -> Iterator[None]:
        """The pipeline file that was written last, for a while with another port."""
        file = max(self.runner.folder.glob("fault_*.py"), key=os.path.getmtime)
        text = file.read_text()
        file.write_text(text.replace(f":{self.cutter.port}/", f":{port}/"))
        yield
        file.write_text(text)


@dataclasses.dataclass
class PostgresRig(ServerRig):
    postgres: Postgres = None  # type: ignore[assignment]
    root: Made = None  # type: ignore[assignment]
    ca: Path = None  # type: ignore[assignment]

    def declare(self) -> str:
        url = f"postgresql+psycopg://reader@localhost:{self.cutter.port}/postgres?sslmode=verify-full"
        return LOAD.format(url=url, table=self.table, tls=f'tls=rk.TLS(ca="{self.ca}"),', more=self.more)

    def offer(self, rows: Sequence[Row]) -> None:
        self.tables += 1
        columns = columns_of(list(rows))
        listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        self.postgres.owner.execute(f"DROP TABLE IF EXISTS {self.table}")
        self.postgres.owner.execute(f"CREATE TABLE {self.table} ({listed})")
        self.add(rows)

    def add(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        names = list(rows[0])
        with self.postgres.owner.cursor().copy(f"COPY {self.table} ({', '.join(names)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row([row[name] for name in names])

    def faults(self) -> Sequence[Fault]:
        return (
            *(Fault(f"cut after {size} bytes", self.cutter.cutting(size)) for size in (0, 3_000, 5_000, 7_000)),
            Fault("wrong password", self._password(), ("RK-2121",)),
            Fault("a peer that says nothing", self._silent(), ("RK-2120", "RK-4003")),
            Fault("an expired certificate", self._expired(), ("RK-6041",)),
            Fault("no TLS", self._plain(), ("RK-6044", "RK-6040")),
        )

    @contextlib.contextmanager
    def _expired(self) -> Iterator[None]:
        self.postgres.front.configure(self.root.leaf(begins=-30, ends=-1))
        yield
        self.postgres.front.configure(self.root.leaf())

    @contextlib.contextmanager
    def _plain(self) -> Iterator[None]:
        self.postgres.front.configure(None)
        yield
        self.postgres.front.configure(self.root.leaf())

    @contextlib.contextmanager
    def _silent(self) -> Iterator[None]:
        with Cutter(self.postgres.port) as silent:
            silent.fall_silent()
            with self._elsewhere(silent.port):
                yield


@pytest.fixture
def postgres_rig(class_arena: Arena, postgres: Postgres, root: Made) -> Iterator[PostgresRig]:
    class_arena.env["DB_PASSWORD"] = PASSWORD
    ca = root.write(class_arena.folder, "ca")[0]
    postgres.front.configure(root.leaf())
    with Cutter(postgres.port) as cutter:
        yield PostgresRig(InArena(class_arena), cutter, postgres=postgres, root=root, ca=ca)
    postgres.front.configure(None)


@pytest.mark.in_turns("databases as sources", 2)
class TestPostgresWhole(Sampled, SourceConformance):
    """Each run reads everything, and takes the place of the one before."""

    own_failpoints = r"^database\."
    kill_every = 40
    reads_again = True

    @pytest.fixture
    def rig(self, postgres_rig: PostgresRig) -> PostgresRig:
        return postgres_rig


@pytest.mark.in_turns("databases as sources", 2)
class TestPostgresIncrements(Sampled, SourceConformance):
    """Each run reads what is new, and a few rows a second time."""

    own_failpoints = r"^database\."
    kill_every = 40

    @pytest.fixture
    def rig(self, postgres_rig: PostgresRig) -> PostgresRig:
        return dataclasses.replace(postgres_rig, more=INCREMENTAL)


@dataclasses.dataclass
class SQLiteRig:
    """A file for each pipeline."""

    runner: InArena
    more: str = ""
    files: int = 0

    @property
    def path(self) -> Path:
        return self.runner.folder / f"shop{self.files}.db"

    def declare(self) -> str:
        return f'rk.sources.database("sqlite:///{self.path}", table="t", {self.more})'

    def offer(self, rows: Sequence[Row]) -> None:
        self.files = 1 + len(list(self.runner.folder.glob("shop*.db")))
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            listed = ", ".join(
                {"id": "id INTEGER PRIMARY KEY"}.get(each, f"{each} TEXT") for each in columns_of(list(rows))
            )
            database.execute(f"CREATE TABLE t ({listed})")
        self.add(rows)

    def add(self, rows: Sequence[Row]) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as database, database:
            for row in rows:
                marks = ", ".join("?" * len(row))
                database.execute(f"INSERT INTO t ({', '.join(row)}) VALUES ({marks})", list(row.values()))

    def faults(self) -> Sequence[Fault]:
        return (Fault("not a database", self._overwritten(), ("RK-2102",)), Fault("gone", self._gone(), ("RK-2101",)))

    @contextlib.contextmanager
    def _overwritten(self) -> Iterator[None]:
        whole = self.path.read_bytes()
        self.path.write_bytes(b"no database at all" * 100)
        yield
        self.path.write_bytes(whole)

    @contextlib.contextmanager
    def _gone(self) -> Iterator[None]:
        away = self.path.rename(self.path.with_suffix(".away"))
        yield
        away.rename(self.path)


@pytest.mark.in_turns("databases as sources", 2)
class TestSQLite(Sampled, SourceConformance):
    """Each run reads everything."""

    own_failpoints = r"^database\."
    kill_every = 40
    reads_again = True

    @pytest.fixture
    def rig(self, class_arena: Arena) -> SQLiteRig:
        return SQLiteRig(InArena(class_arena))


@pytest.mark.in_turns("databases as sources", 2)
class TestSQLiteIncrements(Sampled, SourceConformance):
    """Each run reads what is new, and a few rows a second time."""

    own_failpoints = r"^database\."
    kill_every = 40

    @pytest.fixture
    def rig(self, class_arena: Arena) -> SQLiteRig:
        return SQLiteRig(InArena(class_arena), INCREMENTAL)


@dataclasses.dataclass
class MySQLRig(ServerRig):
    mysql: MySQL = None  # type: ignore[assignment]

    def declare(self) -> str:
        url = f"mysql+pymysql://reader@127.0.0.1:{self.cutter.port}/shop"
        return LOAD.format(url=url, table=self.table, tls="", more=self.more)

    def offer(self, rows: Sequence[Row]) -> None:
        self.tables += 1
        columns = columns_of(list(rows))
        listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        self.mysql.do(f"DROP TABLE IF EXISTS {self.table}")
        self.mysql.do(f"CREATE TABLE {self.table} ({listed})")
        self.add(rows)

    def add(self, rows: Sequence[Row]) -> None:
        with self.mysql.owner.cursor() as cursor:
            for start in range(0, len(rows), 1_000):
                part = [list(row.values()) for row in rows[start : start + 1_000]]
                marks = ", ".join(["%s"] * len(rows[0]))
                cursor.executemany(f"INSERT INTO {self.table} ({', '.join(rows[0])}) VALUES ({marks})", part)

    def faults(self) -> Sequence[Fault]:
        return (
            *(Fault(f"cut after {size} bytes", self.cutter.cutting(size)) for size in (0, 1_000, 2_500)),
            Fault("wrong password", self._password(), ("RK-2121",)),
            Fault("a peer that says nothing", self._silent(), ("RK-2120", "RK-4003")),
        )

    @contextlib.contextmanager
    def _silent(self) -> Iterator[None]:
        with Cutter(self.mysql.port) as silent:
            silent.fall_silent()
            with self._elsewhere(silent.port):
                yield


class TestMySQL(Sampled, SourceConformance):
    """Each run reads everything."""

    own_failpoints = r"^database\."
    kill_every = 40
    reads_again = True

    @pytest.fixture
    def rig(self, class_arena: Arena, mysql: MySQL) -> Iterator[MySQLRig]:
        class_arena.env["DB_PASSWORD"] = PASSWORD
        with Cutter(mysql.port) as cutter:
            yield MySQLRig(InArena(class_arena), cutter, mysql=mysql)

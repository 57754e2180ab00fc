"""PostgreSQL keeps what every destination must: a real server, through a proxy that cuts connections."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import pytest

from rowkeeper.testing import Cutter, DestinationConformance, Fault
from rowkeeper.testing.loading import Row
from tests.arena import Arena
from tests.destinations.database.servers import Postgres
from tests.extent import Sampled
from tests.sources.rigs import InArena

DECLARED = """rk.destinations.database(
        "postgresql://{user}@127.0.0.1:{port}/postgres", "{name}",
        resilience=rk.Resilience(
            retry=rk.Retry(attempts=4, wait_seconds_initial=0.01, wait_seconds_max=0.05), breaker=None,
            deadline_seconds=20,
        ),
        {options}
    )"""


@dataclasses.dataclass
class PostgresRig:
    """Tables of one server, behind a cutter."""

    runner: InArena
    server: Postgres
    cutter: Cutter
    user: str = "postgres"

    def declare(self, name: str, options: str = "") -> str:
        return DECLARED.format(user=self.user, port=self.cutter.port, name=name, options=options)

    def rows(self, name: str) -> Sequence[Row]:
        if not self.server.ask(f"SELECT 1 FROM pg_tables WHERE schemaname = 'public' AND tablename = '{name}'"):
            return []
        rows = self.server.ask(f'SELECT * FROM "{name}"')
        return [{key: value for key, value in row.items() if not key.startswith("_rk_")} for row in rows]

    def damage(self, name: str) -> None:
        self.server.ask(f"UPDATE \"{name}\" SET name = 'changed' WHERE id = 3")

    def faults(self) -> Sequence[Fault]:
        return (
            *(Fault(f"cut after {size} bytes", self.cutter.cutting(size)) for size in (0, 700, 1_500, 3_000, 4_000)),
            Fault("down", self._down(), ("RK-3121",)),
            Fault("the table may not be written to", self._read_only(), ("RK-3122",)),
        )

    @contextlib.contextmanager
    def _down(self) -> Iterator[None]:
        self.server.stop()
        yield
        self.server.start()

    @contextlib.contextmanager
    def _read_only(self) -> Iterator[None]:
        self.server.ask("ALTER ROLE postgres SET default_transaction_read_only = on")
        yield
        with self.server.connected() as connection:
            connection.execute("SET transaction_read_only = off")
            connection.execute("SET default_transaction_read_only = off")
            connection.execute("ALTER ROLE postgres RESET default_transaction_read_only")


@pytest.mark.in_turns("tables of databases", 1)
class TestPostgreSQL(Sampled, DestinationConformance):
    kill_every = 25

    @pytest.fixture
    def rig(self, class_arena: Arena, server: Postgres) -> Iterator[PostgresRig]:
        with Cutter(server.port) as cutter:
            yield PostgresRig(InArena(class_arena), server, cutter)

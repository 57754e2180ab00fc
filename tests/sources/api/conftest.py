"""A shop for each test, at work with a site of its own; one authority for all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

import rowkeeper as rk
from rowkeeper.batch import RAW_LINE, Batch, Partition
from rowkeeper.protocols import Columns, Plan, Site, Source
from rowkeeper.resilience.calls import Calls
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress
from tests.authority import authority, ca
from tests.sources.api.shop import Shop, open_shop, rows

__all__ = ["authority", "ca"]

ANY = Columns(frozenset(), (), "ignore")


@pytest.fixture
def tls(ca: Path) -> rk.TLS:
    return rk.TLS(ca=ca)


@pytest.fixture
def shop(authority: trustme.CA) -> Iterator[Shop]:
    with open_shop(Shop(rows(25)), authority) as opened:
        yield opened


@dataclasses.dataclass
class Loader:
    """Reads a source as runs do, without a ledger: what was loaded is what the test says."""

    site: Site
    batch_rows: int = 10

    def plan(self, source: Source, loaded: Mapping[str, Partition] | None = None, *, whole: bool = False) -> Plan:
        return source.at(self.site).plan(loaded or {}, whole=whole)

    def batches(self, source: Source, partition: Partition, start_row: int = 0) -> Iterator[Batch]:
        yield from source.at(self.site).read(
            partition, start_row=start_row, batch_rows=self.batch_rows, columns=ANY, batch_bytes=1 << 20
        )

    def load(self, source: Source, loaded: dict[str, Partition] | None = None) -> Load:
        """One undisturbed load; what was loaded is taken down in `loaded`."""
        loaded = {} if loaded is None else loaded
        plan = self.plan(source, loaded)
        if not plan.to_read:
            return Load([], 0, 0, None)
        (partition,) = plan.to_read
        found, duplicates, malformed, position = [], 0, 0, None
        for batch in self.batches(source, partition):
            found += documents(batch)
            duplicates += batch.duplicates
            malformed += len(batch.malformed)
            position = batch.position
        loaded[partition.key] = dataclasses.replace(partition, position=position)
        return Load(found, duplicates, malformed, position)


@dataclasses.dataclass(frozen=True)
class Load:
    records: list[Any]
    duplicates: int
    malformed: int
    position: Mapping[str, Any] | None

    @property
    def ids(self) -> list[int]:
        return [each["id"] for each in self.records]


def documents(batch: Batch) -> list[Any]:
    return [msgspec.json.decode(each) for each in batch.table[RAW_LINE].to_pylist()]


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    site = Site(tmp_path, no_keys, "L", calls=Calls(), way_out=Gateway(Egress(())))
    return Loader(site)


def no_keys() -> Any:
    raise AssertionError("no engine is started here")


QUICK = rk.Resilience(
    retry=rk.Retry(attempts=3, wait_seconds_initial=0.01, wait_seconds_max=0.02, attempt_seconds_max=5.0),
    breaker=None,
    deadline_seconds=10.0,
)

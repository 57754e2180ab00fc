"""Brokers that the tests of one module share, and a loader that has no ledger."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rowkeeper.batch import RAW_LINE, Batch, Malformed, Partition
from rowkeeper.protocols import Columns, Site
from rowkeeper.resilience.calls import Calls
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress
from rowkeeper.sources.stream import StreamSource
from tests.brokers.conftest import kafka, nats_server, valkey_server
from tests.brokers.servers import server_tls

__all__ = ["kafka", "nats_server", "valkey_server"]  # fixtures
ANY = Columns(frozenset(), (), "ignore")


@dataclasses.dataclass
class Loader:
    """Reads a source as runs do; what was loaded is taken down in `loaded`."""

    site: Site
    loaded: dict[str, Partition] = dataclasses.field(default_factory=dict)
    batch_rows: int = 10

    def load(self, source: StreamSource) -> list[Any]:
        """One run: the records of it."""
        return [record for batch in self.batches(source) for record in documents(batch)]

    def batches(self, source: StreamSource) -> list[Batch]:
        """One run: its batches."""
        working = source.at(self.site)
        found: list[Batch] = []
        try:
            for partition in working.plan(self.loaded, whole=False).load:
                position = None
                for batch in working.read(partition, start_row=0, batch_rows=self.batch_rows, columns=ANY):
                    found.append(batch)
                    position = batch.position
                self.loaded[partition.key] = dataclasses.replace(partition, position=position)
        finally:
            working.close()
        return found


def documents(batch: Batch) -> list[Any]:
    return [msgspec.json.decode(each) for each in batch.table[RAW_LINE].to_pylist()]


def malformed(batches: list[Batch]) -> list[Malformed]:
    return [each for batch in batches for each in batch.malformed]


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    return Loader(Site(tmp_path, _no_keys, "L", calls=Calls(), way_out=Gateway(Egress((), "enforce"))))


def _no_keys() -> Any:
    raise AssertionError("no engine is started here")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return server_tls(tmp_path_factory.mktemp("stream-tls"))

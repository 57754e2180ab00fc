"""A table at a ClickHouse server keeps what every destination must."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import clickhouse_connect
import pytest

from rowkeeper.testing import DestinationConformance, Fault
from rowkeeper.testing.cutting import Cutter
from tests.arena import Arena
from tests.destinations.server.serving import PASSWORDS, Front, serving
from tests.destinations.test_clickhouse_conformance import TableRig
from tests.extent import Sampled
from tests.sources.rigs import InArena


@dataclasses.dataclass
class ServerRig(TableRig):
    """Tables of the front, reached by a proxy that can cut what passes."""

    front: Front
    cutter: Cutter

    def damage(self, name: str) -> None:
        client = clickhouse_connect.get_client(
            host="127.0.0.1", port=self.front.ports[0], username="loader", password=PASSWORDS["CH_PASSWORD"]
        )
        client.command(f"ALTER TABLE shop.{name} UPDATE name = 'changed' WHERE id = 3 SETTINGS mutations_sync = 1")
        client.close()

    def faults(self) -> Sequence[Fault]:
        return [Fault("an answer is cut as it connects", self._cut(300))]

    @contextmanager
    def _cut(self, size: int) -> Iterator[None]:
        self.cutter.cut_after = size
        yield
        self.cutter.cut_after = None


@pytest.mark.in_turns("tables of ClickHouse", 1)
class TestServer(Sampled, DestinationConformance):
    kill_every = 60  # test_killed.py tries others

    @pytest.fixture(scope="class")
    def served(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Front, Cutter, Arena]]:
        with serving(tmp_path_factory.mktemp("front")) as front, Cutter(front.ports[0]) as cutter:
            yield front, cutter, Arena(tmp_path_factory.mktemp("arena"), front.env(cutter.port))

    @pytest.fixture
    def rig(self, served: tuple[Front, Cutter, Arena]) -> ServerRig:
        front, cutter, arena = served
        return ServerRig(InArena(arena), front, cutter)

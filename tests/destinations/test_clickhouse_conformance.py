"""The embedded ClickHouse keeps what every destination must."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from rowkeeper.testing import DestinationConformance, Fault
from rowkeeper.testing.loading import Row
from tests.arena import Arena
from tests.extent import Sampled
from tests.runs.test_modes import writer
from tests.sources.rigs import InArena


@dataclasses.dataclass
class TableRig:
    """Tables of the arena's own engine."""

    runner: InArena

    def declare(self, name: str, options: str = "") -> str:
        return f'rk.destinations.clickhouse("{name}", order_by=["id"], {options})'

    def rows(self, name: str) -> Sequence[Row]:
        found = self.runner.run("query", f"SELECT * REPLACE (toString(amount) AS amount) FROM {name}", "--json")
        if "UNKNOWN_TABLE" in found.stdout + found.stderr:
            return []
        assert found.status == 0, found
        names = [column["name"] for column in found.document["columns"]]
        return [dict(zip(names, row, strict=True)) for row in found.document["rows"]]

    def damage(self, name: str) -> None:
        with writer(self.runner.arena) as client:
            client.command(f"ALTER TABLE {name} UPDATE name = 'changed' WHERE id = 3 SETTINGS mutations_sync = 1")

    def faults(self) -> Sequence[Fault]:
        return ()


@pytest.mark.in_turns("tables of ClickHouse", 1)
class TestClickHouse(Sampled, DestinationConformance):
    kill_every = 25  # tests/runs/test_failpoints.py tries the others

    @pytest.fixture
    def rig(self, class_arena: Arena) -> TableRig:
        return TableRig(InArena(class_arena))

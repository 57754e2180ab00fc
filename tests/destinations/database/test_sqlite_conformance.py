"""SQLite keeps what every destination must."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from collections.abc import Sequence

import pytest

from rowkeeper.testing import DestinationConformance, Fault
from rowkeeper.testing.loading import Row
from tests.arena import Arena
from tests.extent import Sampled
from tests.sources.rigs import InArena


@dataclasses.dataclass
class SqliteRig:
    """Tables of one file."""

    runner: InArena

    @property
    def path(self) -> str:
        return str(self.runner.folder / "there.db")

    def declare(self, name: str, options: str = "") -> str:
        return f'rk.destinations.database("sqlite:///there.db", "{name}", {options})'

    def rows(self, name: str) -> Sequence[Row]:
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone()
            rows = connection.execute(f'SELECT * FROM "{name}"').fetchall() if there else []
        found = [{key: row[key] for key in row.keys() if not key.startswith("_rk_")} for row in rows]  # noqa: SIM118
        # A column that drift brought is JSON, and in SQLite text.
        return [{**row, **({"colour": json.loads(row["colour"])} if row.get("colour") else {})} for row in found]

    def damage(self, name: str) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(f"UPDATE \"{name}\" SET name = 'changed' WHERE id = 3")

    def faults(self) -> Sequence[Fault]:
        return ()


@pytest.mark.in_turns("tables of databases", 1)
class TestSQLite(Sampled, DestinationConformance):
    kill_every = 25

    @pytest.fixture
    def rig(self, class_arena: Arena) -> SqliteRig:
        return SqliteRig(InArena(class_arena))

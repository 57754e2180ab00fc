"""The files source keeps what every source must."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import pytest

from rowkeeper.testing import Fault, SourceConformance
from rowkeeper.testing.sources import Row
from tests.arena import Arena
from tests.extent import Sampled
from tests.sources.rigs import InArena


@dataclasses.dataclass
class FileRig:
    """A folder of NDJSON files for each pipeline."""

    runner: InArena
    folders: int = 0
    files: int = 0

    def declare(self) -> str:
        return f'rk.sources.files("in{self.folders}/*.ndjson")'

    def offer(self, rows: Sequence[Row]) -> None:
        self.folders += 1
        self.add(rows)

    def add(self, rows: Sequence[Row]) -> None:
        self.files += 1
        text = "".join(json.dumps(row) + "\n" for row in rows)
        self.runner.arena.write(f"in{self.folders}/{self.files}.ndjson", text)

    def faults(self) -> Sequence[Fault]:
        return ()


@pytest.mark.in_turns("files as sources", 1)
class TestFiles(Sampled, SourceConformance):
    kill_every = 25  # tests/runs/test_failpoints.py tries the others

    @pytest.fixture
    def rig(self, class_arena: Arena) -> FileRig:
        return FileRig(InArena(class_arena), folders=len(list(class_arena.folder.glob("in*"))))

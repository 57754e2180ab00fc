"""The product behind the seam: `rowkeeper run`, with its state folder on the disk that is tortured."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from tests.torture.mounting import REPOSITORY
from tests.torture.processes import Command, Ended, Herd
from tests.torture.workload import Outcome, Unreadable, home_of

ROWKEEPER = REPOSITORY / ".venv" / "bin" / "rowkeeper"
NAME = "trips"
BATCH_ROWS = 100
MODULES = ["rowkeeper.cli", "tests.torture.product_reader"]
FAILPOINTS = "ROWKEEPER_FAILPOINTS"

PIPELINE = """
from datetime import datetime
from typing import Annotated

import rowkeeper as rk
from pydantic import BaseModel, Field


class Trip(BaseModel):
    id: int
    city: str
    fare: Annotated[float, Field(ge=0)]
    made: datetime


trips = rk.Pipeline(
    "trips",
    source=rk.sources.files("data/*.csv"),
    contract=Trip,
    destination=rk.destinations.clickhouse("trips", order_by=["id"], {options}),
    {more}
)
"""


@dataclasses.dataclass(frozen=True)
class Variant:
    """How the destination is written.

    Attributes:
        options: of the destination.
        more: of the pipeline.
        column: the files under torture bring this one, which the contract does not know.
    """

    name: str
    options: str
    more: str = ""
    column: str = ""


APPEND = Variant("append", "")
PARTITIONED = Variant("append, by month", 'partition_by="toYYYYMM(made)"')
MERGE = Variant("merge", 'write="merge", key=["id"]')
REPLACE = Variant("replace", 'write="replace"')
SKIP = Variant("skip duplicates", 'key=["id"], duplicates="skip"')
EVOLVE = Variant("append, a new column", "", 'drift="evolve"', "tip")
VARIANTS = (APPEND, MERGE, REPLACE, SKIP, PARTITIONED, EVOLVE)


def _trips(first: int, count: int, fare: float, column: str = "") -> str:
    """A CSV in which one row of 17 breaks the contract."""
    lines = ["id,city,fare,made" + (f",{column}" if column else "")]
    for number in range(first, first + count):
        city = ("Oslo", "Bern", "Rome")[number % 3]
        price = -1 if number % 17 == 0 else fare + number
        lines.append(f"{number},{city},{price},2024-{number % 3 + 1:02}-01T00:00:00Z" + (",7" if column else ""))
    return "\n".join(lines) + "\n"


class Product:
    """A first file is loaded; two more lie there to be loaded under torture: 6 batches, rows that go to quarantine,
    and identifiers that the table has already."""

    def __init__(self, variant: Variant = APPEND, *, forked: bool = True) -> None:
        self._forked = forked
        self.name = f"rowkeeper run ({variant.name})"
        self._variant = variant

    def prepare(self, folder: Path, herd: Herd) -> None:
        """The first file is published."""
        (folder / "trips.py").write_text(PIPELINE.format(options=self._variant.options, more=self._variant.more))
        data = folder / "data"
        data.mkdir()
        (data / "a.csv").write_text(_trips(0, 250, 1.5))
        ended = herd.run(self.command(folder))
        assert ended.acknowledged, ended.errors or ended.output
        (data / "b.csv").write_text(_trips(200, 250, 2.5, self._variant.column))
        (data / "c.csv").write_text(_trips(450, 250, 3.5, self._variant.column))

    def _environment(self, folder: Path) -> dict[str, str]:
        return {
            "ROWKEEPER_HOME": str(home_of(folder)),
            "ROWKEEPER_BATCH_ROWS": str(BATCH_ROWS),
            "ROWKEEPER_ENGINE_IDLE_SECONDS": "20",
            "ROWKEEPER_INSERT_ROWS": str(2 * BATCH_ROWS),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "COLUMNS": "250",
        }

    def command(self, folder: Path) -> Command:
        """As a user types it."""
        argv = (str(ROWKEEPER), "run", "trips.py", "--json")
        return Command(argv, folder, self._environment(folder), "rowkeeper.cli:main" if self._forked else None)

    def outcome(self, folder: Path, herd: Herd) -> Outcome:
        """Read by a process of its own, through the product's doors."""
        argv = (sys.executable, str(Path(__file__).with_name("product_reader.py")), NAME, NAME)
        entry = "tests.torture.product_reader:main" if self._forked else None
        ended = herd.run(Command(argv[1:] if entry else argv, folder, self._environment(folder), entry))
        if not ended.acknowledged:
            raise Unreadable(_said(ended))
        found = json.loads(ended.output)
        return Outcome(rows=found["rows"], accounts=found["accounts"], quarantine=found["quarantine"])

    def watcher(self, folder: Path) -> Command | None:
        """Number of rows and their hash, over one connection to the engine's host."""
        argv = (sys.executable, str(Path(__file__).with_name("product_reader.py")), NAME, NAME, "--watch")
        environment = self._environment(folder)
        return Command(argv, folder, environment, output="watched", errors="watched.errors")

    def is_engine(self, argv: list[str]) -> bool:
        """`python -m rowkeeper.....host ...`."""
        return any("rowkeeper" in word and "host" in word.rpartition(".")[2] for word in argv)

    def moments(self, folder: Path, herd: Herd) -> list[dict[str, str]]:
        """Every failpoint that a run passes, each at its first, second and last pass."""
        log = folder / "failpoints.log"
        command = self.command(folder)
        environment = command.environment | {FAILPOINTS: f"*=log:{log}"}
        ended = herd.run(dataclasses.replace(command, environment=environment))
        assert ended.acknowledged, _said(ended)
        names = log.read_text().split()
        passes = {name: names.count(name) for name in dict.fromkeys(names)}
        numbered = [(name, nth) for name, count in passes.items() for nth in sorted({1, min(2, count), count})]
        return [{FAILPOINTS: f"{name}=stop@{nth}"} for name, nth in numbered]


def _said(ended: Ended) -> str:
    lines = (ended.errors or ended.output).strip().splitlines()
    return f"status {ended.status}: {lines[-1][:300] if lines else 'it said nothing'}"


def why_no_product() -> str | None:
    """Why the product cannot be run here, None where it can."""
    return None if ROWKEEPER.exists() else f"needs {ROWKEEPER}: make test builds it"

"""What the host process costs: the same rows staged through it, and by the same engine code in this process.

`python -m bench.hosting host|inside ROWS` prints a JSON document.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

import rowkeeper as rk
from bench.generate import chunk
from bench.trips import Trip
from rowkeeper.batch import ROW_ID
from rowkeeper.contracts import Contract
from rowkeeper.destinations.embedded import configuration
from rowkeeper.destinations.embedded.answering import Engine, Limits
from rowkeeper.destinations.embedded.connection import EngineConnection
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.destinations.mergetree.statements import Statements
from rowkeeper.protocols import Site

BATCH_ROWS = 131_072


class Files(EngineConnection):
    """What is asked of an engine beside statements, without a host."""

    def __init__(self, site: Site) -> None:
        self._site = site


class Inside(Statements):
    """The host's engine in this process: no socket, no HTTP, no driver."""

    def __init__(self, engine: Engine, files: Files) -> None:
        super().__init__(files, "bench/default.trips")
        self._inside = engine

    def do(self, sql: str, happened: Any = None, data: bytes | None = None) -> None:
        """Runs a statement."""
        del happened, data  # an engine in this process does not go away without it
        self._inside.run(sql, b"", {}, writes=True)

    def ask(self, sql: str) -> Sequence[Sequence[Any]]:
        """Runs a query."""
        answer = self._inside.run(f"{sql} FORMAT JSONCompact", b"", {}, writes=True)
        return cast("Sequence[Sequence[Any]]", json.loads(answer)["data"])


def tables(rows: int) -> list[pa.Table]:
    """Accepted rows as a run stages them."""
    schema = Contract(Trip).schema
    found = []
    for first in range(0, rows, BATCH_ROWS):
        count = min(BATCH_ROWS, rows - first)
        table = chunk(first, count).to_arrow().cast(schema)
        found.append(table.append_column(ROW_ID, pa.array(range(first, first + count), pa.uint64())))
    return found


def main() -> None:
    """Stages the rows and prints how long it took."""
    how, rows = sys.argv[1], int(sys.argv[2])
    batches = tables(rows)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CONFIG_HOME"] = folder + "/config"
        settings = rk.Settings(home=Path(folder) / "state", engine_idle_seconds=5)
        with rk.Workspace.open(settings) as workspace:
            destination = rk.destinations.clickhouse("trips", order_by=["pickup_at", "trip_id"])
            session: TableSession = destination.connect(workspace.site, Contract(Trip).schema)
            if how == "inside":
                site = dataclasses.replace(workspace.site, home=Path(folder) / "inside")
                places = EnginePlaces.under(site.home)
                places.folder.mkdir(parents=True)
                os.environ[configuration.key_variable("1")] = "00" * 32
                address = configuration.write(places, 3 << 30, ["1"], 1)
                session.statements = Inside(Engine(address, Limits(2 << 30, 60.0)), Files(site))
            session.prepare()
            session.stage_open(1, 1)
            started = time.perf_counter()
            for batch in batches:
                session.stage(batch)
            seconds = time.perf_counter() - started
    sys.stdout.write(json.dumps({"seconds": seconds}) + "\n")


if __name__ == "__main__":
    main()

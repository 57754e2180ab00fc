"""An installation with tables on a ClickHouse server and one in the embedded engine; its past, and its backups."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.arena import Arena
from tests.destinations.server.serving import PASSWORDS, Front, serving
from tests.operations.restoring.history import csv, end_engine, fingerprints

PIPELINES = """
import rowkeeper as rk
from pydantic import BaseModel

class Trip(BaseModel):
    id: int
    city: str
    fare: float

def load(name, url="{url}", **how):
    server = dict(url=url, password="env:CH_PASSWORD") if url else dict()
    return rk.Pipeline(name, source=rk.sources.files(name + "/*.csv", on_change="reload"), contract=Trip,
        destination=rk.destinations.clickhouse(name, order_by=["id"], **server, **how))

added = load("added", partition_by="city")
merged = load("merged", write="merge", key=["id"])
replaced = load("replaced", write="replace")
here = load("here", url="")
"""
FILE = "far.py"
TABLES = ("added", "merged", "replaced")


@dataclasses.dataclass
class Far:
    """What was published, and what each run left.

    Attributes:
        left: by run, in the order of the publishes: the fingerprint of each table, every row hashed anew.
    """

    arena: Arena
    front: Front
    store: Path
    left: dict[int, dict[str, str]] = dataclasses.field(default_factory=dict)

    def runs(self, *steps: tuple[str, str, str] | tuple[str, ...]) -> None:
        """Loads (table, file, rows), or gives a command that publishes, one after the other, and looks each time."""
        for step in steps:
            name, *rest = step
            command = step
            if name in (*TABLES, "here"):
                self.arena.write(f"{name}/{rest[0]}", rest[1])
                command = ("run", f"{FILE}:{name}")
            document, found = self.arena.answers(command, ("verify", FILE))
            self.left[document["run"]] = fingerprints(found)

    def back_up(self, *options: str) -> dict[str, Any]:
        return dict(self.arena.ok("backup", "create", *options))

    def look(self) -> dict[str, str]:
        """Each table as it is now, every row hashed anew; all of it is what the books say."""
        return fingerprints(self.arena.ok("verify", FILE))

    def on_server(self) -> set[str]:
        """The tables on the server, with those that are nobody's for long."""
        return set(self.front.ask("SELECT name FROM system.tables WHERE database = 'shop'").split())


@contextmanager
def began(folder: Path) -> Iterator[Far]:
    """Nothing has run yet."""
    with serving(folder / "front") as front:
        store = folder / "backups"
        env = {"ROWKEEPER_BACKUP_TO": str(store), "ROWKEEPER_EGRESS": "off", **PASSWORDS}
        arena = Arena(folder / "arena", env)
        arena.write(FILE, PIPELINES.format(url=front.url()))
        yield Far(arena, front, store)
        end_engine(arena)


@contextmanager
def lived(folder: Path) -> Iterator[Far]:
    """Appended, merged into, replaced, changed and taken back; two backups, and a run after them."""
    with began(folder) as far:
        far.runs(("added", "a.csv", csv(0, 30)), ("merged", "m.csv", csv(0, 20)), ("here", "h.csv", csv(0, 5)))
        far.back_up()
        far.runs(
            ("merged", "n.csv", csv(10, 20, fare=9.5)),
            ("replaced", "r.csv", csv(0, 10)),
            ("replaced", "r.csv", csv(100, 5)),
            ("added", "a.csv", csv(0, 40, fare=2.5)),
        )
        far.runs(("rollback", str(max(far.left))))
        far.back_up()
        yield far

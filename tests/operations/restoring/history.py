"""An installation with a past: tables that were added to, merged into, replaced, changed, taken back, replayed."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.arena import Arena

PIPELINES = """
from typing import Annotated
import rowkeeper as rk
from pydantic import BaseModel, Field

class Trip(BaseModel):
    id: int
    city: str
    fare: {fare}

def load(name, **how):
    files = rk.sources.files(f"{{name}}/*.csv", on_change="reload")
    return rk.Pipeline(name, source=files, contract=Trip,
        destination=rk.destinations.clickhouse(name, order_by=["id"], **how))

added = load("added")
merged = load("merged", write="merge", key=["id"])
replaced = load("replaced", write="replace")
"""
TABLES = ("added", "merged", "replaced")
STRICT, MENDED = "Annotated[float, Field(ge=0)]", "float"
FILE = "past.py"


@dataclasses.dataclass
class Past:
    """What was published, and what each run left.

    Attributes:
        store: where the backups are.
        left: by run, in the order of the publishes: the fingerprint of each table, every row hashed anew.
        backups: ids, oldest first.
    """

    arena: Arena
    store: Path
    left: dict[int, dict[str, str]] = dataclasses.field(default_factory=dict)
    backups: list[str] = dataclasses.field(default_factory=list)

    def did(self, *command: str) -> None:
        """Gives a command that publishes, and looks at what it left."""
        document, found = self.arena.answers(command, ("verify", FILE))
        self.left[document["run"]] = fingerprints(found)

    def back_up(self, *options: str) -> None:
        self.backups.append(self.arena.ok("backup", "create", *options)["id"])

    @property
    def runs(self) -> list[int]:
        return list(self.left)


def fingerprints(verified: Any) -> dict[str, str]:
    """What `verify` found in each table; all of it is what the books say."""
    assert all(each["sound"] for each in verified["tables"]), verified
    return {each["pipeline"]: each["found"] for each in verified["tables"]}


def left_in(arena: Arena) -> dict[str, str]:
    """The fingerprint of each table, every row hashed anew."""
    return fingerprints(arena.ok("verify", FILE))


def end_engine(arena: Arena) -> None:
    """Ends the engine's host, and waits until it is gone."""
    pid = arena.host_pid()
    if pid is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            host = psutil.Process(pid)
            host.kill()
            host.wait()


def copied(home: Path, to: Path) -> Path:
    """A copy of a state folder that nobody uses."""
    shutil.copytree(home, to, symlinks=True, ignore=shutil.ignore_patterns("host.sock"))
    return to


def csv(first: int, count: int, fare: float = 1.5, bad_every: int = 7) -> str:
    lines = ["id,city,fare"]
    for number in range(first, first + count):
        lines.append(f"{number},{('Oslo', 'Bern')[number % 2]},{-1 if number % bad_every == 0 else fare + number}")
    return "\n".join(lines) + "\n"


def began(folder: Path, **env: str) -> Past:
    """An arena whose backups go beside it."""
    store = folder / "backups"
    arena = Arena(folder / "arena", {"ROWKEEPER_BACKUP_TO": str(store), **env})
    arena.write(FILE, PIPELINES.format(fare=STRICT))
    return Past(arena, store)


def steps(past: Past, *, whole: bool) -> Iterator[None]:
    """The past, run by run: a dozen; or twenty."""
    arena = past.arena

    def run(name: str, file: str, text: str) -> None:
        arena.write(f"{name}/{file}", text)
        past.did("run", f"{FILE}:{name}")

    run("added", "a.csv", csv(0, 40))
    run("merged", "m.csv", csv(0, 30))
    yield
    past.back_up()
    run("added", "b.csv", csv(50, 40))
    quarantined = past.runs[-1]
    run("replaced", "r.csv", csv(0, 20))
    run("added", "a.csv", csv(0, 50, fare=2.5))  # changed: in the place of its former load
    past.did("rollback", str(past.runs[-1]))
    yield
    past.back_up()
    run("merged", "n.csv", csv(20, 30, fare=9.5))  # in the place of some rows
    run("replaced", "r.csv", csv(100, 5))
    run("added", "c.csv", csv(90, 10))  # and the change again
    arena.write(FILE, PIPELINES.format(fare=MENDED))
    past.did("quarantine", "replay", str(quarantined))
    past.did("rollback", str(past.runs[-1]))
    run("added", "d.csv", csv(200, 10))
    yield
    past.back_up()
    if whole:
        for number in range(8):
            run(TABLES[number % 3], f"w{number}.csv", csv(1000 + 7 * number, 20, fare=number))
            if number == 3:
                past.back_up("--full")
        yield
        past.back_up()


def lived(folder: Path, *, whole: bool = False, **env: str) -> Past:
    """The whole of it."""
    past = began(folder, **env)
    for _ in steps(past, whole=whole):
        pass
    return past


def restored_arena(past: Past, home: Path, **env: str) -> Arena:
    """The same surroundings, with another state folder: unless told otherwise the ledger is a file in it."""
    other = Arena(past.arena.folder, {**past.arena.env, "ROWKEEPER_HOME": str(home), **env})
    if "ROWKEEPER_LEDGER_URL" not in env:
        other.env.pop("ROWKEEPER_LEDGER_URL", None)
    other._count = 10_000 + sum(map(ord, str(home))) % 10_000 * 100  # its output lies beside the first one's
    return other

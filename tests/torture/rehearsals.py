"""Workloads whose bugs are known: with them the tools themselves are tested."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from pathlib import Path

from tests.torture.processes import Command, Herd
from tests.torture.rehearsal_loader import SECONDS, STOP
from tests.torture.workload import Outcome, Unreadable, home_of

_HERE = Path(__file__).parent
_READ_CHDB = """
import sys
from chdb import session
engine = session.Session(sys.argv[1] + "/engine")
print(engine.query("SELECT concat(load, '-', toString(row)) FROM loads FORMAT TSV"), end="")
engine.close()
"""

_WATCH_SQLITE = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1] + "/rows.sqlite", timeout=30)
while True:
    print(database.execute("SELECT count(*) FROM rows").fetchone()[0], flush=True)
"""


class LoaderRehearsal:
    """rehearsal_loader.py, with one of its bugs; its work takes so many seconds more."""

    def __init__(self, bug: str, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self.name = f"rehearsal ({bug})"
        self._bug = bug

    def prepare(self, folder: Path, herd: Herd) -> None:
        """The first load is there before."""
        ended = herd.run(self.command(folder))
        assert ended.acknowledged, ended.errors

    def command(self, folder: Path) -> Command:
        """The loader."""
        argv = (sys.executable, str(_HERE / "rehearsal_loader.py"), str(home_of(folder)), self._bug)
        return Command(argv, folder, {SECONDS: str(self._seconds)})

    def outcome(self, folder: Path, herd: Herd) -> Outcome:
        """Rows of the database, or of the files."""
        home = home_of(folder)
        rows: list[str] = []
        for part in sorted(home.glob("*.part")):
            rows += part.read_text(errors="replace").splitlines()
        if (home / "rows.sqlite").exists():
            with contextlib.closing(sqlite3.connect(home / "rows.sqlite")) as database:
                try:
                    rows += [value for (value,) in database.execute("SELECT value FROM rows")]
                except sqlite3.DatabaseError as error:
                    raise Unreadable(str(error)) from error
        return Outcome(rows=rows, accounts=[], quarantine=[])

    def watcher(self, folder: Path) -> Command | None:
        """The number of rows."""
        argv = (sys.executable, "-c", _WATCH_SQLITE, str(home_of(folder)))
        return Command(argv, folder, output="watched", errors="watched.errors")

    def is_engine(self, argv: list[str]) -> bool:
        """It has none."""
        return False

    def moments(self, folder: Path, herd: Herd) -> list[dict[str, str]]:
        """Around the commit."""
        return [{STOP: "before_commit"}, {STOP: "after_commit"}]


class ChdbRehearsal:
    """rehearsal_chdb.py: the engine alone, with nobody who verifies what it acknowledged."""

    name = "rehearsal (chDB alone)"

    def prepare(self, folder: Path, herd: Herd) -> None:
        """The first load is there before."""
        ended = herd.run(self.command(folder))
        assert ended.acknowledged, ended.errors

    def command(self, folder: Path) -> Command:
        """One process, the engine in it."""
        return Command((sys.executable, str(_HERE / "rehearsal_chdb.py"), str(home_of(folder))), folder)

    def outcome(self, folder: Path, herd: Herd) -> Outcome:
        """Read by another process: only one at a time may have the engine's folder, and never this one."""
        ended = herd.run(Command((sys.executable, "-c", _READ_CHDB, str(home_of(folder))), folder))
        if not ended.acknowledged:
            raise Unreadable(ended.errors.strip().splitlines()[-1] if ended.errors.strip() else "no answer")
        return Outcome(rows=ended.output.split(), accounts=[], quarantine=[])

    def watcher(self, folder: Path) -> Command | None:
        """Nobody else may open the engine's folder."""
        return None

    def is_engine(self, argv: list[str]) -> bool:
        """The engine is in the client."""
        return False

    def moments(self, folder: Path, herd: Herd) -> list[dict[str, str]]:
        """None is named."""
        return []

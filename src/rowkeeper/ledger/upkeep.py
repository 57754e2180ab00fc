"""The upkeep of the ledger's own database: free pages given back, statistics, the journal. SQLite only.

PostgreSQL sees to all of it by itself (autovacuum).
"""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from rowkeeper.ledger.database import explained
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.resilience.failpoints import failpoint


@dataclasses.dataclass(frozen=True, slots=True)
class Pages:
    """How big the database is, in bytes.

    Attributes:
        file: its file.
        free: of that, pages that nothing is in.
        journal: its write-ahead log.
    """

    file: int
    free: int
    journal: int


class LedgerUpkeep:
    """Looks at the database's file, and keeps it small. Every method raises DatabaseError, LedgerBusy or DiskFull."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._path = Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None

    @property
    def path(self) -> Path | None:
        """The database's file; None where it is not SQLite."""
        return self._path

    def pages(self) -> Pages | None:
        """How big it is; None where it is not SQLite."""
        if self._path is None:
            return None
        with self._driver("read") as driver:
            size, count, free = (
                driver.execute(f"PRAGMA {each}").fetchone()[0] for each in ("page_size", "page_count", "freelist_count")
            )
        journal = self._path.with_name(f"{self._path.name}-wal")
        with contextlib.suppress(FileNotFoundError):
            return Pages(size * count, size * free, journal.stat().st_size)
        return Pages(size * count, size * free, 0)

    def vacuum(self) -> None:
        """Writes the database anew without its free pages; all of it or nothing. Others wait meanwhile."""
        seconds_left()
        with self._driver("vacuumed") as driver:
            failpoint("upkeep.before_vacuum")
            driver.execute("VACUUM")
            failpoint("upkeep.after_vacuum")

    def tidy(self) -> None:
        """Statistics for the planner, where they are out of date; and the journal is emptied into the file.

        What others are just reading stays in the journal until the next time.
        """
        seconds_left()
        with self._driver("tidied") as driver:
            driver.execute("PRAGMA optimize")
            failpoint("upkeep.after_optimize")
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextlib.contextmanager
    def _driver(self, done: str) -> Iterator[sqlite3.Connection]:
        """The driver's own connection, outside of any transaction."""
        with explained(done):
            pooled = self._engine.raw_connection()
            try:
                driver: Any = pooled.driver_connection
                yield driver
            finally:
                pooled.close()

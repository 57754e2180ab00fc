"""The number by which a process sees that anything at all was committed to the ledger, by whomever."""

from __future__ import annotations

import sqlite3
import threading

from sqlalchemy import Engine


class Commits:
    """Reads SQLite's `data_version` by a connection of its own, which never writes: so it sees everybody's commits.

    Takes some microseconds, and waits for nobody. Other databases have no such number.
    """

    def __init__(self, engine: Engine) -> None:
        self._path = engine.url.database if engine.dialect.name == "sqlite" else None
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @property
    def counted(self) -> bool:
        """Whether this database has such a number."""
        return self._path is not None

    def number(self) -> int | None:
        """Another number than before, if anything was committed since; None if that cannot be told."""
        if self._path is None:
            return None
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = sqlite3.connect(self._path, timeout=0, check_same_thread=False)
                    self._connection.execute("PRAGMA query_only = ON").close()
                (number,) = self._connection.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error:  # whoever goes on to read the ledger is told what is wrong with it
                return None
        return int(number)

    def close(self) -> None:
        """Gives the connection back."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

"""A ledger with an audit trail, and its key, for tests that break it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rowkeeper.ledger import Auditing, Ledger
from rowkeeper.ledger.audit import Event

KEY = b"\x07" * 32


def opened(home: Path, *, key: bytes = KEY, outside: bool = True) -> AbstractContextManager[Ledger]:
    paths = (home / "audit" / "checkpoint",) if outside else ()
    return Ledger.open(None, home, auditing=Auditing(lambda: (key,), (), paths))


def fill(ledger: Ledger, count: int, *, at_a_time: int = 100) -> None:
    """Writes entries until the trail has so many."""
    while (size := ledger.audit.head()[0]) < count:
        more = min(at_a_time, count - size - (size == 0))
        ledger.audit.record(*(Event("data.query", {"number": size + each}) for each in range(more)))


@contextmanager
def database(home: Path) -> Iterator[sqlite3.Connection]:
    """The database as somebody has it who may write all of it, and has not the key."""
    connection = sqlite3.connect(home / "ledger.sqlite")
    try:
        with connection:
            yield connection
    finally:
        connection.close()

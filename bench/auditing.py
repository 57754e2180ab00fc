"""The audit trail: entries a second in batches and one by one, and how long a million entries take to verify.

`python -m bench.auditing [ENTRIES]` prints a JSON document. The ledger is SQLite as it is by default: each commit is on
the disk before it counts. Beside each figure stands what the machine itself does with the same bytes in the same run: a
bare SQLite insert and commit, a bare SHA-256. The parts of each comparison take turns, as other work comes and goes.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rowkeeper.ledger import Auditing, Ledger
from rowkeeper.ledger.audit import Event, Outcome, Trail
from rowkeeper.ledger.audit.listing import Wanted, newest
from rowkeeper.ledger.audit.verifying import verify

BATCH = 1_000
ONE_BY_ONE = 2_000
THREADS = 8
ROUNDS = 4
EVENT = Event("data.query", {"table": "flights", "run": 12}, detail={"rows": 336_776}, purpose="billing")
BARE_COLUMNS = "(number INTEGER PRIMARY KEY, entry BLOB NOT NULL)"


class Bare:
    """What SQLite does with the same entries, and with nothing else: WAL, and a sync at each commit."""

    def __init__(self, path: Path, entry: bytes) -> None:
        self._driver = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            self._driver.execute(f"PRAGMA {pragma}")
        self._driver.execute(f"CREATE TABLE entries {BARE_COLUMNS}")
        self._entry = entry
        self._count = 0

    def insert(self, entries: int) -> None:
        """One transaction."""
        self._driver.execute("BEGIN IMMEDIATE")
        rows = [(number, self._entry) for number in range(self._count, self._count + entries)]
        self._driver.executemany("INSERT INTO entries VALUES (?, ?)", rows)
        self._driver.execute("COMMIT")
        self._count += entries


@contextmanager
def opened(folder: Path) -> Iterator[Trail]:
    auditing = Auditing(lambda: (bytes(range(32)),), (), (folder / "checkpoint",))
    with Ledger.open(None, folder, auditing=auditing) as ledger:
        yield ledger.audit


def by_threads(trail: Trail, entries: int) -> None:
    def record() -> None:
        for _ in range(entries // THREADS):
            trail.record(EVENT)

    threads = [threading.Thread(target=record) for _ in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def times(count: int, act: Callable[[], None]) -> None:
    for _ in range(count):
        act()


def rates(entries: int, **ways: Callable[[int], None]) -> dict[str, float]:
    """Entries a second by each way, in turns."""
    seconds = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            started = time.perf_counter()
            way(entries // ROUNDS)
            seconds[name] += time.perf_counter() - started
    return {name: entries / taken for name, taken in seconds.items()}


def one_by_one(trail: Trail, bare: Bare) -> dict[str, Any]:
    """With full durability, from one thread and from several; beside it what the disk takes."""
    found = rates(
        ONE_BY_ONE,
        bare=lambda count: times(count, lambda: bare.insert(1)),
        one=lambda count: times(count, lambda: trail.record(EVENT)),
        several=lambda count: by_threads(trail, count),
    )
    return {
        "one_by_one_per_second": round(found["one"]),
        f"one_by_one_from_{THREADS}_threads_per_second": round(found["several"]),
        "bare_sqlite_commits_per_second": round(found["bare"]),
        "one_by_one_to_bare": round(found["one"] / found["bare"], 2),
        f"one_by_one_from_{THREADS}_threads_to_bare": round(found["several"] / found["bare"], 2),
    }


def in_batches(trail: Trail, bare: Bare, entries: int) -> dict[str, Any]:
    """Of a thousand; beside it bare batches of as many."""
    batch = [EVENT] * BATCH
    found = rates(
        entries,
        bare=lambda count: times(count // BATCH, lambda: bare.insert(BATCH)),
        trail=lambda count: times(count // BATCH, lambda: trail.record(*batch)),
    )
    return {
        "in_batches_per_second": round(found["trail"]),
        "bare_sqlite_in_batches_per_second": round(found["bare"]),
        "in_batches_to_bare": round(found["trail"] / found["bare"], 2),
    }


def verified(trail: Trail, entry: bytes) -> dict[str, Any]:
    """The whole trail; beside it one SHA-256 of each entry. And what it takes to find that no entry is wanted."""
    started = time.perf_counter()
    verdict = verify(trail, {})
    seconds = time.perf_counter() - started
    assert verdict.sound, verdict.findings
    started = time.perf_counter()
    for _ in range(verdict.size):
        hashlib.sha256(entry).digest()
    bare = time.perf_counter() - started
    started = time.perf_counter()
    assert newest(trail.engine, 20, Wanted(outcome=Outcome.REFUSED)) == []
    listed = time.perf_counter() - started
    return {
        "entries": verdict.size,
        "list_what_none_is_seconds": round(listed, 2),
        "verify_seconds": round(seconds, 2),
        "bare_sha256_seconds": round(bare, 2),
        "verify_to_bare": round(seconds / bare, 2),
    }


def main() -> None:
    """Measures and prints."""
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as name, opened(Path(name)) as trail:
        trail.record(EVENT)
        (entry,) = (
            sqlite3.connect(Path(name) / "ledger.sqlite")
            .execute("SELECT entry FROM audit_entries WHERE number = 1")
            .fetchone()
        )
        bare = Bare(Path(name) / "bare.sqlite", entry)
        figures = one_by_one(trail, bare) | in_batches(trail, bare, entries) | verified(trail, entry)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

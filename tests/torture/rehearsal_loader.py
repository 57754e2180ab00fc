"""A tiny loader with a bug on demand: `python rehearsal_loader.py HOME BUG`. The tools must find each of them.

none       rows and their mark in one transaction, WAL + FULL: nothing to be found
twice      rows and mark in two transactions: a kill between them loads the rows twice
half       a transaction for each batch: readers see half of a run
nosync     WAL + NORMAL: what was acknowledged is gone after a power loss
unchecked  rows in a file whose failed writes are not noticed
lock       a lock file that a dead run leaves behind: the next run is stranded
crash      an error that nobody catches, where the disk fails
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
import time
import traceback
from pathlib import Path

# Closing a database writes its log into it and syncs that: this loader ends without, as one that lives on would.
_leak: list[sqlite3.Connection] = []
BATCHES = 4
BATCH_ROWS = 10
STOP = "REHEARSAL_STOP"
SECONDS = "REHEARSAL_SECONDS"


def _moment(name: str) -> None:
    if os.environ.get(STOP) == name:
        os.kill(os.getpid(), signal.SIGSTOP)


def _rows(load: str) -> list[list[str]]:
    return [[f"{load}-{batch}-{row}" for row in range(BATCH_ROWS)] for batch in range(BATCHES)]


def _load_database(home: Path, load: str, bug: str) -> None:
    database = sqlite3.connect(home / "rows.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(f"PRAGMA synchronous={'NORMAL' if bug == 'nosync' else 'FULL'}")
    database.execute("CREATE TABLE IF NOT EXISTS rows(value)")
    database.execute("CREATE TABLE IF NOT EXISTS marks(name PRIMARY KEY)")
    marks = {name for (name,) in database.execute("SELECT name FROM marks")}
    if bug == "half":
        _load_halves(database, load, marks)
    elif load not in marks:
        _load_whole(database, load, bug)
    _leak.append(database)


def _load_halves(database: sqlite3.Connection, load: str, marks: set[str]) -> None:
    for number, batch in enumerate(_rows(load)):
        if f"{load}-{number}" not in marks:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT INTO rows VALUES (?)", [(row,) for row in batch])
            database.execute("INSERT INTO marks VALUES (?)", (f"{load}-{number}",))
            _moment("before_commit" if number else "")
            database.execute("COMMIT")
            time.sleep(float(os.environ.get(SECONDS, "0")) / BATCHES)


def _load_whole(database: sqlite3.Connection, load: str, bug: str) -> None:
    database.execute("BEGIN IMMEDIATE")
    for batch in _rows(load):
        database.executemany("INSERT INTO rows VALUES (?)", [(row,) for row in batch])
    if bug == "twice":
        database.execute("COMMIT")
        database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT INTO marks VALUES (?)", (load,))
    _moment("before_commit")
    database.execute("COMMIT")
    _moment("after_commit")


def _load_file(home: Path, load: str) -> None:
    part = home / f"{load}.part"
    if part.exists():
        return
    handle = os.open(home / f"{load}.new", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    for batch in _rows(load):
        with contextlib.suppress(OSError):
            os.write(handle, ("\n".join(batch) + "\n").encode())
    with contextlib.suppress(OSError):
        os.fsync(handle)
    os.close(handle)
    os.rename(home / f"{load}.new", part)


def main() -> int:
    """Loads `second`; where `first` is missing, that only."""
    home, bug = Path(sys.argv[1]), sys.argv[2]
    load = "second" if (home / "begun").exists() else "first"
    lock = home / "lock"
    try:
        if bug == "lock":
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
        time.sleep(float(os.environ.get(SECONDS, "0")))  # a load takes its time: kills are to hit it
        if bug == "unchecked":
            _load_file(home, load)
        else:
            _load_database(home, load, bug)
        (home / "begun").touch()
        lock.unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as error:
        if bug == "crash":
            traceback.print_exc()
            return 1
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os._exit(main())

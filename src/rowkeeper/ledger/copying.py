"""A copy of the ledger as it is at one moment, while others go on writing it; for backups."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, select

from rowkeeper.errors import BackupUnsuited
from rowkeeper.ledger.database import explained, reading, schema_of
from rowkeeper.ledger.postgresql import POSTGRESQL
from rowkeeper.ledger.records import RunStatus
from rowkeeper.ledger.schema import batches, gate_results, profiles, runs

# Files of the spool go when their run is over; those of the others are known to the ledger as long as they are there.
WAITING = (RunStatus.SPOOLED, RunStatus.STAGING, RunStatus.INTERRUPTED, RunStatus.PREPARED)


def refuse_unsuited(engine: Engine) -> None:
    """Raises BackupUnsuited for a ledger that cannot be copied into a file."""
    if engine.dialect.name not in ("sqlite", POSTGRESQL):
        raise BackupUnsuited(
            f"the ledger is in {engine.dialect.name}, which Rowkeeper does not back up",
            hint="back it up with its own means, after the tables; docs/backups.md",
        )


class Moment:
    """The ledger as it is at one moment: when this is made. Then others go on writing it, and it is written down.

    Of SQLite it is written down at once. In PostgreSQL a transaction sees that moment until it is written, or closed.

    Args:
        path: the new SQLite file that gets it.

    Raises DatabaseError and what is derived from it; StateError; BackupUnsuited.
    """

    def __init__(self, engine: Engine, path: Path) -> None:
        refuse_unsuited(engine)
        self._path = path
        self._open = contextlib.ExitStack()
        self._seen: tuple[Connection, str] | None = None
        if engine.dialect.name == "sqlite":
            _copy_pages(engine, path)
            return
        with explained("copied"), contextlib.ExitStack() as opened:
            connection = opened.enter_context(reading(engine))
            self._seen = connection, str(schema_of(connection))  # the first question is what fixes the moment
            self._open = opened.pop_all()

    def write(self) -> None:
        """Writes it down. Raises as making it does; LedgerUncarried."""
        if self._seen is None:
            return
        from rowkeeper.ledger.carrying import carry_to_file  # noqa: PLC0415 - Alembic is slow to import

        with explained("copied"), self._open:
            connection, revision = self._seen
            carry_to_file(connection, self._path, revision)

    def close(self) -> None:
        """Lets it go."""
        self._open.close()


def _copy_pages(engine: Engine, path: Path) -> None:
    """Copies a SQLite ledger page by page in one go (SQLite's backup API)."""
    with explained("copied"):
        pooled = engine.raw_connection()
        target = sqlite3.connect(path)
        try:
            driver: Any = pooled.driver_connection
            driver.backup(target)
            target.execute("PRAGMA journal_mode = DELETE").close()  # one file, without a journal beside it
        finally:
            target.close()
            pooled.close()


def copy_file(path: Path, to: Path) -> None:
    """Copies the file of a SQLite ledger that nobody has opened, with what its journal holds, into a new one.

    Raises DatabaseError, IntegrityError.
    """
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT, 0o600))
    with (
        explained("copied"),
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(to)) as target,
    ):
        source.backup(target)


def faults_of_copy(path: Path) -> list[str]:
    """What is wrong with the database; empty if it is sound. Raises as `copy_file`."""
    with explained("read"), contextlib.closing(sqlite3.connect(path)) as copy:
        return [str(word) for (word,) in copy.execute("PRAGMA integrity_check") if word != "ok"]


def mark_of_copy(path: Path) -> tuple[object, ...]:
    """Tells a ledger from the same one after any step of a run, or any entry of its audit trail. Raises as above."""
    with explained("read"), contextlib.closing(sqlite3.connect(path)) as copy:
        entries = copy.execute("SELECT size, checkpoint FROM audit_head").fetchone()
        return (entries, *copy.execute("SELECT max(run) FROM runs"), *copy.execute("SELECT max(id) FROM batches"))


def files_of_copy(path: Path) -> frozenset[str]:
    """The sealed files that a copy of a ledger knows, below the state folder: `quarantine/...`, `samples/...`,
    `spool/...`.
    """
    waiting = runs.c.status.in_([status.value for status in WAITING])
    queries = (
        ("quarantine", select(batches.c.quarantine_file)),
        ("samples", select(gate_results.c.sample_file)),
        ("samples", select(profiles.c.file)),
        ("spool", select(batches.c.spool_file).join(runs, runs.c.run == batches.c.run).where(waiting)),
    )
    engine = create_engine(f"sqlite:///{path}")
    try:
        with reading(engine) as connection:
            return frozenset(
                f"{folder}/{name}"
                for folder, query in queries
                for name in connection.execute(query).scalars()
                if name is not None
            )
    finally:
        engine.dispose()

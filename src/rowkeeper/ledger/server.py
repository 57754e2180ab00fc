"""A ledger in PostgreSQL as a whole, for a restore: looked at, copied into a file, and replaced in one transaction.

Whether that transaction was committed is told by the trail: its last entry, which says that a restore took place, is
there then, byte for byte, and in no other ledger. So it can be asked by whoever comes after a process that died, or
after an answer that was lost, without anything beside the ledger.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, func, inspect, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from rowkeeper.errors import BackupUnsuited, CommitUnknown, FrameworkError, LedgerLost, LedgerPlaceUnfit, StateInUse
from rowkeeper.ledger import leases
from rowkeeper.ledger.database import MIGRATIONS, connect, explained, reading, schema_of
from rowkeeper.ledger.postgresql import FOUNDING, LOOKING, POSTGRESQL
from rowkeeper.ledger.records import HeldLease
from rowkeeper.ledger.schema import audit_entries, audit_head, batches, runs
from rowkeeper.ledger.schema import ledger as ledger_table
from rowkeeper.ledger.securing import Transport
from rowkeeper.protocols import WayOut
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.security.secret import Secret

VERSIONS = "alembic_version"
TRIAL = "CREATE TABLE rowkeeper_trial (number integer)"


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """A ledger as it stands in a database.

    Attributes:
        id: the ledger's; None where it was founded and nothing was ever done with it.
        mark: tells it from the same one after any step of a run, or any entry of its trail.
    """

    id: str | None
    mark: tuple[object, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class LastEntry:
    """The last entry of a trail, by which a ledger is known again.

    Attributes:
        sha256: of its bytes, in hex digits.
    """

    number: int
    sha256: str

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Of the ledger in a SQLite file, which has one. Raises DatabaseError."""
        with explained("read"), contextlib.closing(sqlite3.connect(path)) as copy:
            query = "SELECT number, entry FROM audit_entries ORDER BY number DESC LIMIT 1"
            number, entry = copy.execute(query).fetchone()
        return cls(int(number), hashlib.sha256(entry).hexdigest())


class LedgerServer:
    """The database that a URL leads to. Its methods raise DatabaseError and what is derived from it."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine, self._clock = engine, clock

    @classmethod
    @contextmanager
    def open(
        cls,
        url: str,
        clock: Callable[[], datetime],
        calls: Calls,
        *,
        transport: Transport,
        password: Callable[[], Secret] | None,
        way_out: WayOut | None,
    ) -> Iterator[Self]:
        """Reaches it as `Ledger.open` does; nothing is made or migrated.

        Raises BackupUnsuited where it is another database than PostgreSQL.
        """
        engine = connect(url, Path(), calls, transport=transport, password=password, way_out=way_out)
        try:
            if engine.dialect.name != POSTGRESQL:
                raise BackupUnsuited(
                    f"no ledger is restored into {engine.dialect.name}",
                    hint="let ROWKEEPER_LEDGER_URL lead to PostgreSQL, or unset it for SQLite in the state folder",
                )
            yield cls(engine, clock)
        finally:
            engine.dispose()

    def look(self) -> Standing | None:
        """What is there; None where nothing is.

        Raises LedgerPlaceUnfit if there are tables that are none of a ledger's.
        """
        with reading(self._engine) as connection:
            return _standing(connection)

    def rehearse(self) -> None:
        """Raises what a transaction that makes tables would raise, as there is no right or no room; undoes it."""
        with self._writing() as (connection, _):
            connection.exec_driver_sql(TRIAL)

    def in_use(self) -> list[HeldLease]:
        """Leases of processes that may be alive, on whichever machine."""
        return [each for each in leases.held(self._engine, self._clock) if not each.is_dead]

    def copy_to(self, path: Path) -> Standing:
        """Writes it, as it is at one moment, into a new SQLite file. Raises LedgerUncarried, NewerState."""
        from rowkeeper.ledger.carrying import carry_to_file  # noqa: PLC0415 - Alembic is slow to import

        with reading(self._engine) as connection:
            standing = _standing(connection)
            assert standing is not None
            with explained("copied"):
                carry_to_file(connection, path, str(schema_of(connection)))
        return standing

    def lay(self, path: Path, former: Standing | None) -> None:
        """Puts the ledger of a SQLite file in the place of what is there, in one transaction.

        Args:
            former: what `look` or `copy_to` found, which must still be so.

        Raises:
            StateInUse: it was changed since.
            LedgerUncarried: PostgreSQL does not take it.
            CommitUnknown: whether it was committed, the server cannot be asked.
        In each case but the last nothing was changed.
        """
        from rowkeeper.ledger.carrying import carry_from_file  # noqa: PLC0415 - Alembic is slow to import
        from rowkeeper.ledger.migrating import upgrade  # noqa: PLC0415

        last = LastEntry.of_file(path)
        with self._writing() as (connection, begun):
            if _standing(connection) != former:
                raise StateInUse(
                    "the ledger in PostgreSQL was changed while it was restored",
                    hint="stop the workers and servers of all machines that use it, and try again",
                )
            upgrade(connection, MIGRATIONS)
            carry_from_file(path, connection)
            failpoint("restore.before_ledger_commit")
            try:
                begun.commit()
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                if not self.holds(last):
                    raise LedgerLost(
                        "the connection to the ledger broke while it was restored; nothing of it was written",
                        hint="see to its server, and give the same command again",
                    ) from error
        failpoint("restore.after_ledger_commit")

    def holds(self, last: LastEntry) -> bool:
        """Whether the ledger that is there has this entry: as soon as nobody who might still commit it is under way.

        Raises CommitUnknown if the server cannot be asked.
        """
        try:
            with self._writing(LOOKING) as (connection, _):
                if not inspect(connection).has_table(audit_entries.name):
                    return False
                query = select(audit_entries.c.entry).where(audit_entries.c.number == last.number)
                entry = connection.execute(query).scalar()
        except FrameworkError as error:
            raise CommitUnknown(
                "a restore may have put its ledger into PostgreSQL, whose server cannot be asked whether it did",
                hint="when the server is back, rowkeeper doctor finishes the restore, or finds that nothing was done",
            ) from error
        return entry is not None and hashlib.sha256(entry).hexdigest() == last.sha256

    @contextmanager
    def _writing(self, step: str = FOUNDING) -> Iterator[tuple[Connection, Any]]:
        """A writer's transaction, under the lock of all writers; it is taken back unless the block commits it."""
        with explained("written"), self._engine.connect() as connection:
            connection.info["writes"] = step  # which has no number: the trail tells whether it was committed
            begun = connection.begin()
            try:
                yield connection, begun
            finally:
                with contextlib.suppress(SQLAlchemyError):  # the connection is lost, and the transaction with it
                    if begun.is_active:
                        begun.rollback()


def _standing(connection: Connection) -> Standing | None:
    there = set(inspect(connection).get_table_names())
    if not there:
        return None
    if VERSIONS not in there or ledger_table.name not in there:
        raise LedgerPlaceUnfit(
            f"the database that ROWKEEPER_LEDGER_URL leads to has {len(there):,} tables that are no ledger's",
            hint="let it lead to an empty database, or to an empty schema: docs/ledger-postgresql.md",
        )
    id = connection.execute(select(ledger_table.c.id)).scalar_one_or_none()
    head = connection.execute(select(audit_head.c.size, audit_head.c.checkpoint)).one_or_none()
    numbers = connection.execute(
        select(select(func.max(runs.c.run)).scalar_subquery(), select(func.max(batches.c.id)).scalar_subquery())
    ).one()
    return Standing(id, (None if head is None else tuple(head), *numbers))

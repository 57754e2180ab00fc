"""A table of a database at work: what the run's steps ask of it, each step in a file of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.relational import (
    dating,
    duplicates,
    layout,
    measuring,
    publishing,
    sealing,
    staging,
    verifying,
)
from rowkeeper.destinations.relational.dialect import Columns, Cursor, Dialect
from rowkeeper.destinations.relational.names import Companion, Names, literal
from rowkeeper.destinations.relational.statements import Statements
from rowkeeper.measures import Rehearsal, StagedTable
from rowkeeper.protocols import (
    Change,
    CommitRecord,
    DuplicateRow,
    Health,
    Leftover,
    Newest,
    RunRows,
    Sealed,
    StagedRows,
)

if TYPE_CHECKING:
    from rowkeeper.destinations.relational.declaring import DatabaseDestination


class DatabaseSession:
    """Implements `protocols.DestinationSession` for one table of PostgreSQL or SQLite.

    Attributes:
        run, token: of the run whose staging area is open.
        columns: name and type of each contract column of the staging area.
        removed: by run, what publishing is to take away, as the seal found it.
    """

    def __init__(
        self,
        destination: DatabaseDestination,
        ledger_id: str,
        schema: pa.Schema | None,
        dialect: Dialect,
        statements: Statements,
    ) -> None:
        self.destination = destination
        self.names = Names(destination.schema or dialect.schema, destination.table)
        self.dialect = dialect
        self.statements = statements
        self.schema = schema
        self.ledger_id = ledger_id
        self.run = self.token = 0
        self.columns: Columns = ()
        self.removed: Mapping[int, Fingerprint] | None = None

    @property
    def own(self) -> str:
        """The name under which the table stands in the commits, as a literal."""
        return literal(self.names.table)

    def mark_of(self, run: int) -> str:
        """What the database knows the sessions of a run by; 63 bytes are kept of it."""
        known = hashlib.blake2b(f"{self.ledger_id}/{self.names.live}".encode(), digest_size=6).hexdigest()
        return f"rowkeeper run {run} of {known}"

    def enter(self, run: int, token: int) -> None:
        """The session is of this run from now on."""
        self.run, self.token = run, token
        self.removed = None
        self.statements.marked(self.mark_of(run))

    # ------------------------------------------------------------------------------------------ what is there

    def prepare(self) -> Columns:
        """Makes the table if it is not there, and checks the layout of one that is."""
        if self.schema is None:  # an open staging area may have columns that the table has not got yet
            return self.columns or self.statements.read(
                lambda cursor: layout.table_columns(self, cursor, self.names.table)
            )
        asked = layout.contract_columns(self.dialect, self.schema)
        layout.check_names(self.destination, dict(asked))
        return self.statements.read(lambda cursor: layout.prepare(self, cursor, asked))

    def evolve(self, schema: pa.Schema) -> Columns:
        """Adds the columns that drift brought to the staging area; the publish adds them to the table."""
        return staging.evolve(self, layout.contract_columns(self.dialect, schema))

    def companions(self, cursor: Cursor, *kinds: str, run: int | None = None) -> list[Companion]:
        """The temporary tables that are there, oldest token first."""
        found = (Companion.parse(name, self.names) for name in self.dialect.tables(cursor, self.names.schema))
        return sorted(each for each in found if each and each.kind in kinds and run in (None, each.run))

    def drop(self, cursor: Cursor, *kinds: str, run: int | None = None) -> None:
        """Drops temporary tables."""
        for each in self.companions(cursor, *kinds, run=run):
            cursor.execute(f"DROP TABLE IF EXISTS {self.names.quoted(each.name)}")

    def commit_record(self) -> CommitRecord | None:
        """Who published last, by the table of commits."""
        return self.statements.read(lambda cursor: publishing.commit_record(self, cursor))

    # ------------------------------------------------------------------------------------------ the steps

    def stage_open(self, run: int, token: int) -> None:
        """Makes an empty staging area."""
        staging.open_area(self, run, token)

    def stage_resume(self, run: int, token: int, staged: Sequence[StagedRows]) -> bool:
        """Takes over a dead run's staging area; False if it does not hold what the ledger says."""
        return staging.resume(self, run, token, staged)

    def stage(self, table: pa.Table) -> None:
        """Stages accepted rows."""
        staging.insert(self, table)

    def stage_withdraw(self, partition_ordinal: int) -> None:
        """Takes the rows of one partition out again."""
        staging.withdraw(self, partition_ordinal)

    def stage_drop(self, run: int) -> None:
        """Drops all that a run has staged."""
        staging.drop(self, run)

    def duplicate_rows(self, change: Change) -> Iterator[DuplicateRow]:
        """The staged rows that `seal` will take out and that go to quarantine."""
        return duplicates.duplicate_rows(self, change)

    def seal(self, staged: Sequence[StagedRows], change: Change) -> Sealed:
        """Finds duplicates, and reads back all that is left."""
        return sealing.seal(self, staged, change)

    def publish(self, record: CommitRecord, change: Change) -> None:
        """Makes the staged rows visible in one transaction."""
        publishing.publish(self, record, change)

    def settle(self, run: int) -> bool:
        """Whether a run that died in `publish` was published; afterwards it cannot be any more."""
        return publishing.settle(self, run)

    def staged(self, change: Change) -> StagedTable:
        """The staged rows as they would be published, to be asked."""
        return measuring.staged_rows(self, change)

    def rehearse(self, columns: Sequence[tuple[str, str]]) -> Rehearsal:
        """A table of these columns without rows, on which questions are tried out."""
        return measuring.Rehearsal(self, tuple(columns))

    def staged_relation(self, run: int, token: int) -> str | None:
        """None: SQL that is typed goes to the embedded engine, which does not see these rows. See `peek`."""
        del run, token
        return None

    def peek(self, run: int, token: int, limit: int) -> tuple[Columns, list[tuple[Any, ...]]] | None:
        """Some staged rows, in the order of their addresses."""
        return self.statements.read(lambda cursor: measuring.peek(self, cursor, self.names.staging(run, token), limit))

    def check_change(self, change: Change) -> None:
        """It can make every change."""

    def health(self) -> Health:
        """Whether the table is there, and what lies beside it."""
        return self.statements.read(lambda cursor: verifying.health(self, cursor))

    def undo_kept(self, run: int) -> bool:
        """Whether this run is the last one, and the rows that it took away can be put back."""
        return self.statements.read(lambda cursor: publishing.undo_kept(self, cursor, run))

    def newest(self, column: str | None, by: str | None, until: datetime, keys_max: int) -> list[Newest]:
        """How new its rows are, by the values of a column."""
        return dating.newest(self, column, by, until, keys_max)

    def days(self, column: str, since: date, zone: str) -> frozenset[date]:
        """The days that have rows."""
        return dating.days(self, column, since, zone)

    def look_up(self, columns: Sequence[str], where: Mapping[str, str], limit: int) -> Sequence[Sequence[Any]]:
        """Columns of the rows that have these values in others."""
        return verifying.look_up(self, columns, where, limit)

    def verify(self, expected: Mapping[int, Fingerprint]) -> list[RunRows]:
        """Recomputes the fingerprint of each run's rows."""
        return verifying.verify(self, expected)

    # ------------------------------------------------------------------------------------------ between runs

    def leftovers(self) -> Sequence[Leftover]:
        """The temporary tables of all runs."""
        return self.statements.read(lambda cursor: staging.leftovers(self, cursor))

    def clear(self, leftover: Leftover) -> None:
        """Drops one."""
        staging.clear(self, leftover)

    def close(self) -> None:
        """Gives back the connection; the staged rows stay."""
        self.statements.close()

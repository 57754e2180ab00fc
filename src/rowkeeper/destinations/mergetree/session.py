"""A table at work: what the run's steps ask of it, each step in a file of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.declared import check_laid_out
from rowkeeper.destinations.mergetree import (
    adopting,
    dating,
    duplicates,
    layout,
    looking,
    measuring,
    publishing,
    refilling,
    sealing,
    staging,
    upkeep,
    verifying,
)
from rowkeeper.destinations.mergetree.ddl import Ddl
from rowkeeper.destinations.mergetree.engine import Engine
from rowkeeper.destinations.mergetree.health import table_health
from rowkeeper.destinations.mergetree.names import Companion, Names, bare
from rowkeeper.destinations.mergetree.replicas import check_comments
from rowkeeper.destinations.mergetree.statements import Statements
from rowkeeper.destinations.mergetree.types import literal
from rowkeeper.errors import DiskFull, LayoutError
from rowkeeper.measures import Rehearsal, StagedTable
from rowkeeper.protocols import (
    Change,
    CommitRecord,
    Crowd,
    DuplicateRow,
    Health,
    Leftover,
    Newest,
    RunRows,
    Sealed,
    StagedRows,
)

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.destination import ClickHouseDestination

ATOMIC = "Atomic"
EXCHANGING = (ATOMIC, "Overlay", "Replicated", "Shared")


class TableSession:
    """Implements `protocols.DestinationSession` for one ClickHouse table.

    Attributes:
        run, token: of the run whose staging area is open.
        columns: name and type of each contract column of the staging area.
        database_of_others: where another table lies that a quality gate names without a database.
        keeps_former: see `protocols.Site`.
    """

    def __init__(
        self,
        destination: ClickHouseDestination,
        schema: pa.Schema | None,
        engine: Engine,
        *,
        keeps_former: bool = False,
    ) -> None:
        self.destination = destination
        self.names = Names(str(destination.database), destination.table)
        self.statements = Statements(engine, destination.target)
        self.database_of_others = self.names.database
        self.schema = schema
        self.run = self.token = 0
        self.keeps_former = keeps_former
        self.inserts = 0  # into the staging area that is open
        self.columns: layout.Columns = ()

    @property
    def engine(self) -> Engine:
        """What holds the table."""
        return self.statements.engine

    @property
    def ddl(self) -> Ddl:
        """The statements that make and change its tables."""
        return self.statements.ddl

    def check_change(self, change: Change) -> None:
        """It can make every change."""

    def health(self) -> Health:
        """Its files and parts."""
        return table_health(self)

    # ------------------------------------------------------------------------------------------ layout

    def prepare(self) -> layout.Columns:
        """Makes the table if it is not there, and checks the layout of one that is."""
        if self.schema is None:  # an open staging area may have columns that the table has not got yet
            return self.columns or layout.columns_of(self.statements, self.names.database, self.names.table)
        made = self.destination
        self.ensure_database()
        columns = layout.contract_columns(self.schema, made.low_cardinality)
        _check_names(made, dict(columns))
        wanted = self.names.wanted(0)
        self.statements.do(self.ddl.drop(wanted))
        definition = layout.definition(columns, made.order_by, made.partition_by, dict(made.codecs), self.ddl.layout)
        self.statements.do(self.ddl.create(wanted, definition))
        try:
            if not self.exists(self.names.table):
                self.statements.do(self.ddl.create_as(self.names.live, wanted, lenient=True))
                self.check_written(self.names.live)
            self.catch_up(self.names.live)
            return layout.compare(self.statements, self.names, wanted)
        finally:
            self.statements.do(self.ddl.drop(wanted))

    def ensure_database(self) -> None:
        """EXCHANGE needs an Atomic database; chDB's own `default` is an overlay over one."""
        database = self.names.database
        found = self.statements.ask(f"SELECT engine FROM system.databases WHERE name = {literal(database)}")
        engine = str(found[0][0]) if found else ATOMIC
        self.engine.check_database(database, engine)
        if not found:
            self.statements.do(self.ddl.create_database(database))
        if engine not in EXCHANGING:
            raise LayoutError(
                f"the database {database} has the engine {engine}, which cannot exchange tables",
                hint='give the destination another one: database="..."',
            )

    def evolve(self, schema: pa.Schema) -> layout.Columns:
        """Adds the columns that drift brought to the staging area; the publish adds them to the table."""
        there = dict(self.columns)
        for name, kind in layout.contract_columns(schema, self.destination.low_cardinality):
            if name not in there:
                self.add_column(self.names.staging(self.run, self.token), name, kind)
        self.check_written(self.names.staging(self.run, self.token))
        self.columns = self.staged_columns()
        return self.columns

    def check_written(self, table: str) -> None:
        """Looks at the disk for a table that was made or altered. One that is not there as it should be is dropped.

        Raises DiskFull.
        """
        paths = self.statements.ask(
            f"SELECT data_paths FROM system.tables WHERE database = {literal(self.names.database)} "
            f"AND name = {literal(bare(table))}"
        )[0][0]
        if not self.engine.is_written(self.names.database, bare(table), Path(paths[0])):
            self.statements.do(self.ddl.drop(table))
            raise DiskFull("the disk did not take the definition of a table", hint="see to the disk and run again")

    def add_column(self, table: str, name: str, kind: str) -> None:
        """Adds a column, in the same place in every table: they must stay alike to exchange parts."""
        self.statements.do(self.ddl.add_column(table, name, kind))

    def catch_up(self, *tables: str) -> None:
        """Lets the replica that is asked have all that other replicas have of these tables."""
        if self.ddl.layout.replicated:
            for table in tables:
                self.statements.do(self.ddl.catch_up(table))

    def clone(self, name: str, other: str, comment: str = "") -> None:
        """Makes a table like another, with its parts: linked, not copied."""
        for statement in self.ddl.clone(name, other, comment):
            self.statements.do(statement)

    def staged_columns(self) -> layout.Columns:
        """The contract columns of the staging area."""
        return layout.columns_of(
            self.statements, self.names.database, f"{self.names.table}__rk_staging_{self.run}_{self.token}"
        )

    # ------------------------------------------------------------------------------------------ what is there

    def exists(self, table: str) -> bool:
        """Whether the database has a table of this name."""
        return bool(
            self.statements.number(
                f"SELECT count() FROM system.tables WHERE database = {literal(self.names.database)} "
                f"AND name = {literal(table)}"
            )
        )

    def companions(self, *kinds: str, run: int | None = None) -> list[Companion]:
        """The temporary tables that are there, oldest token first."""
        rows = self.statements.ask(
            f"SELECT name FROM system.tables WHERE database = {literal(self.names.database)} "
            f"AND startsWith(name, {literal(self.names.table + '__rk_')})"
        )
        found = (Companion.parse(str(name)) for (name,) in rows)
        return sorted(each for each in found if each and each.kind in kinds and run in (None, each.run))

    def rows(self, table: str) -> int:
        """How many rows a table holds."""
        return self.statements.number(f"SELECT count() FROM {table}")

    def commit_record(self) -> CommitRecord | None:
        """Who published last, by the comment of the live table."""
        check_comments(self, self.names.table)
        return publishing.commit_record(self, self.names.table)

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

    def take_out(self, condition: str) -> None:
        """Deletes rows of the staging area."""
        staging.take_rows_out(self, condition)

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
        """Takes out duplicates, and reads back from disk all that is left."""
        return sealing.seal(self, staged, change)

    def publish(self, record: CommitRecord, change: Change) -> None:
        """Makes the staged rows visible in one step."""
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
        """What typed SQL reads a run's staged rows from."""
        return measuring.staged_relation(self, run, token)

    def undo_kept(self, run: int) -> bool:
        """Whether this run is the last one, and the table as it was before can take its place again."""
        return publishing.undo_kept(self, run)

    def newest(self, column: str | None, by: str | None, until: datetime, keys_max: int) -> list[Newest]:
        """How new its rows are, by the values of a column."""
        return dating.newest(self, column, by, until, keys_max)

    def days(self, column: str, since: date, zone: str) -> frozenset[date]:
        """The days that have rows."""
        return dating.days(self, column, since, zone)

    def look_up(self, columns: Sequence[str], where: Mapping[str, str], limit: int) -> Sequence[Sequence[Any]]:
        """Columns of the rows that have these values in others."""
        return looking.look_up(self, columns, where, limit)

    def adopt(self, backup: str, name: str, runs: Collection[int], record: CommitRecord) -> None:
        """Makes the table from ClickHouse's own backup, as it was when its rows were of these runs."""
        adopting.adopt(self, backup, name, runs, record)

    def put_in_place(self, run: int, token: int, second: int, *, there: bool) -> str:
        """Exchanges the table for one that a restore has made."""
        return refilling.put_in_place(self, run, token, second, there=there)

    def check_parts(self) -> None:
        """Reads the files of all its parts. Raises StagingDamaged if one of them is not as it was written."""
        sealing.check_files(self, self.names.live)

    def verify(self, expected: Mapping[int, Fingerprint]) -> list[RunRows]:
        """Recomputes the fingerprint of each run's rows."""
        return verifying.verify(self, expected)

    # ------------------------------------------------------------------------------------------ between runs

    def leftovers(self) -> Sequence[Leftover]:
        """The temporary tables of all runs."""
        return upkeep.leftovers(self)

    def clear(self, leftover: Leftover) -> None:
        """Drops one."""
        upkeep.clear(self, leftover)

    def crowds(self, pieces_max: int) -> Sequence[Crowd]:
        """The partitions of the live table in many parts."""
        return upkeep.crowds(self, pieces_max)

    def merge(self, crowd: Crowd) -> None:
        """Makes one part of them."""
        upkeep.merge(self, crowd)

    def close(self) -> None:
        """Gives back the connection; the staged rows stay."""
        self.statements.close()


def _check_names(made: ClickHouseDestination, columns: Mapping[str, str]) -> None:
    """Every column that the destination names must be one of the contract's, and a key must not be null."""
    named = {
        "key": made.key,
        "version": (made.version,) if made.version else (),
        "codecs": tuple(made.codecs),
        "low_cardinality": made.low_cardinality,
    }
    check_laid_out(named, {name: "Nullable(" in kind for name, kind in columns.items()})

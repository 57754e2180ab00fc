"""The staging area of a run: a table of the embedded ClickHouse in which rows wait for another destination."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from rowkeeper.batch import ROW_ID, Fingerprint
from rowkeeper.destinations.embedded.connection import EngineConnection
from rowkeeper.destinations.mergetree import layout
from rowkeeper.destinations.mergetree.bulk import shared_arrow_file
from rowkeeper.destinations.mergetree.destination import ClickHouseDestination
from rowkeeper.destinations.mergetree.layout import HASH, Columns
from rowkeeper.destinations.mergetree.names import bare
from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.destinations.mergetree.staging import PARTITION
from rowkeeper.destinations.mergetree.types import identifier, literal
from rowkeeper.destinations.staged import delivered
from rowkeeper.errors import LayoutError
from rowkeeper.protocols import DuplicatePolicy, Site
from rowkeeper.resilience.failpoints import failpoint

DATABASE = "rowkeeper_staging"
BLOCK_BYTES = 32 << 20  # of rows that are handed over, about
BLOCK_ROWS_MAX = 250_000
PARTITIONS_MAX = 1_000_000


class StagingArea:
    """Where the rows of a run wait until they are handed over.

    Args:
        target: of the destination; each has a table of its own.
        schema: the contract's columns; None to look at, or go on with, what is there.
        key: the columns that identify a row, and `duplicates` what becomes of a second one of the same run.
    """

    def __init__(
        self,
        site: Site,
        target: str,
        schema: pa.Schema | None,
        key: Sequence[str] = (),
        duplicates: DuplicatePolicy | None = None,
    ) -> None:
        name = "t_" + hashlib.sha256(target.encode()).hexdigest()[:24]
        destination = ClickHouseDestination(
            table=name,
            database=DATABASE,
            order_by=(ROW_ID,),
            partition_by=None,
            write_mode="append",
            key=tuple(key),
            version=None,
            duplicates=duplicates,
            codecs={},
            low_cardinality=(),
        )
        self.target = target
        self.site = site
        self.schema = schema
        self._drifted: list[pa.Schema] = []
        self.table = TableSession(destination, site, schema, EngineConnection(site, writes=True))
        self.table.database_of_others = "default"

    def prepare(self, held: Columns | None) -> Columns:
        """Makes room for a run; returns the columns that it will have.

        Args:
            held: name and ClickHouse type of each column that the destination has; None if it has none yet.

        Raises LayoutError with everything in which the contract differs from them.
        """
        table = self.table
        if self.schema is None:
            return table.columns or held or ()
        asked = layout.contract_columns(self.schema, ())
        differences = layout.column_differences(dict(held), dict(asked)) if held else []
        if differences:
            raise LayoutError(
                f"{self.target} is laid out differently: " + "; ".join(differences),
                hint="load into another place, or make contract and destination fit this one",
            )
        there = dict(held or ())
        columns = (*(held or ()), *(each for each in asked if each[0] not in there))
        self._make(columns, delivered.delivered(self.schema))
        return columns

    def _make(self, columns: Columns, schema: pa.Schema) -> None:
        """The empty table after whose layout staging areas are made; its comment says which Arrow types rows had."""
        table, names = self.table, self.table.names
        there = layout.columns_of(table.statements, names.database, names.table)
        if there == columns and self._known() == schema:
            return
        table.ensure_database()
        table.statements.do(f"DROP TABLE IF EXISTS {names.live}")
        made = layout.create(names.live, columns, (ROW_ID,), None, {})
        table.statements.do(f"{made} COMMENT {literal(delivered.as_text(schema))}")
        table.check_written(names.live)

    def _known(self) -> pa.Schema:
        names = self.table.names
        rows = self.table.statements.ask(
            f"SELECT comment FROM system.tables WHERE database = {literal(names.database)} "
            f"AND name = {literal(names.table)}"
        )
        return delivered.from_text(str(rows[0][0])) if rows else pa.schema([])

    def open_to_fence(self, run: int, token: int) -> None:
        """An empty area for a run that stages nothing, so that it can be told by its absence that it is fenced."""
        if not self.is_made():
            self._make((("nothing", "UInt8"),), pa.schema([]))
        self.table.stage_open(run, token)

    def is_made(self) -> bool:
        """Whether there is anything of this destination in the engine."""
        return self.table.exists(self.table.names.table)

    def evolve(self, schema: pa.Schema) -> Columns:
        """Adds the columns that drift brought to the staging area, and what types they have to what is known."""
        columns = self.table.evolve(schema)
        self._drifted.append(delivered.delivered(schema))
        comment = literal(delivered.as_text(self._drifted[-1]))
        self.table.statements.do(f"ALTER TABLE {self.table.names.live} MODIFY COMMENT {comment}")
        return columns

    @property
    def columns(self) -> Columns:
        """Name and ClickHouse type of each column of the run."""
        return self.table.columns

    @property
    def delivered_schema(self) -> pa.Schema:
        """The Arrow types in which the rows of the run are handed over."""
        own = [] if self.schema is None else [delivered.delivered(self.schema)]
        found = delivered.schema_of(self.columns, [*reversed(self._drifted), *own, self._known()])
        if len(found) == len(self.columns):
            return found
        answer = self.table.statements.arrow(f"SELECT {delivered.selected(self.columns)} FROM {self._staging} LIMIT 0")
        return delivered.schema_of(self.columns, [found, answer.schema])

    def enter(self, run: int, token: int) -> None:
        """Looks at the area of a run that is there."""
        self.table.run, self.table.token = run, token
        self.table.statements.run = run
        self.table.columns = self.table.staged_columns()

    @property
    def _staging(self) -> str:
        return self.table.names.staging(self.table.run, self.table.token)

    def partitions(self) -> list[int]:
        """The ordinals of the partitions that have rows, ascending."""
        return [ordinal for ordinal, _ in self.shares((), PARTITIONS_MAX)]

    def fingerprints(self) -> dict[int, Fingerprint]:
        """By partition, of the rows that are left in the area, from the hashes that were stored with them.

        Raises DatabaseError if the area is not there any more: another process has taken over.
        """
        rows = self.table.statements.ask(f"SELECT {PARTITION}, count(), sum({HASH}) FROM {self._staging} GROUP BY 1")
        return {int(ordinal): Fingerprint(int(count), int(total)) for ordinal, count, total in rows}

    def shares(self, columns: Sequence[str], limit: int) -> list[tuple[int, dict[str, str | None]]]:
        """Each partition with each combination of values, as text, that these columns have in it; in order.

        Args:
            limit: how many at most.
        """
        texts = "".join(f", toString({identifier(name)})" for name in columns)
        rows = self.table.statements.ask(
            f"SELECT DISTINCT {PARTITION} AS _rk_ordinal{texts} FROM {self._staging} ORDER BY ALL LIMIT {limit}"
        )
        return [(int(row[0]), dict(zip(columns, row[1:], strict=True))) for row in rows]

    def rows(
        self,
        partition_ordinal: int | None = None,
        *,
        where: Mapping[str, str | None] | None = None,
        after: int = -1,
        rows_max: int = 0,
    ) -> Iterator[pa.Table]:
        """The rows in the order of their addresses, in tables of a bounded size: the columns, and `ROW_ID`.

        Args:
            partition_ordinal: of one partition only; None for all.
            where: only those that have these values, as text, in these columns (see `shares`).
            after: the address of the last row that is not wanted any more.
            rows_max: of a table; 0 for as many as fit into about 32 MiB.

        Raises DatabaseError if the area is not there any more: another process has taken over.
        """
        conditions = [] if partition_ordinal is None else [f"{PARTITION} = {partition_ordinal}"]
        for name, text in (where or {}).items():
            own = identifier(name)
            conditions.append(f"isNull({own})" if text is None else f"toString({own}) = {literal(text)}")
        wanted = "".join(f"({each}) AND " for each in conditions)
        limit, schema = rows_max or self._rows_of_a_block(self._staging), self.delivered_schema
        last = after
        while True:
            found = self.table.statements.arrow(
                f"SELECT {delivered.selected(self.columns)}, {ROW_ID} FROM {self._staging} "
                f"WHERE {wanted}{ROW_ID} > {last} ORDER BY {ROW_ID} LIMIT {limit}"
            )
            if found.num_rows:
                last = found[ROW_ID][-1].as_py()
                yield delivered.typed(found, schema)
            if found.num_rows < limit:
                return

    def _rows_of_a_block(self, name: str) -> int:
        (rows, size), *_ = self.table.statements.ask(
            f"SELECT sum(rows), sum(data_uncompressed_bytes) FROM system.parts WHERE active "
            f"AND database = {literal(DATABASE)} AND table = {literal(bare(name))}"
        )
        return max(1, min(BLOCK_ROWS_MAX, int(BLOCK_BYTES * int(rows or 1) / max(1, int(size or 0)))))

    def fingerprint(self, rows: pa.Table, columns: Columns) -> Fingerprint:
        """Of rows that were handed over and read back, hashed anew by the engine as it hashed them when they came.

        Args:
            rows: in the types in which they are handed over.
            columns: name and ClickHouse type of each.
        """
        if not rows.num_rows:
            return Fingerprint()
        with shared_arrow_file(rows.select([name for name, _ in columns])) as path:
            count, total = self.table.statements.ask(delivered.hashed(columns, path))[0]
        return Fingerprint(int(count), int(total))

    def fence(self, run: int) -> None:
        """Takes the area of a run out of the reach of a process that may still be at it, and stops what that does."""
        table = self.table
        table.statements.stop(run)
        for area in table.companions("staging", run=run)[:1]:
            if not table.companions("fenced", run=run):
                table.statements.do(f"RENAME TABLE {table.names.quoted(area.name)} TO {table.names.fenced(run)}")
        failpoint("settle.after_fence")

    def close(self) -> None:
        """Gives the connection back; the rows stay."""
        self.table.close()

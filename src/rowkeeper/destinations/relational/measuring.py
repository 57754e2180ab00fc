"""The staged rows asked, before they are published. Everything here only reads."""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rowkeeper.batch import ROW_ID
from rowkeeper.destinations.relational import layout
from rowkeeper.destinations.relational.asking import Relation
from rowkeeper.destinations.relational.dialect import Columns, Cursor
from rowkeeper.destinations.relational.duplicates import find_losers, kept, removals
from rowkeeper.destinations.relational.names import identifier
from rowkeeper.destinations.relational.staging import bare
from rowkeeper.destinations.relational.statements import rows_of
from rowkeeper.errors import DeclarationError, DestinationRefused
from rowkeeper.measures import (
    Count,
    Figure,
    Matches,
    Measure,
    Question,
    Repeated,
    Returned,
    RowSet,
    Tally,
    TotalElsewhere,
    Unreferenced,
)
from rowkeeper.nearest import did_you_mean
from rowkeeper.protocols import Change

if TYPE_CHECKING:
    from rowkeeper.destinations.relational.session import DatabaseSession


class StagedRows:
    """Implements `measures.StagedTable` for a staging area."""

    def __init__(self, table: DatabaseSession, relation: Relation) -> None:
        self._table = table
        self._relation = relation

    @property
    def columns(self) -> Columns:
        """The contract columns."""
        return self._relation.columns

    def measure(self, measures: Sequence[Measure]) -> tuple[Any, ...]:
        """One SELECT with all aggregates."""
        texts: list[str] = []
        for asked in measures:
            texts += (
                self._relation.tally(asked.condition) if isinstance(asked, Tally) else [self._relation.figure(asked)]
            )
        if not texts:
            return ()
        row = iter(self._ask(self._relation.select(", ".join(texts)))[0])
        return tuple(
            Count(int(next(row) or 0), int(next(row) or 0))
            if isinstance(asked, Tally)
            else self._figured(asked, next(row))
            for asked in measures
        )

    def _figured(self, asked: Figure, value: Any) -> Any:
        if value is None or asked.kind in ("rows", "nulls", "mean"):
            return value
        if asked.kind == "sum":
            return _number(value)
        return self._table.dialect.decoded(value, self._relation.kinds.get(asked.column, ""))

    def count(self, rows: RowSet) -> Count:
        """One statement for the rows that can be judged, and one for those that are in the set."""
        if isinstance(rows, Returned):
            found = self._one(f"SELECT count(*) FROM ({self._relation.named(rows.query)}\n) AS found")
            return Count(self._one(self._relation.select("count(*)")), found)
        judged = self._one(self._relation.select("count(*)", self._relation.judged_of(rows)))
        return Count(judged, self._one(self._relation.select("count(*)", self._relation.offending_of(rows))))

    def sample(self, rows: RowSet, limit: int) -> list[Mapping[str, Any]]:
        """The first that are found."""
        if isinstance(rows, Returned):
            return self._rows(f"SELECT * FROM ({self._relation.named(rows.query)}\n) AS found LIMIT {limit}")
        names = ", ".join([ROW_ID, *(identifier(name) for name, _ in self.columns)])
        order = ", ".join(map(identifier, rows.columns)) if isinstance(rows, Repeated) else ROW_ID
        condition = self._relation.offending_of(rows)
        return self._rows(f"{self._relation.select(names, condition)} ORDER BY {order} LIMIT {limit}")

    def total_elsewhere(self, total: TotalElsewhere) -> Any:
        """The sum of another table's column."""
        kind = _columns_elsewhere(self._table, total.table).get(total.column, "")
        value = self._ask(self._relation.total_elsewhere(total, kind))[0][0]
        return None if value is None else _number(value)

    def blocks(self, columns: Sequence[str], rows_max: int) -> Iterator[pa.Table]:
        """In the order of the rows' addresses, each block from where the former one ended."""
        last = -1
        while True:
            picked = f"{ROW_ID}, {self._plain(columns)}"
            sql = self._relation.select(picked, f"{ROW_ID} > {last}") + f" ORDER BY {ROW_ID} LIMIT {rows_max}"
            found = self._ask(sql)
            if found:
                last = int(found[-1][0])
                yield self._table_of([ROW_ID, *columns], found)
            if len(found) < rows_max:
                return

    def spread(self, columns: Sequence[str], rows_max: int, text_characters_max: int) -> pa.Table:
        """Every row whose hashed address falls to us."""
        share = math.ceil(self._one(self._relation.select("count(*)")) / rows_max)
        some = f"{self._table.dialect.spread(ROW_ID)} % {share} = 0" if share > 1 else "1 = 1"
        picked = self._plain(columns, text_characters_max)
        return self._table_of(columns, self._ask(self._relation.select(picked, some)))

    def _plain(self, columns: Sequence[str], characters_max: int | None = None) -> str:
        kinds = self._relation.kinds
        return ", ".join(self._table.dialect.plain(name, kinds[name], characters_max) for name in columns)

    def _table_of(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.Table:
        return arrow_of(self._table, {**self._relation.kinds, ROW_ID: ""}, columns, rows)

    def _ask(self, sql: str) -> list[Any]:
        return self._table.statements.read(lambda cursor: rows_of(cursor, sql))

    def _one(self, sql: str) -> int:
        return int(self._ask(sql)[0][0] or 0)

    def _rows(self, sql: str) -> list[Mapping[str, Any]]:
        def work(cursor: Any) -> list[Mapping[str, Any]]:
            rows = rows_of(cursor, sql)
            names = [str(each[0]) for each in cursor.description or ()]
            kinds = self._relation.kinds
            return [
                {
                    name: self._table.dialect.decoded(value, kinds.get(name, ""))
                    for name, value in zip(names, row, strict=True)
                    if name not in self._table.dialect.hidden or name == ROW_ID
                }
                for row in rows
            ]

        return self._table.statements.read(work)


def arrow_of(
    table: DatabaseSession, kinds: Mapping[str, str], columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> pa.Table:
    """Rows as the driver gives them, as Arrow."""
    arrays = {}
    for place, name in enumerate(columns):
        kind = kinds[name]
        wanted = pa.int64() if name == ROW_ID else table.dialect.arrow_type(kind)
        values = [table.dialect.decoded(row[place], kind) for row in rows]
        if wanted == pa.string():
            values = [None if each is None else str(each) for each in values]
        arrays[name] = pa.array(values, wanted)
    return pa.table(arrays)


def _number(value: Any) -> Any:
    """A sum: whole numbers as such."""
    exact = decimal.Decimal(value) if isinstance(value, str) else value
    is_whole = isinstance(exact, decimal.Decimal) and int(exact.as_tuple().exponent) >= 0
    return int(exact) if is_whole else exact


def staged_rows(table: DatabaseSession, change: Change) -> StagedRows:
    """The rows of the open staging area, without those that the seal will leave out as duplicates."""
    find_losers(table, change)
    names = table.names
    going = " OR ".join(f"({each})" for each in removals(table, change))
    relation = Relation(
        table.dialect,
        names.staging(table.run, table.token),
        kept(table, "staged"),
        table.columns,
        names.schema,
        names.live,
        f"NOT ({going})" if going else "1 = 1",
    )
    return StagedRows(table, relation)


class Rehearsal:
    """Implements `measures.Rehearsal`: the database analyses each question over a table without rows."""

    def __init__(self, table: DatabaseSession, columns: Columns) -> None:
        dialect, names = table.dialect, table.names
        nulls = ", ".join(f"{dialect.nothing(kind)} AS {identifier(name)}" for name, kind in columns)
        source = f"(SELECT {nulls}, 0 AS {ROW_ID} WHERE 1 = 0)"
        self._table = table
        self._relation = Relation(dialect, source, "1 = 1", columns, names.schema, names.live, "1 = 1")

    def empty(self, columns: Sequence[str]) -> pa.Table:
        """No rows, in the types in which blocks come."""
        return arrow_of(self._table, self._relation.kinds, columns, [])

    def try_out(self, question: Question) -> None:
        """Raises DeclarationError if the question cannot be answered."""
        if isinstance(question, (Unreferenced, TotalElsewhere)):
            other = question.other if isinstance(question, Unreferenced) else question.column
            _check_elsewhere(self._table, question.table, other)
        self._check_time(question)
        if isinstance(question, Tally) and isinstance(question.condition, Matches):
            self._check_pattern(question.condition.pattern)
        sql = self._table.dialect.explain(self._sql(question))
        try:
            self._table.statements.read(lambda cursor: rows_of(cursor, sql))
        except DestinationRefused as error:
            said = self._table.dialect.said_of_typed(error.__cause__ or error)
            raise DeclarationError(f"the database says: {said}", hint="correct the gate") from error

    def _check_pattern(self, pattern: str) -> None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise DeclarationError(f"the pattern is none: {error}", hint="correct the gate") from None

    def _check_time(self, question: Question) -> None:
        if isinstance(question, Figure) and question.kind == "newest":
            kind = self._relation.kinds[question.column]
            if not self._table.dialect.is_time(kind):
                raise DeclarationError(
                    f"the column {question.column} is {kind}, and no date or time", hint="name the events' time"
                )

    def _sql(self, question: Question) -> str:
        relation = self._relation
        match question:
            case Figure():
                return relation.select(relation.figure(question))
            case Tally(condition):
                return relation.select(", ".join(relation.tally(condition)))
            case Returned(query):
                return f"SELECT count(*) FROM ({relation.named(query)}\n) AS found"
            case TotalElsewhere():
                kind = _columns_elsewhere(self._table, question.table).get(question.column, "")
                return relation.total_elsewhere(question, kind)
            case _:
                return relation.select("count(*)", relation.offending_of(question))


def _columns_elsewhere(table: DatabaseSession, name: str) -> dict[str, str]:
    schema, _, bare = name.rpartition(".")
    return dict(
        table.statements.read(
            lambda cursor: layout.shown(table.dialect.columns_of(cursor, schema or table.names.schema, bare))
        )
    )


def _check_elsewhere(table: DatabaseSession, name: str, column: str) -> None:
    """Raises DeclarationError, with what it may have been meant to be, if there is no such table or column."""
    columns = _columns_elsewhere(table, name)
    if not columns:
        schema = name.rpartition(".")[0] or table.names.schema
        there = table.statements.read(lambda cursor: table.dialect.tables(cursor, schema))
        known = [each for each in there if not each.startswith(("_rk_", "_rowkeeper_"))]
        raise DeclarationError(
            f"there is no table {name} in the schema {schema}",
            hint=did_you_mean(name.rpartition(".")[2], known, "load it first"),
        )
    if column not in columns:
        raise DeclarationError(
            f"the table {name} has no column {column}",
            hint=did_you_mean(column, list(columns), "it has " + ", ".join(columns)),
        )


def peek(table: DatabaseSession, cursor: Cursor, name: str, limit: int) -> tuple[Columns, list[tuple[Any, ...]]] | None:
    """Some rows of a staging area, and their columns; None if it is not there."""
    if not layout.exists(table, cursor, bare(name)):
        return None
    columns = layout.table_columns(table, cursor, bare(name))
    names = ", ".join(identifier(column) for column, _ in columns)
    rows = rows_of(cursor, f"SELECT {names} FROM {name} ORDER BY {ROW_ID} LIMIT {limit:d}")
    kinds = [kind for _, kind in columns]
    return columns, [
        tuple(table.dialect.decoded(value, kind) for value, kind in zip(row, kinds, strict=True)) for row in rows
    ]

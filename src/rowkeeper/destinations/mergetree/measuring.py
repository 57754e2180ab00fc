"""The staged rows asked, before they are published. Everything here only reads."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rowkeeper.batch import ROW_ID
from rowkeeper.destinations.embedded.reading import said
from rowkeeper.destinations.mergetree import asking
from rowkeeper.destinations.mergetree.asking import Relation
from rowkeeper.destinations.mergetree.duplicates import SLICE_ROWS, find_losers, removals
from rowkeeper.destinations.mergetree.layout import Columns, columns_of
from rowkeeper.destinations.mergetree.names import bare
from rowkeeper.destinations.mergetree.types import identifier, literal
from rowkeeper.errors import DatabaseError, DeclarationError, EngineDied
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
from rowkeeper.protocols import Change

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession

BYTES_IN_MEMORY = 512 * 1024**2  # what a GROUP BY takes before it goes to disk
SETTINGS = f"SETTINGS max_bytes_before_external_group_by = {BYTES_IN_MEMORY}"


class StagedRows:
    """Implements `measures.StagedTable` for a staging area."""

    def __init__(self, table: TableSession, relation: Relation) -> None:
        self._table = table
        self._relation = relation

    @property
    def columns(self) -> Columns:
        """The contract columns."""
        return self._relation.columns

    def measure(self, measures: Sequence[Measure]) -> tuple[Any, ...]:
        """One SELECT with all aggregates."""
        kinds = dict(self.columns)
        texts: list[str] = []
        for asked in measures:
            texts += _aggregates(asked, kinds)
        if not texts:
            return ()
        row = iter(self._ask(self._relation.select(", ".join(texts)))[0])
        return tuple(
            Count(int(next(row)), int(next(row))) if isinstance(asked, Tally) else next(row) for asked in measures
        )

    def count(self, rows: RowSet) -> Count:
        """One statement for the rows that can be judged, and one for each slice of those that are in the set."""
        if isinstance(rows, Returned):
            found = self._number(f"SELECT count() FROM ({self._relation.named(rows.query)}\n)")
            return Count(self._number(self._relation.select("count()")), found)
        judged = self._number(self._relation.select("count()", asking.judged_of(rows)))
        conditions = (asking.offending_of(rows, self._relation, piece) for piece in self._pieces(rows, judged))
        return Count(judged, sum(self._number(self._relation.select("count()", each)) for each in conditions))

    def sample(self, rows: RowSet, limit: int) -> list[Mapping[str, Any]]:
        """The first that are found."""
        if isinstance(rows, Returned):
            return self._rows(f"SELECT * FROM ({self._relation.named(rows.query)}\n) LIMIT {limit}")
        names = ", ".join([ROW_ID, *(identifier(name) for name, _ in self.columns)])
        found: list[Mapping[str, Any]] = []
        for piece in self._pieces(rows, self._number(self._relation.select("count()"))):
            condition = asking.offending_of(rows, self._relation, piece)
            order = "" if not isinstance(rows, Repeated) else " ORDER BY " + ", ".join(map(identifier, rows.columns))
            found += self._rows(f"{self._relation.select(names, condition)}{order} LIMIT {limit - len(found)}")
            if len(found) == limit:
                break
        return found

    def total_elsewhere(self, total: TotalElsewhere) -> Any:
        """The sum of another table's column."""
        kind = _columns_elsewhere(self._table, total.table).get(total.column, "")
        return self._ask(asking.total_elsewhere(total, self._relation.database, kind))[0][0]

    def blocks(self, columns: Sequence[str], rows_max: int) -> Iterator[pa.Table]:
        """In the order of the rows' addresses, each block from where the former one ended."""
        names = self._plain([*columns])
        last = -1
        while True:
            rows = self._table.statements.arrow(
                self._relation.select(f"{ROW_ID}, {names}", f"{ROW_ID} > {last}")
                + f" ORDER BY {ROW_ID} LIMIT {rows_max} {SETTINGS}"
            )
            if rows.num_rows:
                last = rows[ROW_ID][-1].as_py()
                yield rows
            if rows.num_rows < rows_max:
                return

    def spread(self, columns: Sequence[str], rows_max: int, text_characters_max: int) -> pa.Table:
        """Every row whose hashed address falls to us."""
        share = math.ceil(self._number(self._relation.select("count()")) / rows_max)
        some = f"intHash64({ROW_ID}) % {share} = 0" if share > 1 else "1"
        found = self._table.statements.arrow(self._relation.select(self._plain(columns, text_characters_max), some))
        return found.combine_chunks()  # it comes in a piece for every 8,192 rows that were read, however few are in it

    def _plain(self, columns: Sequence[str], text_characters_max: int | None = None) -> str:
        kinds = dict(self.columns)
        return ", ".join(asking.plain(name, kinds[name], text_characters_max) for name in columns)

    def _pieces(self, rows: RowSet, judged: int) -> list[str]:
        """Keys in memory at a time are bounded, as they are where duplicates are looked for."""
        count = math.ceil(judged / SLICE_ROWS)
        if not isinstance(rows, Repeated) or count <= 1:
            return ["1"]
        key = ", ".join(identifier(name) for name in rows.columns)
        return [f"cityHash64({key}) % {count} = {number}" for number in range(count)]

    def _ask(self, sql: str) -> Sequence[Sequence[Any]]:
        return self._table.statements.ask_named(f"{sql} {SETTINGS}")[1]

    def _number(self, sql: str) -> int:
        return int(self._ask(sql)[0][0])

    def _rows(self, sql: str) -> list[Mapping[str, Any]]:
        names, rows = self._table.statements.ask_named(f"{sql} {SETTINGS}")
        return [dict(zip(names, row, strict=True)) for row in rows]


def _aggregates(asked: Measure, kinds: Mapping[str, str]) -> tuple[str, ...]:
    if isinstance(asked, Tally):
        return asking.tally(asked.condition)
    return (asking.figure(asked, kinds.get(asked.column, "")),)


def staged_rows(table: TableSession, change: Change) -> StagedRows:
    """The rows of the open staging area, without those that the seal will take out as duplicates."""
    name = table.names.staging(table.run, table.token)
    where = "1"
    if table.destination.key and find_losers(table, change):
        where = f"{ROW_ID} NOT IN (SELECT {ROW_ID} FROM {table.names.losers(table.run, table.token)})"
    going = " OR ".join(f"({each})" for each in removals(table, change))
    stays = f"NOT ({going})" if going else "1"
    relation = Relation(name, where, table.columns, table.database_of_others, table.names.live, stays)
    return StagedRows(table, relation)


def staged_relation(table: TableSession, run: int, token: int) -> str | None:
    """What stands for a run's staged rows after FROM, for typed SQL; None if they are not there.

    Its duplicates are left out where the gates have looked for them.
    """
    there = {each.name for each in table.companions("staging", "losers", run=run)}
    name, losers = table.names.staging(run, token), table.names.losers(run, token)
    if bare(name) not in there:
        return None
    where = f"{ROW_ID} NOT IN (SELECT {ROW_ID} FROM {losers})" if bare(losers) in there else "1"
    return Relation(name, where, (), table.database_of_others, table.names.live, "1").source_as_table


class Rehearsal:
    """Implements `measures.Rehearsal`: ClickHouse analyses each question over a table without rows."""

    def __init__(self, table: TableSession, columns: Columns) -> None:
        structure = ", ".join(f"{identifier(name)} {kind}" for name, kind in (*columns, (ROW_ID, "UInt64")))
        self._table = table
        self._relation = Relation(
            f"null({literal(structure)})", "1", columns, table.database_of_others, table.names.live, "1"
        )

    def empty(self, columns: Sequence[str]) -> pa.Table:
        """No rows, in the types in which blocks come."""
        kinds = dict(self._relation.columns)
        return self._table.statements.arrow(
            self._relation.select(", ".join(asking.plain(name, kinds[name]) for name in columns))
        )

    def try_out(self, question: Question) -> None:
        """Raises DeclarationError, with what ClickHouse says, if the question cannot be answered."""
        if isinstance(question, (Unreferenced, TotalElsewhere)):
            _check_elsewhere(self._table, question.table, self._column_elsewhere(question))
        self._check_time(question)
        try:
            self._table.statements.ask(f"EXPLAIN {self._sql(question)}")
            if isinstance(question, Tally) and isinstance(question.condition, Matches):
                self._table.statements.ask(f"SELECT match('', {literal(question.condition.pattern)})")
        except EngineDied:
            raise
        except DatabaseError as error:
            words = _in_short(said(error.__cause__ or error))
            raise DeclarationError(f"ClickHouse says: {words}", hint="correct the gate") from error

    def _check_time(self, question: Question) -> None:
        if isinstance(question, Figure) and question.kind == "newest":
            kind = dict(self._relation.columns)[question.column]
            if not asking.bare_type(kind).startswith("Date"):
                raise DeclarationError(
                    f"the column {question.column} is {kind}, and no date or time", hint="name the events' time"
                )

    def _sql(self, question: Question) -> str:
        relation, kinds = self._relation, dict(self._relation.columns)
        match question:
            case Figure() | Tally():
                return relation.select(", ".join(_aggregates(question, kinds)))
            case Returned(query):
                return f"SELECT count() FROM ({relation.named(query)}\n)"
            case TotalElsewhere():
                return asking.total_elsewhere(question, relation.database, "")
            case _:
                return relation.select("count()", asking.offending_of(question, relation, "1"))

    @staticmethod
    def _column_elsewhere(question: Unreferenced | TotalElsewhere) -> str:
        return question.other if isinstance(question, Unreferenced) else question.column


def _in_short(words: str) -> str:
    """What ClickHouse says, without what is of our making: positions in our SQL, and its scope."""
    syntax = re.match(r"Syntax error: failed at position \d+ \((.*?)\) \(line", words)
    if syntax is not None:
        return f"Syntax error at {syntax[1]}"
    for end in (": In scope ", ": while ", ". Look at "):
        words = words.split(end, maxsplit=1)[0]
    return words.replace("__table1.", "")


def _columns_elsewhere(table: TableSession, name: str) -> dict[str, str]:
    database, _, bare_name = name.rpartition(".")
    return dict(columns_of(table.statements, database or table.database_of_others, bare_name))


def _check_elsewhere(table: TableSession, name: str, column: str) -> None:
    """Raises DeclarationError, with what it may have been meant to be, if there is no such table or column."""
    columns = _columns_elsewhere(table, name)
    if not columns:
        database = name.rpartition(".")[0] or table.database_of_others
        rows = table.statements.ask(
            f"SELECT name FROM system.tables WHERE database = {literal(database)} AND position(name, '__rk_') = 0"
        )
        raise DeclarationError(
            f"there is no table {name} in the database {database}",
            hint=_meant(name.rpartition(".")[2], [str(each) for (each,) in rows], "load it first"),
        )
    if column not in columns:
        raise DeclarationError(
            f"the table {name} has no column {column}",
            hint=_meant(column, list(columns), "it has " + ", ".join(columns)),
        )


def _meant(name: str, known: Sequence[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else otherwise

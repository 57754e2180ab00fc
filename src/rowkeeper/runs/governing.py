"""A query of somebody whom permissions govern, step by step; what each proves is told in `rowkeeper.access.sql`."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rowkeeper.access import Column, TableView
from rowkeeper.access import sql as governing
from rowkeeper.access.sql import ColumnType, Rewritten, SeenTable, text
from rowkeeper.caller import current_caller
from rowkeeper.errors import (
    ColumnRefused,
    DatabaseError,
    EngineDied,
    EngineMemory,
    FrameworkError,
    QueryDiffers,
    QueryFailed,
    QueryRefused,
    TableRefused,
)
from rowkeeper.ledger.audit import Event, Outcome
from rowkeeper.runs.access import note_query
from rowkeeper.runs.columnfacts import columns_of_table
from rowkeeper.runs.workspace import Workspace

RESULT_BYTES_MAX = 256 * 1024**2
SETTINGS: Mapping[str, int | str] = {"enable_analyzer": 1, "prefer_column_name_to_alias": 0}
REFUSALS = (QueryRefused, TableRefused, ColumnRefused, QueryDiffers)
QUOTED = re.compile(r"[`'\"]([^`'\"]+)[`'\"]")
UNKNOWN = {"UNKNOWN_IDENTIFIER": "column", "UNKNOWN_TABLE": "table", "UNKNOWN_FUNCTION": "function"}

Rows = tuple[tuple[Any, ...], ...]


class Answer(Protocol):
    """What the engine says."""

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """(name, ClickHouse type) of each."""

    @property
    def rows(self) -> Rows:
        """JSON-safe values."""


class Reader(Protocol):
    """A connection to the engine that can only read."""

    def ask(self, sql: str, settings: Mapping[str, int | str]) -> Answer:
        """Runs one statement. Raises DatabaseError."""

    def explain(self, how: str, sql: str, settings: Mapping[str, int | str]) -> str:
        """What the engine makes of a statement, a line for each node. Raises DatabaseError."""


class Governed:
    """One query.

    Args:
        sql: as it was typed.
    """

    def __init__(self, space: Workspace, reader: Reader, sql: str) -> None:
        self._space = space
        self._reader = reader
        self._sql = sql
        self._typed: frozenset[str] = frozenset()

    def permitted(self) -> Rewritten:
        """The query as it may be run, noted in the audit trail.

        Raises QueryRefused, TableRefused, ColumnRefused, QueryDiffers, each noted too.
        """
        with self._noting_refusals():
            tree = governing.parse(self._canonical())
            self._typed = governing.names_of(tree)
            tables = {each: self._seen(*each) for each in governing.tables_of(tree)}
            self._check_ctes(governing.cte_names(tree))
            query = governing.rewrite(tree, tables, secrets.token_hex(8))
            governing.prove_text(self._syntax(query), query)
        note_query(self._space, self._sql, tables=sorted({each.name for each in tables.values()}))
        with self._noting_refusals(), self._telling(query):
            # The analyser evaluates subqueries of one value, so that this comes after the note.
            governing.prove_reads(self._reader.explain("QUERY TREE passes = 1", query.text, SETTINGS), query)
        return query

    def answer(self, query: Rewritten, rows_max: int | None) -> tuple[tuple[tuple[str, str], ...], Rows]:
        """Columns and rows, of which there may be one more than asked for. Raises QueryFailed, EngineMemory."""
        limits: dict[str, int | str] = {"max_result_bytes": RESULT_BYTES_MAX, "result_overflow_mode": "throw"}
        if rows_max is not None:
            limits["limit"] = rows_max + 1
        with self._telling(query):
            found = self._reader.ask(query.text, {**SETTINGS, **limits})
        return found.columns, found.rows

    @contextmanager
    def _noting_refusals(self) -> Iterator[None]:
        """A refusal is in the audit trail before it is told."""
        try:
            yield
        except REFUSALS as error:
            digest = hashlib.sha256(self._sql.encode()).hexdigest()
            event = Event("data.query", {"sql_sha256": digest}, outcome=Outcome.REFUSED, detail={"error": error.code})
            self._space.ledger.audit.record(event)
            raise

    @contextmanager
    def _telling(self, query: Rewritten) -> Iterator[None]:
        """What the engine could not do, by its name alone: its sentences quote values."""
        try:
            yield
        except (EngineDied, EngineMemory):
            raise
        except DatabaseError as error:
            raise self._told(error, query) from None

    def _told(self, error: DatabaseError, query: Rewritten) -> FrameworkError:
        name = str(error.context.get("clickhouse", "an error without a name"))
        # Of ClickHouse's sentence, names that stand in the SQL as it was typed, and nothing else.
        said = {word for text in QUOTED.findall(str(error.__cause__)) for word in (text, *text.split("."))}
        about = sorted(said & self._typed) if name in UNKNOWN else []
        for table in query.tables:
            hidden = [word for word in about if word in {each.name for each in table.columns} - table.names]
            if hidden:
                return ColumnRefused(
                    f"the column {hidden[0]} of {table.name} is not shown to you",
                    hint=f"SELECT * FROM {table.table} has what you may see",
                )
        what = f": the {UNKNOWN[name]} {about[0]}" if about else ""
        return QueryFailed(
            f"ClickHouse could not carry out the SQL: {name}{what}",
            hint="correct the SQL; a masked column is null in every row, and rowkeeper errors RK-6099 says more",
        )

    def _canonical(self) -> str:
        """The SQL as the engine's own parser writes it."""
        if not self._sql.strip().rstrip(";"):
            raise QueryRefused("there is no SQL to run", hint='rowkeeper query "SELECT * FROM TABLE LIMIT 5"')
        unread = QueryRefused("it is no single statement of SQL that ClickHouse can read", hint="correct the SQL")
        return canonical(self._reader, self._sql, unread)

    def _syntax(self, query: Rewritten) -> str:
        try:
            return self._reader.explain("AST", query.text, SETTINGS)
        except (EngineDied, EngineMemory):
            raise
        except DatabaseError as error:  # what the guard of the read-only connection has found
            raise QueryDiffers(
                "the engine does not take the SQL for one that only reads tables, so nothing was read",
                hint="ask in simpler words",
            ) from error

    def _seen(self, database: str, table: str) -> SeenTable:
        """What the caller may see of a table. Raises TableRefused, in the same words for one that is not there."""
        name = f"{database}.{table}"
        facts = columns_of_table(self._space.ledger, name)
        view = self._space.access.view(name, facts) if facts else None
        seen = None if view is None else seen_table(self._reader, view, facts)
        if seen is not None and seen.names:
            return seen
        raise TableRefused(
            f"there is no table {name} that you may see" + self._for(),
            hint="a role or a grant lets see a table, some of them for a purpose alone: --purpose PURPOSE",
        )

    @staticmethod
    def _for() -> str:
        purpose = current_caller().purpose
        return f" for the purpose {purpose}" if purpose else ""

    def _check_ctes(self, names: frozenset[str]) -> None:
        """A subquery that the query gives a name to must not have that of a table, of whatever kind."""
        if not names:
            return
        listed = ", ".join(map(text, sorted(names)))
        found = self._reader.ask(f"SELECT name FROM system.tables WHERE name IN ({listed})", SETTINGS)
        for (name,) in found.rows:
            raise TableRefused(
                f"WITH gives a subquery the name {name}, which is not to be told from a table's",
                hint="give the subquery a name of its own",
            )


def canonical(reader: Reader, sql: str, unread: QueryRefused) -> str:
    """One statement as the engine's own parser writes it. Raises `unread` where it cannot."""
    try:
        found = reader.ask(f"SELECT formatQuerySingleLine({text(sql)})", SETTINGS)
    except (EngineDied, EngineMemory):
        raise
    except DatabaseError as error:
        raise unread from error
    return str(found.rows[0][0]).strip()


def seen_table(reader: Reader, view: TableView, facts: Sequence[Column]) -> SeenTable | None:
    """A table as it is seen; None if the engine has none of this name that rows can be kept in.

    Columns that no run filled are left out, and so are those that are derived from others.
    """
    database, _, table = view.table.partition(".")
    filled = {column.name for column in facts}
    found = reader.ask(
        "SELECT name, type, is_in_sorting_key OR is_in_partition_key FROM system.columns WHERE default_kind = '' "
        f"AND database = {text(database)} AND table = {text(table)} AND (database, table) IN "
        "(SELECT database, name FROM system.tables WHERE engine LIKE '%MergeTree') ORDER BY position",
        SETTINGS,
    )
    columns = tuple(ColumnType(str(row[0]), str(row[1]), bool(row[2])) for row in found.rows if row[0] in filled)
    if not columns:
        return None
    if view.row_filter is not None:
        condition = canonical(reader, f"SELECT {view.row_filter}", governing.filter_unusable())
        view = dataclasses.replace(view, row_filter=condition)
    return SeenTable(database, table, columns, view)

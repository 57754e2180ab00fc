"""SQL that somebody types: what they may see of each table is asked, the SQL is rewritten to it, noted, and run.

The owner of the state folder, at its machine, sees what the tables hold, and types what ClickHouse understands. Whoever
else asks, by the server or by an account, is governed: see `rowkeeper.access.sql`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rowkeeper.access import OwnerOnly, of_installation
from rowkeeper.caller import acting, current_caller
from rowkeeper.destinations import read_client
from rowkeeper.runs.access import note_query
from rowkeeper.runs.workspace import Workspace

ROWS_MAX = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class QueryAnswer:
    """What a query returns.

    Attributes:
        columns: (name, ClickHouse type) of each.
        rows: JSON-safe values.
        cut: there were more rows than were asked for.
        masked: the columns (`database.table.column`) of the tables in the query that the caller sees masked.
    """

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Any, ...], ...]
    cut: bool = False
    masked: tuple[str, ...] = ()


def run_query(
    space: Workspace, sql: str, *, purpose: str | None = None, rows_max: int | None = ROWS_MAX
) -> QueryAnswer:
    """Runs one statement that reads, on behalf of the current caller.

    Args:
        purpose: what for, in one word; part of what is decided, and in the audit trail. The caller's own if None.
        rows_max: how many rows at most; None for all.

    Raises:
        QueryRefused: it has something in it that cannot be shown to be safe, or is no SQL.
        TableRefused, ColumnRefused: the caller may not see it.
        QueryDiffers: the engine reads something else in it than what was permitted.
        QueryFailed: the engine could not carry it out.
        QueryError: the same, for the owner of the state folder, in ClickHouse's own words.
        EngineMemory, DeadlineExceeded: it needed too much memory or time.
    """
    with _for(purpose), read_client(space.site) as client:
        if is_owner(space):
            note_query(space, sql)
            found = client.query(sql)
            return _cut(QueryAnswer(found.columns, found.rows), rows_max)
        from rowkeeper.runs.governing import Governed  # noqa: PLC0415 - its library is an extra, and takes its time

        governed = Governed(space, client, sql)
        query = governed.permitted()
        columns, rows = governed.answer(query, rows_max)
        masked = tuple(f"{table.name}.{name}" for table in query.tables for name in table.masked)
        return _cut(QueryAnswer(columns, rows, masked=masked), rows_max)


def _cut(answer: QueryAnswer, rows_max: int | None) -> QueryAnswer:
    if rows_max is None or len(answer.rows) <= rows_max:
        return answer
    return dataclasses.replace(answer, rows=answer.rows[:rows_max], cut=True)


def is_owner(space: Workspace) -> bool:
    """Whether whoever asks is the operating-system user to whom the state folder belongs, or root."""
    return OwnerOnly(space.folder.path).decide(current_caller(), "data.query", of_installation()).allowed


@contextmanager
def _for(purpose: str | None) -> Iterator[None]:
    """The caller, with a purpose of this one query."""
    caller = current_caller()
    with acting(caller if purpose is None else dataclasses.replace(caller, purpose=purpose)):
        yield

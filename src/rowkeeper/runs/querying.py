"""SQL that somebody types: what they may see of each table is asked, the SQL is rewritten to it, noted, and run."""

from __future__ import annotations

import dataclasses
from typing import Any

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
    """
    raise NotImplementedError

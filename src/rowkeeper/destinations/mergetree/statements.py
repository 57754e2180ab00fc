"""SQL on its way to the engine: each statement marked with its run, each failure in our words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from rowkeeper.destinations.embedded.client import time_limit
from rowkeeper.destinations.embedded.connection import EngineConnection
from rowkeeper.destinations.mergetree.types import literal
from rowkeeper.errors import DatabaseError
from rowkeeper.resilience.outcomes import Happened

# What these leave behind is the same however often they are said, so they may be said again if nobody answered.
REPEATABLE = re.compile(
    r"(DROP TABLE IF EXISTS|CREATE DATABASE IF NOT EXISTS|DELETE FROM|OPTIMIZE TABLE|KILL QUERY"
    r"|SYSTEM (START|STOP) MERGES|ALTER TABLE \S+ ADD COLUMN IF NOT EXISTS) "
)


def refused(error: DatabaseError) -> bool:
    """Whether the engine is there, has room, and would not do what it was told."""
    return "clickhouse" in error.context


class Statements:
    """Runs SQL for one table, marked so that a later process can find and stop what a dead one left running."""

    def __init__(self, engine: EngineConnection, table: str) -> None:
        self._engine = engine
        self._table = table
        self.run = 0

    def do(self, sql: str, happened: Callable[[], Happened[None] | None] | None = None) -> None:
        """Runs a statement that returns nothing.

        Args:
            happened: looks whether it took effect, should the engine go away meanwhile; None where nobody can tell.
        """
        if REPEATABLE.match(sql):
            self._engine.read(lambda client: client.command(sql, settings=self._marked()))
        else:
            self._engine.write(lambda client: _nothing(client.command(sql, settings=self._marked())), happened)

    def ask(self, sql: str) -> Sequence[Sequence[Any]]:
        """Runs a query and returns its rows."""
        return self._engine.read(lambda client: client.query(sql, settings=self._marked()).result_rows)

    def ask_named(self, sql: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Runs a query and returns its columns' names and its rows; times know their zone."""
        result = self._engine.read(lambda client: client.query(sql, settings=self._marked(), tz_mode="aware"))
        return result.column_names, result.result_rows

    def arrow(self, sql: str) -> pa.Table:
        """Runs a query and returns its rows as an Arrow table."""
        return self._engine.read(lambda client: client.query_arrow(sql, settings=self._marked(), use_strings=True))

    def number(self, sql: str) -> int:
        """The one number that a query returns."""
        return int(self.ask(sql)[0][0])

    def stop(self, run: int) -> None:
        """Stops what is still running for a run of this table, and waits until it has ended."""
        self.do(f"KILL QUERY WHERE Settings['log_comment'] = {literal(self._mark(run))} SYNC")

    def _marked(self) -> dict[str, Any]:
        """Its run; and what is left of the deadline, if there is one. Raises DeadlineExceeded if nothing is."""
        return {"log_comment": self._mark(self.run), **time_limit()}

    def _mark(self, run: int) -> str:
        return f"rowkeeper {self._table} run={run}"

    def close(self) -> None:
        """Gives the connection back."""
        self._engine.close()


def _nothing(_answer: object) -> None:
    """What a statement that changes something returns is of no interest."""

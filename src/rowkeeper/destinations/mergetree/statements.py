"""SQL on its way to the engine: each statement marked with its run, each failure in our words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from rowkeeper.destinations.embedded.client import time_limit
from rowkeeper.destinations.mergetree.ddl import Ddl
from rowkeeper.destinations.mergetree.engine import Engine
from rowkeeper.destinations.mergetree.types import literal
from rowkeeper.errors import DatabaseError
from rowkeeper.resilience.outcomes import Happened

# What these leave behind is the same however often they are said, so they may be said again if nobody answered.
REPEATABLE = re.compile(
    r"(DROP TABLE IF EXISTS|CREATE DATABASE IF NOT EXISTS|DELETE FROM|OPTIMIZE TABLE|KILL QUERY"
    r"|SYSTEM (START|STOP) MERGES|SYSTEM SYNC REPLICA|ALTER TABLE \S+ (ADD COLUMN IF NOT EXISTS|MODIFY SETTING)) "
)


def refused(error: DatabaseError) -> bool:
    """Whether the engine is there, has room, and would not do what it was told."""
    return "clickhouse" in error.context


class Statements:
    """Runs SQL for one table, marked so that a later process can find and stop what a dead one left running."""

    def __init__(self, engine: Engine, table: str) -> None:
        self.engine = engine
        self._table = table
        self.run = 0

    @cached_property
    def ddl(self) -> Ddl:
        """The statements that make and change the tables of the table's database."""
        return Ddl(self.engine.layout(self._table.rpartition("/")[2].partition(".")[0]))

    def do(
        self, sql: str, happened: Callable[[], Happened[None] | None] | None = None, data: bytes | None = None
    ) -> None:
        """Runs a statement that returns nothing.

        Args:
            data: what is sent with it, if it inserts.
            happened: looks whether it took effect, should the engine go away meanwhile; None where nobody can tell.
        """
        if REPEATABLE.match(sql):
            self.engine.read(lambda client: client.command(sql, settings=self._marked()))
        else:
            self.engine.write(
                lambda client: _nothing(client.command(sql, data=data, settings=self._marked())), happened
            )

    def ask(self, sql: str) -> Sequence[Sequence[Any]]:
        """Runs a query and returns its rows."""
        return self.engine.read(lambda client: client.query(sql, settings=self._marked()).result_rows)

    def ask_named(self, sql: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Runs a query and returns its columns' names and its rows; times know their zone."""
        result = self.engine.read(lambda client: client.query(sql, settings=self._marked(), tz_mode="aware"))
        return result.column_names, result.result_rows

    def arrow(self, sql: str) -> pa.Table:
        """Runs a query and returns its rows as an Arrow table."""
        return self.engine.read(lambda client: client.query_arrow(sql, settings=self._marked(), use_strings=True))

    def native(self, sql: str) -> bytes:
        """Runs a query and returns its rows in ClickHouse's own format, once all of them are there.

        The server has them whole before it begins to answer: one that fails in their midst cannot look like the end.
        """
        waiting = {**self._marked(), "wait_end_of_query": 1}
        return self.engine.read(lambda client: client.raw_query(sql, settings=waiting, fmt="Native"))

    def number(self, sql: str) -> int:
        """The one number that a query returns."""
        return int(self.ask(sql)[0][0])

    def stop(self, run: int) -> None:
        """Stops what is still running for a run of this table, and waits until it has ended."""
        self.do(self.ddl.kill(f"Settings['log_comment'] = {literal(self._mark(run))}"))

    def _marked(self) -> dict[str, Any]:
        """Its run; and what is left of the deadline, if there is one. Raises DeadlineExceeded if nothing is."""
        return {"log_comment": self._mark(self.run), **time_limit()}

    def _mark(self, run: int) -> str:
        return f"rowkeeper {self._table} run={run}"

    def close(self) -> None:
        """Gives the connection back."""
        self.engine.close()


def _nothing(_answer: object) -> None:
    """What a statement that changes something returns is of no interest."""

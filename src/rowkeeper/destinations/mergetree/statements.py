"""SQL on its way to the engine: each statement marked with its run, each failure in our words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import urllib3
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from rowkeeper.destinations.embedded.client import close, explain, time_limit
from rowkeeper.destinations.mergetree.types import literal
from rowkeeper.errors import DatabaseError


def refused(error: DatabaseError) -> bool:
    """Whether the engine is there, has room, and would not do what it was told."""
    return "clickhouse" in error.context


class Statements:
    """Runs SQL for one table, marked so that a later process can find and stop what a dead one left running."""

    def __init__(self, client: Client, table: str) -> None:
        self._client = client
        self._table = table
        self.run = 0

    def do(self, sql: str) -> None:
        """Runs a statement that returns nothing."""
        try:
            self._client.command(sql, settings=self._marked())
        except (OSError, urllib3.exceptions.HTTPError, ClickHouseError) as error:
            raise explain(error) from error

    def ask(self, sql: str) -> Sequence[Sequence[Any]]:
        """Runs a query and returns its rows."""
        try:
            return self._client.query(sql, settings=self._marked()).result_rows
        except (OSError, urllib3.exceptions.HTTPError, ClickHouseError) as error:
            raise explain(error) from error

    def ask_named(self, sql: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Runs a query and returns its columns' names and its rows; times know their zone."""
        try:
            result = self._client.query(sql, settings=self._marked(), tz_mode="aware")
        except (OSError, urllib3.exceptions.HTTPError, ClickHouseError) as error:
            raise explain(error) from error
        return result.column_names, result.result_rows

    def arrow(self, sql: str) -> pa.Table:
        """Runs a query and returns its rows as an Arrow table."""
        try:
            return self._client.query_arrow(sql, settings=self._marked(), use_strings=True)
        except (OSError, urllib3.exceptions.HTTPError, ClickHouseError) as error:
            raise explain(error) from error

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
        close(self._client)

"""SQL that people type, at a server: looked at as at the embedded engine, and run as a statement that only reads.

What the server's user may see is the server's own affair, and comes first; what is done here keeps typed SQL within the
tables, whatever that user may do besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clickhouse_connect.driver.client import Client

from rowkeeper.destinations.embedded.client import time_limit
from rowkeeper.destinations.embedded.guarding import Guard
from rowkeeper.destinations.embedded.reading import QueryResult, ReadClient
from rowkeeper.destinations.server.connection import ServerConnection
from rowkeeper.errors import DatabaseError, ServerUnauthorised
from rowkeeper.protocols import Site

READONLY_REFUSAL = "READONLY"
READONLY = 2  # nothing is changed, but for settings: a statement's limits are some


class Refused(Exception):  # noqa: N818 - reads as what it is
    """What is told of SQL that was looked at and not run, in the words that the embedded engine has for it."""


class ServerReadClient(ReadClient):
    """Implements what `ReadClient` does, of a server.

    Raises ServerUnauthorised for a user who may not set a statement's limits.
    """

    def __init__(self, engine: ServerConnection, site: Site) -> None:
        super().__init__(engine)
        self._seconds_max = site.query_seconds_max
        engine.read(lambda client: self._check_user(client, engine.server.user))
        self._database = engine.server.database
        self._guard = Guard(self._asked)

    @staticmethod
    def _check_user(client: Client, user: str) -> None:
        mode = client.server_settings.get("readonly")
        if mode is not None and mode.value == "1":
            raise ServerUnauthorised(
                f"the reading user {user} may not set the limits of a statement (readonly = 1)",
                hint=f"let it have readonly = {READONLY}, which writes nothing either",
            )

    def ask(self, sql: str, settings: Mapping[str, int | str]) -> QueryResult:
        """Runs one statement, after it was looked at."""
        self._check(sql)
        return super().ask(sql, {**settings, **self._limits()})

    def explain(self, how: str, sql: str, settings: Mapping[str, int | str]) -> str:
        """What the server makes of a statement, after it was looked at."""
        self._check(sql)
        return super().explain(how, sql, {**settings, **self._limits()})

    def _limits(self) -> dict[str, Any]:
        left = time_limit().get("max_execution_time", self._seconds_max)
        return {"readonly": READONLY, "max_execution_time": min(left, self._seconds_max)}

    def query(self, sql: str) -> QueryResult:
        """As at the embedded engine; tables without a database are in that of the server's URL."""
        self._engine.read(self._enter)
        return super().query(sql)

    def _enter(self, client: Client) -> None:
        """A database that is not there would be missed by every statement."""
        there = client.query(
            "SELECT count() FROM system.databases WHERE name = {name:String}", {"name": self._database}
        )
        client.database = self._database if there.result_rows[0][0] else None

    def _check(self, sql: str) -> None:
        why = self._guard.fault(sql, self._asked)
        if why:
            raise DatabaseError(
                f"it is not run at a server: {why}",
                hint="typed SQL only reads tables",
                context={"clickhouse": READONLY_REFUSAL},
            ) from Refused(f"DB::Exception: {why}. ({READONLY_REFUSAL})")

    def _asked(self, query: str, values: dict[str, str]) -> str:
        chosen = self._limits()
        answer = self._engine.read(
            lambda client: client.raw_query(query, parameters=values, settings=chosen, fmt="TSVRaw")
        )
        return answer.decode()

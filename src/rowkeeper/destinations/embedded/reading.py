"""`rowkeeper query`: SQL that people type, on a connection that can only read."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import ipaddress
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rowkeeper.destinations.embedded.client import time_limit
from rowkeeper.destinations.embedded.connection import EngineConnection
from rowkeeper.destinations.mergetree.engine import Engine
from rowkeeper.errors import DatabaseError, EngineDied, EngineMemory, QueryError
from rowkeeper.protocols import Site


@dataclasses.dataclass(frozen=True, slots=True)
class QueryResult:
    """What a query returns.

    Attributes:
        columns: (name, ClickHouse type) of each.
        rows: JSON-safe values.
    """

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Any, ...], ...]


class ReadClient:
    """Runs SQL read only."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def query(self, sql: str) -> QueryResult:
        """Runs one statement.

        Raises QueryError with ClickHouse's own words: who may type SQL may see the values in it. DeadlineExceeded if it
        was not done in time.
        """
        if not sql.strip().rstrip(";"):
            raise QueryError("there is no SQL to run", hint='rowkeeper query "SHOW TABLES" lists what there is')
        try:
            return self.ask(sql, {})
        except (EngineDied, EngineMemory):
            raise
        except DatabaseError as error:
            words = error.__cause__ or error
            raise QueryError(said(words), hint=_hint(str(words))) from words

    def ask(self, sql: str, settings: Mapping[str, int | str]) -> QueryResult:
        """Runs one statement for whoever may not see ClickHouse's own words.

        Args:
            settings: of `client.GOVERNING`, for this statement.

        Raises DatabaseError, EngineDied and EngineMemory, of which none quotes a value; DeadlineExceeded.
        """
        chosen = {**time_limit(), **settings}
        result = self._engine.read(lambda client: client.query(sql, tz_mode="aware", settings=chosen))
        columns = tuple((name, kind.name) for name, kind in zip(result.column_names, result.column_types, strict=True))
        return QueryResult(columns, tuple(tuple(_safe(value) for value in row) for row in result.result_rows))

    def explain(self, how: str, sql: str, settings: Mapping[str, int | str]) -> str:
        """What the engine makes of a statement: lines of text, their special characters escaped.

        Args:
            how: `AST`, or `QUERY TREE` with its options.

        Raises as `ask`.
        """
        chosen = {**time_limit(), **settings}
        # Without a FORMAT, which would be taken for a part of what is explained.
        answer = self._engine.read(lambda client: client.raw_query(f"EXPLAIN {how} {sql}", settings=chosen))
        return answer.decode()


@contextmanager
def embedded_read_client(site: Site) -> Iterator[ReadClient]:
    """A client of the embedded engine for typed SQL, closed when the block is left."""
    engine = EngineConnection(site, writes=False)
    try:
        yield ReadClient(engine)
    finally:
        engine.close()


def said(error: BaseException) -> str:
    """ClickHouse's sentence without the driver's frame around it."""
    text = str(error)
    start = text.find("DB::Exception: ")
    said = text[start + len("DB::Exception: ") :] if start >= 0 else text
    return said.strip().splitlines()[0].split(" (for url ")[0][:2000]


def _hint(text: str) -> str:
    if "READONLY" in text:
        return "typed SQL only reads, and only tables; rows come in by rowkeeper run"
    if "UNKNOWN_TABLE" in text:
        return 'rowkeeper query "SHOW TABLES" lists what there is'
    return "correct the SQL"


def _safe(value: Any) -> Any:
    """A value as JSON can hold it: exact numbers as text, times in ISO form."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): _safe(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_safe(each) for each in value]
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    assert isinstance(
        value, (decimal.Decimal, uuid.UUID, ipaddress.IPv4Address, ipaddress.IPv6Address, datetime.timedelta)
    ), type(value)
    return str(value)

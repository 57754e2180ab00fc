"""What PostgreSQL and SQLite say differently. All else is one SQL for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from rowkeeper.batch import ROW_ID
from rowkeeper.destinations.relational.names import Names
from rowkeeper.errors import FrameworkError
from rowkeeper.measures import Figure
from rowkeeper.resilience.outcomes import Judgement

Columns = tuple[tuple[str, str], ...]
"""Name and type of each column; a type that ends in NOT NULL takes no null."""

RUN, HASH = "_rk_run", "_rk_hash"
HIDDEN = (RUN, ROW_ID, HASH)
NOT_NULL = " NOT NULL"


class Cursor(Protocol):
    """What psycopg and sqlite3 have in common."""

    rowcount: int

    @property
    def description(self) -> Sequence[Any] | None:
        """The columns of the rows that come."""
        ...

    def execute(self, sql: str, /) -> Any:
        """Runs one statement."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that come."""
        ...


class Dialect(Protocol):
    """One kind of database."""

    @property
    def schema(self) -> str:
        """Where tables lie that are named without one."""
        ...

    @property
    def hidden(self) -> Mapping[str, str]:
        """The definition of each hidden column."""
        ...

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What the driver raises."""
        ...

    def connect(self) -> Any:
        """A connection of its own, as everything here expects it to be. Raises the driver's errors, and ours."""
        ...

    def begin(self, connection: Any) -> Cursor:
        """Begins a transaction that writes, with as much time as is left."""
        ...

    def is_lost(self, connection: Any) -> bool:
        """Whether a connection is of no use any more."""
        ...

    def judge(self, error: BaseException) -> Judgement | None:
        """What an error of the driver allows, where the general rules do not know it."""
        ...

    def told(self, error: Exception, place: str) -> FrameworkError:
        """An error of the driver in our words: neither rows nor SQL are in them."""
        ...

    def column_type(self, field: pa.Field[Any]) -> str:
        """The type of a column. Raises ContractError for one that no column holds."""
        ...

    def unfit(self, field: pa.Field[Any], column: pa.ChunkedArray[Any]) -> tuple[Sequence[int], str]:
        """The rows whose value the column cannot hold, and why not."""
        ...

    def tables(self, cursor: Cursor, schema: str) -> list[str]:
        """The names of all tables."""
        ...

    def columns_of(self, cursor: Cursor, schema: str, table: str) -> Columns:
        """Name and type of each column, hidden ones too; empty if there is no such table."""
        ...

    def optional(self, cursor: Cursor, schema: str, table: str) -> frozenset[str]:
        """The columns that may be left out of an insert."""
        ...

    def row_hash(self, columns: Columns) -> str:
        """An expression: a signed 64-bit hash of a row's columns, in which nulls count for nothing."""
        ...

    def insert(self, cursor: Cursor, staging: str, run: int, rows: pa.Table, kinds: Mapping[str, str]) -> None:
        """Puts rows into the staging area, each with its hash."""
        ...

    def index(self, names: Names, table: str, columns: str) -> str:
        """The statement that makes an index over these columns, unless it is there; the table's name bare."""
        ...

    def index_keys(self, cursor: Cursor, names: Names, staging: str, key: Sequence[str]) -> None:
        """Helps the search for duplicates in a staging area, where the database does not help itself."""
        ...

    def ordering(self, column: str, kind: str) -> str:
        """A column as what is ordered as its values are."""
        ...

    def is_less(self, one: str, other: str, kind: str) -> str:
        """A condition on two columns of a type."""
        ...

    def rename(self, names_schema: str, table: str, to: str) -> str:
        """The statement for it; both names bare."""
        ...

    def lock(self, cursor: Cursor, table: str) -> None:
        """Keeps other writers out of a table until the transaction ends; readers read on."""
        ...

    def stop(self, cursor: Cursor, mark: str) -> None:
        """Ends what another process of this mark has under way in the database."""
        ...

    def mark(self, connection: Any, mark: str) -> None:
        """Marks a connection so that `stop` finds it."""
        ...

    def explain(self, sql: str) -> str:
        """A statement that analyses a query without answering it."""
        ...

    def matches(self, column: str, pattern: str) -> str:
        """A condition: the pattern is found somewhere in the text."""
        ...

    def compares(self, column: str, kind: str, sign: str, value: str) -> str:
        """A condition on a column and a literal."""
        ...

    def value(self, given: Any, kind: str) -> str | None:
        """A Python value as a literal for a column of this type; None for what cannot be one."""
        ...

    def figure(self, asked: Figure, kind: str) -> str:
        """An aggregate over a column."""
        ...

    def spread(self, column: str) -> str:
        """A number from 0 on that looks random, and depends on this column alone."""
        ...

    def said_of_typed(self, error: BaseException) -> str:
        """What the database says of SQL that a person typed, over a table without rows: no values are in it."""
        ...

    def is_time(self, kind: str) -> bool:
        """Whether a column is of dates or times."""
        ...

    def day(self, column: str, kind: str, zone: str) -> str:
        """The day of a date or time as a zone counts it, as a date or as ISO 8601 text."""
        ...

    def nothing(self, kind: str) -> str:
        """A null of a type."""
        ...

    def as_text(self, column: str) -> str:
        """A column as text, as `look_up` compares it."""
        ...

    def plain(self, column: str, kind: str, characters_max: int | None) -> str:
        """A column for Arrow: what has no type of its own there comes as text; long text can be cut."""
        ...

    def arrow_type(self, kind: str) -> pa.DataType:
        """The type in which `plain` comes."""
        ...

    def decoded(self, value: Any, kind: str) -> Any:
        """A value that the driver gave, as Python has it."""
        ...


def bare_kind(kind: str) -> str:
    """A type without NOT NULL."""
    return kind.removesuffix(NOT_NULL)


def is_nullable(kind: str) -> bool:
    """Whether a column of this type takes null."""
    return not kind.endswith(NOT_NULL)

"""What is read, as values: a relation with its columns and its key, and which of its rows."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

import pyarrow as pa

from rowkeeper.errors import ColumnUnreadable, CursorUnfit, DeclarationError, TableMissing
from rowkeeper.nearest import did_you_mean
from rowkeeper.sources.database.increments import Increment

HIDDEN = "_rk_hidden_"


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """One table, view or query, as it was declared.

    Attributes:
        schema: of the table; empty where it is the database's own default, and for a query.
        table: its name; empty for a query.
        query: a SELECT.
        columns: those that are read; empty reads all.
        key: what tells its rows apart, as declared; empty takes what the database says.
    """

    schema: str = ""
    table: str = ""
    query: str = ""
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For people."""
        return ".".join(each for each in (self.schema, self.table) if each) or "the query"


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation.

    Attributes:
        name: of it.
        type: as the database calls it; also what a literal is cast to.
        select: the expression that is read: `{}` stands for the quoted name.
        arrow: as what its values are read; text where they do not fit.
        finish: makes of what was read what is handed on.
        is_plain: what is read is the value's own text.
        nullable: whether it may be null, as far as is known.
        meaning: what its values are, for a contract to start from.
    """

    name: str
    type: str
    select: str = "{}"
    arrow: pa.DataType = dataclasses.field(default_factory=pa.string)
    finish: Callable[[pa.ChunkedArray[Any]], Any] | None = None
    nullable: bool = True
    meaning: pa.DataType | None = None

    @property
    def is_plain(self) -> bool:
        """Whether what is read is the value's own text."""
        return self.select == "{}" and self.finish is None


@dataclasses.dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or query, as the database describes it.

    Attributes:
        source: what stands after FROM.
        columns: those that are read.
        key: columns that tell its rows apart; empty where none are known.
        key_is_sure: the database sees to it that the key is never null, and never there twice.
        integer_key: whether that is so and the key is one integer column, so that it can be cut into ranges.
        rows: about how many there are; None where nobody knows.
        others: type of each column that is not read but may be asked about, by name.
    """

    name: str
    source: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    key_is_sure: bool = False
    integer_key: bool = False
    rows: int | None = None
    others: Mapping[str, Column] = dataclasses.field(default_factory=dict)

    def column(self, name: str) -> Column | None:
        """One by name, read or not."""
        return next((each for each in self.columns if each.name == name), None) or self.others.get(name)

    @property
    def shape(self) -> str:
        """A digest of names and types: another one means that the table was altered."""
        text = json.dumps([[each.name, each.type] for each in self.columns])
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of a relation, and in which order.

    Attributes:
        order: columns by which they are ordered, the last ones a key; empty leaves it to the database.
        keyed: whether the order tells all rows apart, so that it can be gone on with behind any of them.
        conditions: in SQL.
        flags: expressions in SQL that are asked for each row: whether it is of the past, whether a later load may be
            given it again.
    """

    order: tuple[str, ...] = ()
    keyed: bool = False
    conditions: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    def where(self, *more: str) -> str:
        """The WHERE clause; empty if there are no conditions."""
        conditions = [*self.conditions, *more]
        return f" WHERE {' AND '.join(conditions)}" if conditions else ""


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """Some rows, one after the other in the order of the selection.

    Attributes:
        rows: each as it came: a line of CSV, or a tuple of values.
        table: the columns that are read.
        order: for each row the texts of the columns of the order; None where nobody needs them.
        flags: for each flag of the selection the rows that have it.
    """

    rows: Sequence[Any]
    table: pa.Table
    order: Sequence[tuple[Any, ...]] | None = None
    flags: Sequence[Sequence[bool]] = ()

    def raw(self, first: int, last: int) -> bytes:
        """Rows from one to before another, as bytes that are the same whenever the rows are."""
        rows = self.rows[first:last]
        if rows and isinstance(rows[0], bytes):
            return b"".join(rows)
        return "\n".join(map(repr, rows)).encode() + b"\n" if rows else b""


@dataclasses.dataclass(frozen=True, slots=True)
class Sizes:
    """How much is read at a time: rows, and bytes as they come."""

    rows: int
    size_bytes: int


class Snapshot(Protocol):
    """A database as it is at one moment, until it is closed."""

    def relations(self, pattern: str) -> list[tuple[str, str]]:
        """Schema and name of the tables and views that fit `schema.name`, in which * stands for anything."""
        ...

    def describe(self, asked: Asked) -> Relation:
        """What a relation is now. Raises SourceError."""
        ...

    def cursor_facts(self, relation: Relation, increment: Increment) -> tuple[str | None, bool]:
        """The highest value of the cursor column, as text, and whether it is null in some row."""
        ...

    def any(self, relation: Relation, condition: str) -> bool:
        """Whether there is a row that meets a condition."""
        ...

    def start(self, relation: Relation, increment: Increment) -> str:
        """What the first load reads from on, as a value of the cursor column."""
        ...

    def at_least(self, relation: Relation, increment: Increment, value: str, *, less: bool) -> str:
        """A condition: the cursor column is not below a value, less the lookback."""
        ...

    def at_most(self, relation: Relation, increment: Increment, value: str) -> str:
        """A condition: the cursor column is not above a value."""
        ...

    def pieces(self, relation: Relation, selection: Selection, sizes: Sizes) -> Iterator[Piece]:
        """The rows. Raises SnapshotLost, and SourceError."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


class SnapshotLost(Exception):  # noqa: N818 - reads as what happened
    """A connection broke, and with it what was seen by it; the cause is the driver's error."""


def refuse_lookback(relation: Relation, increment: Increment) -> None:
    """Raises CursorUnfit if one cannot look so far back from a value of the cursor column."""
    found = relation.column(increment.column)
    if found is None or not increment.lookback:
        return
    meaning = found.meaning or found.arrow
    fits = pa.types.is_timestamp(meaning) or pa.types.is_date(meaning)
    if not isinstance(increment.lookback, timedelta):
        fits = pa.types.is_integer(meaning) or pa.types.is_decimal(meaning) or pa.types.is_floating(meaning)
    if not fits:
        raise CursorUnfit(
            f"lookback={increment.lookback!r} does not fit {increment.column} ({found.type}) of {relation.name}",
            hint="a timedelta for dates and times, a number for numbers, none for others",
        )


def refuse_double(asked: Asked, names: Sequence[str]) -> None:
    """Raises DeclarationError if two columns have one name."""
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise DeclarationError(f"{asked.name} has two columns {double}", hint="give one of them another name: AS")


def refuse_missing(asked: Asked, there: Mapping[str, Column]) -> None:
    """Raises TableMissing if a column that was asked for by name is not there."""
    missing = next((name for name in (*asked.columns, *asked.key) if name not in there), None)
    if missing is not None:
        names = list(there)
        raise TableMissing(
            f"{asked.name} has no column {missing}",
            hint=did_you_mean(missing, names, "it has " + ", ".join(names[:30])),
        )


def table_of(relation: Relation, columns: Mapping[str, Any]) -> pa.Table:
    """The table of what was read, each column finished. Raises ColumnUnreadable."""
    done = []
    for column in relation.columns:
        values = columns[column.name]
        try:
            done.append(values if column.finish is None else column.finish(values))
        except (ValueError, TypeError, pa.ArrowException) as error:
            raise ColumnUnreadable(
                f"the values of {column.name} ({column.type}) of {relation.name} do not fit into one column "
                f"({type(error).__name__})",
                hint=f"give a query that casts {column.name} to text, or leave it out (columns=)",
            ) from error
    return pa.table(done, names=[each.name for each in relation.columns])

"""What can be asked of staged rows, in words that every destination understands, and what it answers.

A *measure* is answered for all rows in one shared pass: a figure, or a tally of a condition. A *set of rows* takes a
statement of its own. Conditions have three states: a row meets one, offends it, or cannot be judged because a value
that it needs is null; only a look for nulls judges every row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import pyarrow as pa

# ------------------------------------------------------------------------------------------- conditions


@dataclasses.dataclass(frozen=True, slots=True)
class Present:
    """The column is not null. The one condition that judges every row."""

    column: str


@dataclasses.dataclass(frozen=True, slots=True)
class Accepted:
    """The column is one of these values."""

    column: str
    values: tuple[Any, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Between:
    """The column is not below `low` and not above `high`; None leaves a side open. NaN offends."""

    column: str
    low: Any = None
    high: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Matches:
    """The pattern is found somewhere in the text. The syntax is the destination's (ClickHouse: RE2)."""

    column: str
    pattern: str


@dataclasses.dataclass(frozen=True, slots=True)
class Holds:
    """An expression in the destination's own language (ClickHouse SQL) is true."""

    expression: str


Condition = Present | Accepted | Between | Matches | Holds

# --------------------------------------------------------------------------------------------- measures


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """One number or value for all rows. Of no rows (or only nulls), all but `rows` and `nulls` are None.

    `newest` is the greatest date or time, and refused for other columns.
    """

    kind: Literal["rows", "nulls", "min", "max", "newest", "mean", "sum"]
    column: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Tally:
    """How many rows could be judged by a condition, and how many of them offend it; answered by `Count`."""

    condition: Condition


Measure = Figure | Tally


@dataclasses.dataclass(frozen=True, slots=True)
class Count:
    """How many rows were judged, and how many of them offend."""

    judged: int
    offending: int


# ----------------------------------------------------------------------------------------- sets of rows


@dataclasses.dataclass(frozen=True, slots=True)
class Offending:
    """The rows that offend a condition."""

    condition: Condition


@dataclasses.dataclass(frozen=True, slots=True)
class Repeated:
    """The rows whose key another row has; a key with a null in it is not judged.

    Attributes:
        in_table: the other row may also be one of the table that this publish leaves there.
    """

    columns: tuple[str, ...]
    in_table: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Unreferenced:
    """The rows whose value no row of another table has; null is not judged.

    Attributes:
        table: `table` (in the destination's database) or `database.table`.
        other: its column.
    """

    column: str
    table: str
    other: str


@dataclasses.dataclass(frozen=True, slots=True)
class Returned:
    """The rows that a query in the destination's own language returns.

    `{staged}` in it stands for the staged rows, `{table}` for the table as it is before the publish.
    """

    query: str


RowSet = Offending | Repeated | Unreferenced | Returned


@dataclasses.dataclass(frozen=True, slots=True)
class TotalElsewhere:
    """The sum of a column of another table; None if it has no rows."""

    table: str
    column: str


Question = Measure | Repeated | Unreferenced | Returned | TotalElsewhere


class StagedTable(Protocol):
    """The staged rows as they would be published: without those that will go out as duplicates.

    Everything here only reads. Each method raises DatabaseError where the destination refuses.
    """

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Name and type (in the destination's words) of each."""
        ...

    def measure(self, measures: Sequence[Measure]) -> tuple[Any, ...]:
        """Answers all of them in one pass over the rows, in their order."""
        ...

    def count(self, rows: RowSet) -> Count:
        """How many rows are judged, and how many are in the set."""
        ...

    def sample(self, rows: RowSet, limit: int) -> list[Mapping[str, Any]]:
        """Up to `limit` rows of the set, each as column to value."""
        ...

    def total_elsewhere(self, total: TotalElsewhere) -> Any:
        """The sum, or None."""
        ...

    def blocks(self, columns: Sequence[str], rows_max: int) -> Iterator[pa.Table]:
        """All rows, in tables of at most `rows_max`."""
        ...

    def spread(self, columns: Sequence[str], rows_max: int, text_characters_max: int) -> pa.Table:
        """Rows from everywhere, about `rows_max` of them, all if there are no more; long text is cut.

        Which ones depends on their addresses only, so that the same rows give the same answer.
        """
        ...


class Rehearsal(Protocol):
    """The staged table before a row of it is there: questions are analysed, not answered."""

    def empty(self, columns: Sequence[str]) -> pa.Table:
        """No rows, in the types that `StagedTable.blocks` will give."""
        ...

    def try_out(self, question: Question) -> None:
        """Raises ConfigurationError, in the destination's own words, if it could not be answered."""
        ...

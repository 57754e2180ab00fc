"""A table as somebody sees it, and the subquery that stands in its place."""

from __future__ import annotations

import dataclasses
import re

from rowkeeper.access.decision import Sight, TableView
from rowkeeper.access.sql.allowed import NAME

ROWS_ALL = 18_446_744_073_709_551_615  # a LIMIT that lets all rows pass, and no condition
# Their masks are texts: the type itself would tell values, or none of it can be null.
AS_TEXT = ("Nullable(Enum", "Enum", "Tuple(", "Variant(", "Dynamic", "JSON", "Object(", "AggregateFunction")
LOW_CARDINALITY = re.compile(r"LowCardinality\(")


@dataclasses.dataclass(frozen=True, slots=True)
class ColumnType:
    """A column of the table, in ClickHouse's words.

    Attributes:
        in_key: the table is sorted or partitioned by it, so that the order of rows tells something of its values.
    """

    name: str
    type: str
    in_key: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class SeenTable:
    """A table, and what somebody may see of it.

    Attributes:
        columns: all that it has, in order.
    """

    database: str
    table: str
    columns: tuple[ColumnType, ...]
    view: TableView

    @property
    def name(self) -> str:
        """As permissions know it."""
        return f"{self.database}.{self.table}"

    def sight(self, column: str) -> Sight:
        """How a column is seen; one that nobody has spoken of, or that a query could not name, is not."""
        return self.view.sights.get(column, Sight.REFUSED) if NAME.fullmatch(column) else Sight.REFUSED

    @property
    def visible(self) -> tuple[ColumnType, ...]:
        """The columns that are there for whoever asks."""
        return tuple(column for column in self.columns if self.sight(column.name) is not Sight.REFUSED)

    @property
    def names(self) -> frozenset[str]:
        """The names of the columns that are there for whoever asks."""
        return frozenset(column.name for column in self.visible)

    @property
    def clear(self) -> tuple[ColumnType, ...]:
        """The columns whose values are read."""
        return tuple(column for column in self.columns if self.sight(column.name) is Sight.CLEAR)

    @property
    def masked(self) -> tuple[str, ...]:
        """The columns that a mask stands for."""
        return tuple(column.name for column in self.columns if self.sight(column.name) is Sight.MASKED)

    @property
    def order_tells(self) -> bool:
        """Whether the order in which rows lie says something of values that are not shown."""
        return any(column.in_key and self.sight(column.name) is not Sight.CLEAR for column in self.columns)


def mask_of(kind: str) -> str:
    """The SQL of what stands for every value of a column: the same for all rows, also for those that are null.

    Args:
        kind: the column's ClickHouse type.
    """
    kind = without_dictionary(kind)
    if kind.startswith("Array("):
        return f"CAST([], {text(kind)})"
    if kind.startswith("Map("):
        return f"CAST(map(), {text(kind)})"
    if kind.startswith(
        ("Nullable(Enum", "Enum", "Tuple(", "Variant(", "Dynamic", "JSON", "Object(", "AggregateFunction")
    ):
        return "CAST(NULL, 'Nullable(String)')"
    return f"CAST(NULL, {text(kind if kind.startswith('Nullable(') else f'Nullable({kind})')})"


def without_dictionary(kind: str) -> str:
    """A type without LowCardinality: its dictionary holds values of rows that a filter has taken away."""
    while found := LOW_CARDINALITY.search(kind):
        depth = 1
        end = found.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(kind[end], 0)
            end += 1
        kind = kind[: found.start()] + kind[found.end() : end - 1] + kind[end:]
    return kind


def quoted(name: str) -> str:
    """A name in ClickHouse's quotes."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def text(words: str) -> str:
    """A text in ClickHouse's quotes."""
    return "'" + words.replace("\\", "\\\\").replace("'", "\\'") + "'"

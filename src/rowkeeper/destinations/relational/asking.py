"""Measures, conditions and sets of rows, as SQL of the database that the table is in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rowkeeper.destinations.relational.dialect import Columns, Dialect
from rowkeeper.destinations.relational.names import identifier
from rowkeeper.errors import DeclarationError
from rowkeeper.measures import (
    Accepted,
    Between,
    Condition,
    Figure,
    Holds,
    Matches,
    Offending,
    Present,
    Repeated,
    Returned,
    RowSet,
    TotalElsewhere,
    Unreferenced,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Relation:
    """Rows that can be asked.

    Attributes:
        source: what stands after FROM, without an alias.
        where: which of its rows; it names them `staged`.
        columns: name and type of each.
        schema: where a table lies that is named without one.
        live: the table as it is before the publish.
        stays: the rows of it that the publish leaves there.
    """

    dialect: Dialect
    source: str
    where: str
    columns: Columns
    schema: str
    live: str
    stays: str

    @property
    def kinds(self) -> Mapping[str, str]:
        """By name, the type of each column."""
        return dict(self.columns)

    def select(self, what: str, condition: str = "1 = 1") -> str:
        """A query over the rows that meet a condition as well."""
        return f"SELECT {what} FROM {self.source} AS staged WHERE ({self.where}) AND ({condition})"

    def named(self, text: str) -> str:
        """SQL that a user typed, with the names that stand for tables put in."""
        rows = f"(SELECT * FROM {self.source} AS staged WHERE {self.where})"
        return text.replace("{staged}", f"{rows} AS staged").replace("{table}", self.live)

    def condition(self, asked: Condition) -> str:
        """True, false, or null where it cannot be judged."""
        match asked:
            case Present(column):
                text = f"{identifier(column)} IS NOT NULL"
            case Accepted(column, values):
                kind = self.kinds.get(column, "")
                text = f"{identifier(column)} IN ({', '.join(self.value(each, kind) for each in values)})"
            case Between(column, low, high):
                kind = self.kinds.get(column, "")
                sides = [
                    self.dialect.compares(column, kind, sign, self.value(bound, kind))
                    for sign, bound in ((">=", low), ("<=", high))
                    if bound is not None
                ]
                text = " AND ".join(sides)
            case Matches(column, pattern):
                text = self.dialect.matches(column, pattern)
            case Holds(expression):
                text = f"{expression}\n"  # the line's end, should the expression end in a comment
        return f"({text})"

    def value(self, given: object, kind: str) -> str:
        """A Python value of a declaration, as a literal."""
        found = self.dialect.value(given, kind)
        if found is None:
            raise DeclarationError(
                f"a value of the type {type(given).__name__} cannot be compared with a column",
                hint="numbers, text, dates, times, decimals, UUIDs and enums can",
            )
        return found

    def figure(self, asked: Figure) -> str:
        """One aggregate."""
        match asked.kind:
            case "rows":
                return "count(*)"
            case "nulls":
                return f"count(*) - count({identifier(asked.column)})"
            case _:
                return self.dialect.figure(asked, self.kinds.get(asked.column, ""))

    def tally(self, asked: Condition) -> tuple[str, str]:
        """Two aggregates: how many rows can be judged, and how many offend."""
        text = self.condition(asked)
        return (
            f"sum(CASE WHEN {text} IS NOT NULL THEN 1 ELSE 0 END)",
            f"sum(CASE WHEN NOT {text} THEN 1 ELSE 0 END)",
        )

    def table_name(self, name: str) -> str:
        """`table` or `schema.table`, quoted."""
        first, _, second = name.rpartition(".")
        return f"{identifier(first or self.schema)}.{identifier(second)}"

    def judged_of(self, rows: RowSet) -> str:
        """A condition: whether a row can be judged at all."""
        match rows:
            case Repeated(columns):
                return " AND ".join(f"{identifier(name)} IS NOT NULL" for name in columns)
            case Unreferenced(column):
                return f"{identifier(column)} IS NOT NULL"
            case Offending(asked):
                return f"{self.condition(asked)} IS NOT NULL"
            case Returned():
                return "1 = 1"

    def offending_of(self, rows: Offending | Repeated | Unreferenced) -> str:
        """A condition: whether a row is in the set."""
        match rows:
            case Offending(asked):
                return f"NOT {self.condition(asked)}"
            case Unreferenced(column, table, other):
                name, there = identifier(column), identifier(other)
                known = f"SELECT 1 FROM {self.table_name(table)} AS known WHERE known.{there} = staged.{name}"
                return f"{name} IS NOT NULL AND NOT EXISTS ({known})"
            case Repeated(columns, in_table):
                key = ", ".join(map(identifier, columns))
                own = self.select(key, self.judged_of(rows))
                found = f"({key}) IN ({own} GROUP BY {key} HAVING count(*) > 1)"
                if in_table:
                    held = f"SELECT {key} FROM {self.live} WHERE ({self.stays})"
                    found = f"({found} OR ({key}) IN ({held}))"
                return f"{self.judged_of(rows)} AND {found}"

    def total_elsewhere(self, asked: TotalElsewhere, kind: str) -> str:
        """A query for the sum of another table's column."""
        total = self.dialect.figure(Figure("sum", asked.column), kind)
        return f"SELECT {total} FROM {self.table_name(asked.table)}"

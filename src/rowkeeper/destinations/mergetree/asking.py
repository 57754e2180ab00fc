"""Measures, conditions and sets of rows, as ClickHouse's SQL."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import re
import uuid
from typing import Any

from rowkeeper.destinations.mergetree.types import identifier, literal
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

WRAPPED = re.compile(r"(?:LowCardinality|Nullable)\((.*)\)")
INTEGER = re.compile(r"U?Int\d+")
FIGURES = {"min": "minOrNull", "max": "maxOrNull", "newest": "maxOrNull", "mean": "avgOrNull"}


@dataclasses.dataclass(frozen=True, slots=True)
class Relation:
    """Rows that can be asked.

    Attributes:
        source: what stands after FROM.
        where: which of its rows.
        columns: name and type of each.
        database: where a table lies that is named without one.
        live: the table as it is before the publish.
        stays: the rows of it that the publish leaves there.
    """

    source: str
    where: str
    columns: tuple[tuple[str, str], ...]
    database: str
    live: str
    stays: str

    def select(self, what: str, condition: str = "1") -> str:
        """A query over the rows that meet a condition as well."""
        return f"SELECT {what} FROM {self.source} WHERE ({self.where}) AND ({condition})"

    def named(self, text: str) -> str:
        """SQL that a user typed, with the names that stand for tables put in."""
        return text.replace("{staged}", self.source_as_table).replace("{table}", self.live)

    @property
    def source_as_table(self) -> str:
        """What a user may write after FROM to get these rows only."""
        return self.source if self.where == "1" else f"(SELECT *, _rk_row FROM {self.source} WHERE {self.where})"


def bare_type(kind: str) -> str:
    """A type without Nullable and LowCardinality around it."""
    while match := WRAPPED.fullmatch(kind):
        kind = match[1]
    return kind


def value(given: Any) -> str:
    """A Python value of a declaration, as a literal."""
    if isinstance(given, enum.Enum):
        given = given.value
    match given:
        case bool():
            text = "true" if given else "false"
        case int() | float():
            text = repr(given)
        case decimal.Decimal():
            places = max(0, -int(given.as_tuple().exponent))
            text = f"toDecimal128({literal(f'{given:f}')}, {places})"
        case datetime.datetime():
            utc = given.astimezone(datetime.UTC) if given.tzinfo else given
            text = f"toDateTime64({literal(f'{utc:%Y-%m-%d %H:%M:%S.%f}')}, 6, 'UTC')"
        case datetime.date():
            text = f"toDate32({literal(given.isoformat())})"
        case str() | uuid.UUID():
            text = literal(str(given))
        case _:
            raise DeclarationError(
                f"a value of the type {type(given).__name__} cannot be compared with a column",
                hint="numbers, text, dates, times, decimals, UUIDs and enums can",
            )
    return text


def condition(asked: Condition) -> str:
    """True, false, or null where it cannot be judged."""
    match asked:
        case Present(column):
            text = f"isNotNull({identifier(column)})"
        case Accepted(column, values):
            text = f"{identifier(column)} IN ({', '.join(value(each) for each in values)})"
        case Between(column, low, high):
            name = identifier(column)
            sides = [
                f"{name} {sign} {value(bound)}" for sign, bound in ((">=", low), ("<=", high)) if bound is not None
            ]
            text = " AND ".join(sides)
        case Matches(column, pattern):
            text = f"match({identifier(column)}, {literal(pattern)})"
        case Holds(expression):
            text = f"{expression}\n"  # the line's end, should the expression end in a comment
    return f"({text})"


def figure(asked: Figure, kind: str) -> str:
    """One aggregate."""
    name = identifier(asked.column)
    match asked.kind:
        case "rows":
            return "count()"
        case "nulls":
            return f"countIf(isNull({name}))"
        case "sum":
            return total(asked.column, kind)
        case _:
            return f"{FIGURES[asked.kind]}({name})"


def total(column: str, kind: str) -> str:
    """A sum that does not wrap around: ClickHouse's own does at 64 bits."""
    name = identifier(column)
    return f"sumOrNull(toInt256({name}))" if INTEGER.fullmatch(bare_type(kind)) else f"sumOrNull({name})"


def tally(asked: Condition) -> tuple[str, str]:
    """Two aggregates: how many rows can be judged, and how many offend."""
    text = condition(asked)
    return f"countIf(isNotNull({text}))", f"countIf(NOT {text})"


def table_name(name: str, database: str) -> str:
    """`table` or `database.table`, quoted."""
    first, _, second = name.rpartition(".")
    return f"{identifier(first or database)}.{identifier(second)}"


def judged_of(rows: RowSet) -> str:
    """A condition: whether a row can be judged at all."""
    match rows:
        case Repeated(columns):
            return " AND ".join(f"isNotNull({identifier(name)})" for name in columns)
        case Unreferenced(column):
            return f"isNotNull({identifier(column)})"
        case Offending(asked):
            return f"isNotNull({condition(asked)})"
        case Returned():
            return "1"


def offending_of(rows: Offending | Repeated | Unreferenced, relation: Relation, piece: str) -> str:
    """A condition: whether a row is in the set.

    Args:
        piece: a condition that parts rows by their key, so that not all keys must be in memory at a time.
    """
    match rows:
        case Offending(asked):
            return f"NOT {condition(asked)}"
        case Unreferenced(column, table, other):
            name, there = identifier(column), identifier(other)
            known = f"SELECT {there} FROM {table_name(table, relation.database)} WHERE isNotNull({there})"
            return f"isNotNull({name}) AND {name} NOT IN ({known})"
        case Repeated(columns, in_table):
            key = f"({', '.join(identifier(name) for name in columns)})"
            own = relation.select(key, f"{piece} AND {judged_of(rows)}")
            found = f"{key} IN ({own} GROUP BY {key} HAVING count() > 1)"
            if in_table:
                held = f"SELECT {key} FROM {relation.live} WHERE ({relation.stays}) AND {piece} AND {key} IN ({own})"
                found = f"({found} OR {key} IN ({held}))"
            return f"{piece} AND {judged_of(rows)} AND {found}"


def total_elsewhere(asked: TotalElsewhere, database: str, kind: str) -> str:
    """A query for the sum of another table's column."""
    return f"SELECT {total(asked.column, kind)} FROM {table_name(asked.table, database)}"


def plain(column: str, kind: str, text_characters_max: int | None = None) -> str:
    """A column for Arrow: what it would give as bare numbers or bytes is given as text; long text can be cut."""
    name, inner = identifier(column), bare_type(kind)
    if inner.startswith(("Enum", "UUID")):
        return f"toString({name}) AS {name}"
    if inner == "String" and text_characters_max is not None:
        return f"substringUTF8({name}, 1, {text_characters_max}) AS {name}"
    return name

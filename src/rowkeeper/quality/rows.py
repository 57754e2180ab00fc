"""Gates that judge each row by itself: all of them share one pass over the staged rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

from rowkeeper.errors import DeclarationError
from rowkeeper.measures import Accepted, Between, Condition, Count, Holds, Matches, Offending, Present, Tally
from rowkeeper.quality.gate import (
    Dimension,
    Finding,
    Past,
    Severity,
    SeverityName,
    column_of,
    judge_share,
    severity_of,
    share_of,
)


@dataclasses.dataclass(frozen=True)
class RowGate:
    """At least a share of the rows meets a condition. A row that cannot be judged (a null) counts on neither side."""

    name: str
    severity: Severity
    dimension: Dimension
    condition: Condition
    at_least: float
    what: str
    of_whole_loads: bool = False

    def columns(self) -> tuple[str, ...]:
        """The one it names; an expression's are found by the destination."""
        return () if isinstance(self.condition, Holds) else (self.condition.column,)

    def questions(self) -> tuple[Tally]:
        """One tally."""
        return (Tally(self.condition),)

    def judge(self, answers: Sequence[Any], past: Past) -> Finding:
        """By the share of good rows."""
        del past
        count: Count = answers[0]
        return judge_share(count.judged, count.offending, self.at_least, self.what)

    def offenders(self) -> Offending:
        """Those that do not meet it."""
        return Offending(self.condition)


def complete(column: str, *, at_least: float = 1.0, severity: SeverityName = "error") -> RowGate:
    """Completeness: a column is not null in at least this share of the rows.

    Args:
        column: one of the contract's.
        at_least: from 0 to 1. Every row is judged; empty text and NaN are values.
        severity: `warn`, `error` or `critical`.
    """
    name = f"complete({column_of('complete', column)})"
    return RowGate(
        name,
        severity_of(name, severity),
        Dimension.COMPLETENESS,
        Present(column),
        share_of(name, "at_least", at_least),
        "have no value",
    )


def accepted_values(
    column: str, values: Iterable[Any], *, at_least: float = 1.0, severity: SeverityName = "error"
) -> RowGate:
    """Accuracy: a column is one of these values. Null is not judged.

    Args:
        column: one of the contract's.
        values: what may be there.
        at_least: share of the judged rows that must be good.
        severity: `warn`, `error` or `critical`.
    """
    name = f"accepted_values({column_of('accepted_values', column)})"
    accepted = () if isinstance(values, str) else tuple(values)
    if not accepted or any(each is None for each in accepted):
        raise DeclarationError(
            f"{name}: these are no values", hint=f'give a list without None: accepted_values("{column}", ["a", "b"])'
        )
    return RowGate(
        name,
        severity_of(name, severity),
        Dimension.ACCURACY,
        Accepted(column, accepted),
        share_of(name, "at_least", at_least),
        "have a value that is not accepted",
    )


def between(
    column: str, low: Any = None, high: Any = None, *, at_least: float = 1.0, severity: SeverityName = "error"
) -> RowGate:
    """Accuracy: a column is not below `low` and not above `high`. Null is not judged; NaN is outside.

    Args:
        column: one of the contract's; numbers, text, dates and times can be compared.
        low: None leaves this side open.
        high: None leaves this side open.
        at_least: share of the judged rows that must be good.
        severity: `warn`, `error` or `critical`.
    """
    name = f"between({column_of('between', column)}, {low}, {high})"
    if low is None and high is None:
        raise DeclarationError(f"{name}: no bound is given", hint=f'give one or both: between("{column}", 0, 100)')
    for bound in (low, high):
        if isinstance(bound, float) and not math.isfinite(bound):
            raise DeclarationError(f"{name}: {bound} is no bound", hint="None leaves a side open")
    try:
        empty = low is not None and high is not None and low > high
    except TypeError as error:
        raise DeclarationError(f"{name}: the bounds cannot be compared", hint="give two of one type") from error
    if empty:
        raise DeclarationError(f"{name}: nothing lies between", hint="the lower bound comes first")
    return RowGate(
        name,
        severity_of(name, severity),
        Dimension.ACCURACY,
        Between(column, low, high),
        share_of(name, "at_least", at_least),
        "lie outside",
    )


def matches(column: str, pattern: str, *, at_least: float = 1.0, severity: SeverityName = "error") -> RowGate:
    """Accuracy: a pattern is found in a text column; write `^...$` for the whole of it. Null is not judged.

    Args:
        column: one of the contract's.
        pattern: in the destination's syntax: for ClickHouse that is RE2.
        at_least: share of the judged rows that must be good.
        severity: `warn`, `error` or `critical`.
    """
    name = f"matches({column_of('matches', column)})"
    if not isinstance(pattern, str) or not pattern:
        raise DeclarationError(f"{name}: {pattern!r} is no pattern", hint="give a regular expression as text")
    return RowGate(
        name,
        severity_of(name, severity),
        Dimension.ACCURACY,
        Matches(column, pattern),
        share_of(name, "at_least", at_least),
        "do not match",
    )


def consistent(name: str, condition: str, *, at_least: float = 1.0, severity: SeverityName = "error") -> RowGate:
    """Consistency across columns: an SQL expression is true. A row for which it is null is not judged.

    Args:
        name: what it is told by, such as "arrival after departure".
        condition: in the destination's SQL, such as "arr_time > dep_time".
        at_least: share of the judged rows that must be good.
        severity: `warn`, `error` or `critical`.
    """
    if not isinstance(condition, str) or not condition.strip():
        raise DeclarationError(
            f"{name}: {condition!r} is no SQL expression", hint="rk.expression takes a Polars expression"
        )
    return RowGate(
        name,
        severity_of(name, severity),
        Dimension.CONSISTENCY,
        Holds(condition),
        share_of(name, "at_least", at_least),
        "contradict it",
    )

"""Gates that look at rows together or at other tables: each takes a statement of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from rowkeeper.errors import DeclarationError
from rowkeeper.measures import Count, Figure, Repeated, Returned, TotalElsewhere, Unreferenced
from rowkeeper.nearest import one_of
from rowkeeper.quality.gate import (
    Dimension,
    Finding,
    Past,
    Severity,
    SeverityName,
    Verdict,
    column_of,
    judge_share,
    severity_of,
    share_of,
)


@dataclasses.dataclass(frozen=True)
class SetGate:
    """At most a share of the judged rows is in a set."""

    name: str
    severity: Severity
    dimension: Dimension
    rows: Repeated | Unreferenced
    at_least: float
    what: str
    of_whole_loads: bool = False

    def columns(self) -> tuple[str, ...]:
        """Those of this table."""
        return self.rows.columns if isinstance(self.rows, Repeated) else (self.rows.column,)

    def questions(self) -> tuple[Repeated | Unreferenced]:
        """How many rows are in the set."""
        return (self.rows,)

    def judge(self, answers: Sequence[Any], past: Past) -> Finding:
        """By the share of rows that are not in it."""
        del past
        count: Count = answers[0]
        return judge_share(count.judged, count.offending, self.at_least, self.what)

    def offenders(self) -> Repeated | Unreferenced:
        """The set."""
        return self.rows


def unique(
    *columns: str,
    across: Literal["run", "table"] = "run",
    at_least: float = 1.0,
    severity: SeverityName = "error",
) -> SetGate:
    """Uniqueness: no two rows have the same values in these columns. A row with a null in them is not judged.

    Args:
        columns: one or more of the contract's.
        across: `run` looks at the staged rows, `table` also at the rows that the table keeps.
        at_least: share of the judged rows that must be the only one of their key.
        severity: `warn`, `error` or `critical`.
    """
    name = f"unique({', '.join(column_of('unique', column) for column in columns)})"
    if not columns:
        raise DeclarationError("unique() names no column", hint='say which: unique("id")')
    if across not in ("run", "table"):
        raise DeclarationError(f"{name}: across={across!r} is no extent", hint=one_of(across, ("run", "table")))
    in_table = across == "table"
    return SetGate(
        name + (" across the table" if in_table else ""),
        severity_of(name, severity),
        Dimension.UNIQUENESS,
        Repeated(tuple(columns), in_table),
        share_of(name, "at_least", at_least),
        "share their key with another",
    )


def references(
    column: str, table: str, other: str | None = None, *, at_least: float = 1.0, severity: SeverityName = "error"
) -> SetGate:
    """Accuracy: a value is there in a column of another table. Null is not judged.

    Args:
        column: one of the contract's.
        table: `table`, or `database.table`; it must be there before the run.
        other: its column, where it has another name.
        at_least: share of the judged rows that must be good.
        severity: `warn`, `error` or `critical`.
    """
    name = f"references({column_of('references', column)}, {column_of('references', table)})"
    return SetGate(
        name,
        severity_of(name, severity),
        Dimension.ACCURACY,
        Unreferenced(column, table, other or column),
        share_of(name, "at_least", at_least),
        f"refer to nothing in {table}",
    )


@dataclasses.dataclass(frozen=True)
class QueryGate:
    """A query returns no more rows than are tolerated."""

    name: str
    severity: Severity
    dimension: Dimension
    rows: Returned
    at_most: int
    of_whole_loads: bool = False

    def columns(self) -> tuple[str, ...]:
        """The destination finds them."""
        return ()

    def questions(self) -> tuple[Returned]:
        """How many rows it returns."""
        return (self.rows,)

    def judge(self, answers: Sequence[Any], past: Past) -> Finding:
        """By their number."""
        del past
        count: Count = answers[0]
        threshold = f"at most {self.at_most:,} rows returned"
        verdict = Verdict.GOOD if count.offending <= self.at_most else Verdict.BAD
        told = f"the query returned {count.offending:,} rows, asked for is {threshold}"
        return Finding(verdict, threshold, told, count.judged, count.offending, float(count.offending))

    def offenders(self) -> Returned:
        """What it returns."""
        return self.rows


def sql(name: str, query: str, *, at_most: int = 0, severity: SeverityName = "error") -> QueryGate:
    """Consistency, by any query that returns the rows it objects to.

    Args:
        name: what it is told by.
        query: one SELECT in the destination's SQL. `{staged}` stands for the staged rows, `{table}` for the table as
            it is before the publish.
        at_most: how many rows it may return.
        severity: `warn`, `error` or `critical`.
    """
    if not isinstance(query, str) or "{staged}" not in query:
        raise DeclarationError(
            f"{name}: the query does not look at the staged rows", hint="SELECT ... FROM {staged} WHERE ..."
        )
    if isinstance(at_most, bool) or not isinstance(at_most, int) or at_most < 0:
        raise DeclarationError(f"{name}: at_most={at_most!r} is no number of rows", hint="0 or more")
    rows = Returned(query.strip().rstrip(";"))
    return QueryGate(name, severity_of(name, severity), Dimension.CONSISTENCY, rows, at_most)


@dataclasses.dataclass(frozen=True)
class TotalGate:
    """The sum of a column is that of another table's."""

    name: str
    severity: Severity
    column: str
    elsewhere: TotalElsewhere
    within: float
    dimension: Dimension = Dimension.CONSISTENCY
    of_whole_loads: bool = True

    def columns(self) -> tuple[str, ...]:
        """The one of this table."""
        return (self.column,)

    def questions(self) -> tuple[Figure, TotalElsewhere]:
        """Both sums."""
        return (Figure("sum", self.column), self.elsewhere)

    def judge(self, answers: Sequence[Any], past: Past) -> Finding:
        """By their difference. Unknown where one of them is of no rows."""
        del past
        here, there = answers
        threshold = f"within {self.within:g} of the other total"
        if here is None or there is None:
            return Finding(Verdict.UNKNOWN, threshold, "one of the totals is of no rows")
        difference = abs(float(here - there)) if type(here) is type(there) else abs(float(here) - float(there))
        measured = difference / abs(float(there)) if there else _against_zero(difference)
        verdict = Verdict.GOOD if measured <= self.within else Verdict.BAD
        told = f"the totals differ by {difference:,.10g} ({measured:.2%}), asked for is {threshold}"
        return Finding(verdict, threshold, told, measured=measured)

    def offenders(self) -> None:
        """No single row is to blame."""


def _against_zero(difference: float) -> float:
    """The relative difference to a total of zero."""
    return float("inf") if difference else 0.0


def same_total(
    column: str, table: str, other: str | None = None, *, within: float = 1e-9, severity: SeverityName = "error"
) -> TotalGate:
    """Consistency across tables: the sum of a staged column is that of another table's column.

    Args:
        column: one of the contract's, of numbers.
        table: `table`, or `database.table`; it must be there before the run.
        other: its column, where it has another name.
        within: how far apart they may be, as a share of the other total. Sums of floats depend on their order.
        severity: `warn`, `error` or `critical`.
    """
    name = f"same_total({column_of('same_total', column)}, {column_of('same_total', table)})"
    return TotalGate(
        name,
        severity_of(name, severity),
        column,
        TotalElsewhere(table, other or column),
        share_of(name, "within", within),
    )

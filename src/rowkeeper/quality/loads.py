"""Gates on a load as a whole: its volume, and how it differs from the former one."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any, Literal

from rowkeeper.errors import DeclarationError
from rowkeeper.measures import Figure
from rowkeeper.nearest import one_of
from rowkeeper.quality.gate import Dimension, Finding, Past, Severity, SeverityName, Verdict, severity_of
from rowkeeper.quality.profile import Profile

MeasureName = Literal["count", "mean", "null_share"]
HISTORY_RUNS = 10


@dataclasses.dataclass(frozen=True)
class VolumeGate:
    """The number of staged rows is as expected: absolutely, and relative to former loads."""

    name: str
    severity: Severity
    at_least: int | None
    at_most: int | None
    within: float | None
    dimension: Dimension = Dimension.VOLUME
    of_whole_loads: bool = True

    def columns(self) -> tuple[str, ...]:
        """None."""
        return ()

    def questions(self) -> tuple[Figure]:
        """How many rows there are."""
        return (Figure("rows"),)

    def judge(self, answers: Sequence[Any], past: Past) -> Finding:
        """By both kinds of bounds. Unknown if only history is asked for and there is none."""
        rows = int(answers[0])
        bounds = [f"at least {self.at_least:,}"] if self.at_least is not None else []
        bounds += [f"at most {self.at_most:,}"] if self.at_most is not None else []
        low, high = self.at_least, self.at_most
        verdict = Verdict.GOOD if bounds else Verdict.UNKNOWN
        if self.within is not None and past.counts:
            usual = statistics.median(past.counts[:HISTORY_RUNS])
            bounds.append(f"within {self.within:.0%} of the {usual:,.0f} rows that are usual")
            verdict = Verdict.GOOD if abs(rows - usual) <= self.within * usual else Verdict.BAD
        elif self.within is not None:
            bounds.append(f"within {self.within:.0%} of what is usual (there is no former load)")
        if (low is not None and rows < low) or (high is not None and rows > high):
            verdict = Verdict.BAD
        threshold = " and ".join(bounds)
        return Finding(verdict, threshold, f"{rows:,} rows, asked for is {threshold}", rows, None, float(rows))

    def offenders(self) -> None:
        """No single row is to blame."""


def volume(
    *,
    at_least: int | None = None,
    at_most: int | None = None,
    within: float | None = None,
    severity: SeverityName = "error",
) -> VolumeGate:
    """Volume: a load brings as many rows as expected. Replays are not judged.

    Args:
        at_least: rows.
        at_most: rows.
        within: relative to history: how far the number of rows may be, as a share, from the median of the last ten
            loads of this pipeline that were published.
        severity: `warn`, `error` or `critical`.
    """
    name = "volume"
    for argument, bound in (("at_least", at_least), ("at_most", at_most)):
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, int) or bound < 0):
            raise DeclarationError(
                f"{name}: {argument}={bound!r} is no number of rows", hint="a whole number, 0 or more"
            )
    if at_least is None and at_most is None and within is None:
        raise DeclarationError("volume() asks for nothing", hint="give at_least=, at_most= or within=")
    if at_least is not None and at_most is not None and at_least > at_most:
        raise DeclarationError(
            f"{name}: nothing lies between {at_least} and {at_most}", hint="at_least is the lower one"
        )
    return VolumeGate(name, severity_of(name, severity), at_least, at_most, _positive(name, "within", within))


@dataclasses.dataclass(frozen=True)
class ChangeGate:
    """A figure is near what it was in the former load."""

    name: str
    severity: Severity
    measure: MeasureName
    column: str
    within: float
    dimension: Dimension = Dimension.CONSISTENCY
    of_whole_loads: bool = True

    def columns(self) -> tuple[str, ...]:
        """The one of the figure."""
        return (self.column,) if self.column else ()

    def questions(self) -> tuple[Figure, ...]:
        """The number of rows, and the column's figure."""
        rows = Figure("rows")
        match self.measure:
            case "count":
                return (rows,)
            case "mean":
                return (rows, Figure("mean", self.column))
            case "null_share":
                return (rows, Figure("nulls", self.column))

    def judge(self, answers: Sequence[Any], past: Past) -> Finding:
        """By the difference; relative but for a share. Unknown where there is no former load to compare with."""
        threshold = f"a change of at most {self.within:.4g}"
        now, before = self._now(answers), self._before(past)
        if now is None or before is None:
            return Finding(Verdict.UNKNOWN, threshold, "there is no former load to compare with")
        change = abs(now - before)
        if self.measure != "null_share":
            change = change / abs(before) if before else (float("inf") if change else 0.0)
        verdict = Verdict.GOOD if change <= self.within else Verdict.BAD
        told = f"it was {before:,.6g} and is {now:,.6g}, a change of {change:.4g}; asked for is {threshold}"
        return Finding(verdict, threshold, told, measured=change)

    def _now(self, answers: Sequence[Any]) -> float | None:
        rows = int(answers[0])
        if self.measure == "count":
            return float(rows)
        if rows == 0 or answers[1] is None:
            return None
        return float(answers[1]) / (rows if self.measure == "null_share" else 1)

    def _before(self, past: Past) -> float | None:
        if self.measure == "count":
            return float(past.counts[0]) if past.counts else None
        return _figure_of(past.former, self.column, self.measure)

    def offenders(self) -> None:
        """No single row is to blame."""


def _figure_of(profile: Profile | None, name: str, measure: MeasureName) -> float | None:
    for column in profile.columns if profile else ():
        if column.name == name:
            return column.mean if measure == "mean" else column.null_share
    return None


def against_last_run(
    measure: MeasureName, column: str | None = None, *, within: float, severity: SeverityName = "error"
) -> ChangeGate:
    """Consistency over time: a figure differs little from that of the pipeline's former published load.

    Args:
        measure: `count` (of rows), `mean` or `null_share` (of a column).
        column: one of the contract's; not for `count`.
        within: the greatest change: relative to the former figure, and for `null_share` the difference of the shares.
        severity: `warn`, `error` or `critical`.
    """
    if measure not in ("count", "mean", "null_share"):
        raise DeclarationError(
            f"against_last_run: {measure!r} is no measure", hint=one_of(measure, ("count", "mean", "null_share"))
        )
    if (measure == "count") != (column is None):
        raise DeclarationError(
            f"against_last_run: {measure} " + ("takes no column" if column else "needs a column"),
            hint='against_last_run("count", within=0.5) or against_last_run("mean", "amount", within=0.2)',
        )
    name = f"against_last_run({measure}{f' of {column}' if column else ''})"
    bound = _positive(name, "within", within)
    assert bound is not None
    return ChangeGate(name, severity_of(name, severity), measure, column or "", bound)


def _positive(gate: str, argument: str, given: float | None) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given < float("inf"):
        raise DeclarationError(f"{gate}: {argument}={given!r} is no extent", hint="0 or more, such as 0.5")
    return float(given)

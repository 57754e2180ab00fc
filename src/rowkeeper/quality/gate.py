"""What a quality gate is: what it asks of the staged whole, and how it judges the answers."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

import polars as pl

from rowkeeper.errors import DeclarationError
from rowkeeper.measures import Question, RowSet
from rowkeeper.nearest import one_of
from rowkeeper.quality.profile import Profile

SeverityName = Literal["warn", "error", "critical"]


class Severity(enum.StrEnum):
    """What a gate that fails does.

    `warn` is told and keeps nothing back. `error` holds the run; `rowkeeper publish RUN --override REASON` publishes it
    after all. `critical` holds it, and the override must say `--critical` as well.
    """

    WARN = "warn"
    ERROR = "error"
    CRITICAL = "critical"


class Dimension(enum.StrEnum):
    """Which side of quality a gate looks at."""

    COMPLETENESS = "completeness"
    UNIQUENESS = "uniqueness"
    ACCURACY = "accuracy"
    CONSISTENCY = "consistency"
    VOLUME = "volume"
    FRESHNESS = "freshness"


class Verdict(enum.StrEnum):
    """What a gate says of the answers; unknown where there was nothing to judge by."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


class Status(enum.StrEnum):
    """Verdict and severity together."""

    PASSED = "passed"
    FAILED = "failed"
    WARNED = "warned"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Streamed:
    """A question that the staged rows answer block by block: how many of them an expression is not true for."""

    expression: pl.Expr


@dataclasses.dataclass(frozen=True, slots=True)
class Offenders:
    """The answer to it.

    Attributes:
        judged: rows for which the expression is not null.
        sample: some of the rows for which it is false.
    """

    judged: int
    offending: int
    sample: tuple[Mapping[str, Any], ...]


Asked = Question | Streamed


@dataclasses.dataclass(frozen=True, slots=True)
class Past:
    """What a run is compared with.

    Attributes:
        now: when it is judged; aware.
        counts: rows that the pipeline's former loads committed, the newest first.
        former: the profile of the newest of them.
    """

    now: datetime
    counts: tuple[int, ...] = ()
    former: Profile | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What a gate found.

    Attributes:
        rows: how many rows were judged; None where the gate does not look at rows.
        offending: how many of them it objects to.
        measured: what the threshold is compared with.
        threshold: what was asked for, such as "at least 0.95".
        told: a sentence with the figures; no row's values.
    """

    verdict: Verdict
    threshold: str
    told: str
    rows: int | None = None
    offending: int | None = None
    measured: float | None = None


@runtime_checkable
class Gate(Protocol):
    """One quality gate, as it stands in a pipeline.

    Attributes:
        name: what it is told by.
        of_whole_loads: it says something about a load as a whole, and nothing about a replay of a few rows.
    """

    @property
    def name(self) -> str:
        """What it is told by, such as `complete(dep_time)`."""
        ...

    @property
    def severity(self) -> Severity:
        """What it does when it fails."""
        ...

    @property
    def dimension(self) -> Dimension:
        """Which side of quality it looks at."""
        ...

    @property
    def of_whole_loads(self) -> bool:
        """Whether it says something about a load as a whole, and nothing about a replay of a few rows."""
        ...

    def columns(self) -> tuple[str, ...]:
        """The columns that it names."""
        ...

    def questions(self) -> tuple[Asked, ...]:
        """What it asks of the staged rows."""
        ...

    def judge(self, answers: Sequence[Any], past: Past) -> Finding:
        """Its verdict on the answers, which are in the order of the questions."""
        ...

    def offenders(self) -> RowSet | None:
        """The rows that it objects to, to take a sample of; None where there are none or the answers hold them."""
        ...


def severity_of(gate: str, name: str) -> Severity:
    """The severity of this name. Raises DeclarationError if there is none."""
    try:
        return Severity(name)
    except ValueError as error:
        raise DeclarationError(f"{gate}: severity={name!r} is no severity", hint=one_of(name, Severity)) from error


def share_of(gate: str, argument: str, share: float) -> float:
    """A share, from 0 to 1. Raises DeclarationError for anything else."""
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise DeclarationError(
            f"{gate}: {argument}={share!r} is no share of the rows", hint="a number from 0 to 1, such as 0.95"
        )
    return float(share)


def column_of(gate: str, name: object) -> str:
    """A column's name. Raises DeclarationError for anything else."""
    if not isinstance(name, str) or not name:
        raise DeclarationError(f"{gate}: {name!r} cannot name a column", hint="give its name as text")
    return name


def judge_share(judged: int, offending: int, at_least: float, what: str) -> Finding:
    """Compares the share of good rows with a threshold. Where no row could be judged the verdict is unknown."""
    threshold = "all of the rows" if at_least == 1 else f"at least {at_least:g} of the rows"
    if judged == 0:
        return Finding(Verdict.UNKNOWN, threshold, "no row could be judged", 0, 0)
    share = (judged - offending) / judged
    verdict = Verdict.GOOD if share >= at_least else Verdict.BAD
    told = f"{offending:,} of {judged:,} rows {what}"
    told += "; allowed is none" if at_least == 1 else f"; {_share_text(share)} are good, asked for is {threshold}"
    return Finding(verdict, threshold, told, judged, offending, share)


def _share_text(share: float) -> str:
    """Never rounded up to 1: that would contradict the sentence it stands in."""
    text = f"{share:.4f}"
    return text if share == 1 or float(text) < 1 else "more than 0.9999"

"""The profile of a run: what its columns look like, in figures that fit a page.

The number of rows, nulls, bounds and means are of all staged rows, from the pass that the gates share. Everything else
is worked out from rows spread over all of them, at most `SAMPLE_ROWS`: all of them for a small run.

A classified column gives its nulls and the number of its values, and none of the values; long text gives no values
either.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import polars as pl

from rowkeeper.frames import frame_of
from rowkeeper.measures import Figure, Measure, StagedTable

SAMPLE_ROWS = 100_000
TEXT_CHARACTERS_MAX = 200  # of a value, in the sample
LONG_TEXT_CHARACTERS = 40  # text that is longer on average is prose, and no category
TOP_VALUES = 6
REPEATING_SHARE = 0.5  # above it nearly each row has a value of its own, and none is a top one
BINS = 24
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
NUMBERS = ("Int", "UInt", "Float", "Decimal")
TIMES = ("Date",)
PLAIN = (*NUMBERS, *TIMES, "Bool", "String", "Enum", "UUID")


@dataclasses.dataclass(frozen=True, slots=True)
class Bin:
    """A bar of a histogram: sampled values from `low` on, below `high` (the last one: up to it)."""

    low: float
    high: float
    count: int


@dataclasses.dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column.

    Attributes:
        kind: its type in the destination's words.
        null_share: from 0 to 1; 0 for a run without rows.
        distinct: an estimate of the number of values that are not null; None where it was not looked at.
        minimum, maximum: numbers, or times and text as text; None where there are none or they are not shown.
        quantiles: the 5th, 25th, 50th, 75th and 95th percentile of numbers.
        bins: of numbers and times (those in seconds since 1970).
        top: the values that are met most often, with their share of the values that are not null.
    """

    name: str
    kind: str
    null_share: float
    distinct: int | None = None
    minimum: Any = None
    maximum: Any = None
    mean: float | None = None
    quantiles: tuple[float, ...] = ()
    bins: tuple[Bin, ...] = ()
    top: tuple[tuple[str, float], ...] = ()
    classified: bool = False
    long_text: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """A run's.

    Attributes:
        sampled: how many rows the estimates are from; those of a run whose `rows` are no more are exact.
    """

    rows: int
    sampled: int
    columns: tuple[ColumnProfile, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        columns = (
            ColumnProfile(
                **{
                    **each,
                    "quantiles": tuple(each["quantiles"]),
                    "bins": tuple(Bin(**one) for one in each["bins"]),
                    "top": tuple((value, share) for value, share in each["top"]),
                }
            )
            for each in document["columns"]
        )
        return cls(document["rows"], document["sampled"], tuple(columns))


def figures_of(columns: Sequence[tuple[str, str]], classified: frozenset[str]) -> list[Measure]:
    """What the shared pass is asked for a profile; `profile_of` takes the answers."""
    asked: list[Measure] = [Figure("rows")]
    for name, kind in columns:
        asked.append(Figure("nulls", name))
        if name not in classified and _bare(kind).startswith((*NUMBERS, *TIMES)):
            asked += [Figure("min", name), Figure("max", name)]
        if name not in classified and _bare(kind).startswith(NUMBERS):
            asked.append(Figure("mean", name))
    return asked


def profile_of(staged: StagedTable, answers: Mapping[Measure, Any], classified: frozenset[str]) -> Profile:
    """Puts a profile together.

    Args:
        answers: to each of `figures_of`.
        classified: columns whose values are not for everybody.
    """
    plain = [name for name, kind in staged.columns if _bare(kind).startswith(PLAIN)]
    rows = int(answers[Figure("rows")])
    sample = pl.DataFrame()
    if plain and rows:
        sample = frame_of(staged.spread(plain, SAMPLE_ROWS, TEXT_CHARACTERS_MAX))
    columns = []
    for name, kind in staged.columns:
        nulls = int(answers[Figure("nulls", name)])
        known = ColumnProfile(name, kind, nulls / rows if rows else 0.0, classified=name in classified)
        if name in sample.columns:
            known = _looked_at(known, sample[name].drop_nulls(), rows - nulls)
        columns.append(_with_figures(known, answers))
    return Profile(rows, sample.height, tuple(columns))


def _bare(kind: str) -> str:
    for wrapper in ("LowCardinality(", "Nullable("):
        if kind.startswith(wrapper):
            kind = kind[len(wrapper) : -1]
    return kind


def _with_figures(known: ColumnProfile, answers: Mapping[Measure, Any]) -> ColumnProfile:
    found = {
        field: _shown(answers[figure])
        for field, figure in (
            ("minimum", Figure("min", known.name)),
            ("maximum", Figure("max", known.name)),
            ("mean", Figure("mean", known.name)),
        )
        if figure in answers
    }
    return dataclasses.replace(known, **found)


def _shown(value: Any) -> Any:
    """A value for a document: finite numbers as they are, everything else as text."""
    if value is None or isinstance(value, int):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    number = float(value)
    return number if math.isfinite(number) else None


def _looked_at(known: ColumnProfile, values: pl.Series, present: int) -> ColumnProfile:
    """What the sample says of a column.

    Args:
        values: those of the sample that are not null.
        present: how many there are in all rows.
    """
    if values.is_empty():
        return dataclasses.replace(known, distinct=0)
    counted = values.value_counts(sort=True, name="times")
    distinct = distinct_estimate(len(values), present, counted.height, int((counted["times"] == 1).sum()))
    known = dataclasses.replace(known, distinct=distinct)
    if known.classified:
        return known
    kind = _bare(known.kind)
    if kind.startswith((*NUMBERS, *TIMES)):
        known = _with_distribution(known, _numbers(values), numeric=kind.startswith(NUMBERS))
    elif kind == "String":
        if float(values.str.len_chars().mean() or 0) > LONG_TEXT_CHARACTERS:  # type: ignore[arg-type]
            return dataclasses.replace(known, long_text=True)
        known = dataclasses.replace(known, minimum=values.min(), maximum=values.max())
    if counted.height > REPEATING_SHARE * len(values) and counted.height > TOP_VALUES:
        return known
    top = counted.head(TOP_VALUES)
    pairs = zip(top[values.name].cast(pl.String).to_list(), top["times"].to_list(), strict=True)
    return dataclasses.replace(known, top=tuple((value, times / len(values)) for value, times in pairs))


def _numbers(values: pl.Series) -> pl.Series:
    """As floats; times as seconds since 1970. NaN and the infinite have no place among them."""
    if values.dtype == pl.Date:
        values = values.cast(pl.Int32) * 86_400
    elif values.dtype == pl.Datetime:
        values = values.dt.epoch("us").cast(pl.Float64) / 1e6
    values = values.cast(pl.Float64)
    return values.filter(values.is_finite())


def _with_distribution(known: ColumnProfile, values: pl.Series, *, numeric: bool) -> ColumnProfile:
    if values.is_empty():
        return known
    bins = _histogram(values, whole="Int" in known.kind)
    quantiles = tuple(float(values.quantile(each, "linear") or 0.0) for each in QUANTILES) if numeric else ()
    return dataclasses.replace(known, bins=bins, quantiles=quantiles)


def _histogram(values: pl.Series, *, whole: bool) -> tuple[Bin, ...]:
    """Bars of one width; those of whole numbers begin at whole numbers, or some would get more of them than others."""
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    width, bars = (high - low) / BINS, BINS
    if whole:
        width = math.ceil((high - low + 1) / BINS)
        bars = math.ceil((high - low + 1) / width)
    if not width or not math.isfinite(width):
        return (Bin(low, high, len(values)),)
    places = ((values - low) / width).floor().clip(0, bars - 1).cast(pl.Int64).alias("bin")
    counts = dict(places.value_counts(name="times").iter_rows())
    return tuple(Bin(low + width * number, low + width * (number + 1), counts.get(number, 0)) for number in range(bars))


def distinct_estimate(sampled: int, present: int, distinct: int, once: int) -> int:
    """How many different values there are, from a sample.

    The Duj1 estimator of Haas and Stokes (IBM Research Report RJ 10025, 1998), as PostgreSQL's ANALYZE uses it:
    n d / (n - f1 + f1 n / N). It is exact for a sample of everything, and for a key.

    Args:
        sampled: n, values in the sample.
        present: N, values in all.
        distinct: d, different values in the sample.
        once: f1, values that the sample has once.
    """
    if not sampled:
        return 0
    estimate = sampled * distinct / (sampled - once + once * sampled / max(present, sampled))
    return min(max(round(estimate), distinct), max(present, sampled))

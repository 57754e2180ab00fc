"""What a metric is: declared once, with its labels, unit and help; and its values at one moment.

Labels are names of pipelines, stages, statuses, codes, checks and hosts: words that somebody declared or that this
program knows. None holds a person, a value of a row or a secret, and none can have more values than that.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class Kind(enum.StrEnum):
    """How a metric behaves."""

    COUNTER = "counter"  # only grows
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """One metric, as it is promised.

    Attributes:
        name: as it is asked for; that of a counter ends in `_total`. It never changes, and is never another thing's.
        unit: of its value: seconds, bytes, rows; empty for what is merely counted.
        told: its help, one sentence.
        served: by `rowkeeper serve` alone: it is about that process, or takes long to count.
    """

    name: str
    kind: Kind
    told: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    served: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """The values of a histogram.

    Attributes:
        buckets: upper bound to how many were at or below it; the last bound is infinite, and has them all.
        total: their sum.
    """

    buckets: tuple[tuple[float, int], ...]
    total: float

    @property
    def count(self) -> int:
        """How many there were."""
        return self.buckets[-1][1]

    def as_dict(self) -> dict[str, Any]:
        """The JSON document; the last bucket is the count."""
        return {
            "buckets": [[bound, count] for bound, count in self.buckets[:-1]],
            "count": self.count,
            "sum": self.total,
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """A value of a metric, or the spread of a histogram's, for one set of labels."""

    labels: Mapping[str, str]
    value: float | Spread


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """A metric and all of its samples at one moment."""

    definition: Definition
    samples: tuple[Sample, ...]

    @property
    def name(self) -> str:
        """The metric's."""
        return self.definition.name

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        values = ((each.labels, each.value) for each in self.samples)
        return {
            "name": self.name,
            "kind": self.definition.kind.value,
            "unit": self.definition.unit,
            "told": self.definition.told,
            "samples": [
                {"labels": dict(labels), "value": value.as_dict() if isinstance(value, Spread) else value}
                for labels, value in values
            ],
        }

    def value(self, **labels: str) -> float | None:
        """The value for exactly these labels; None if there is none, or it is a spread."""
        for sample in self.samples:
            if dict(sample.labels) == labels and not isinstance(sample.value, Spread):
                return sample.value
        return None


def family(definition: Definition, *values: tuple[Sequence[object], float | Spread]) -> Family:
    """A family of these values, each with its labels in the order of the definition."""
    return Family(definition, tuple(Sample(_labelled(definition, labels), value) for labels, value in values))


def families(definition: Definition, values: Iterable[tuple[Sequence[object], float | Spread]]) -> Family:
    """The same of any number of values."""
    return family(definition, *values)


def _labelled(definition: Definition, labels: Sequence[object]) -> dict[str, str]:
    assert len(labels) == len(definition.labels), definition.name
    return dict(zip(definition.labels, map(str, labels), strict=True))

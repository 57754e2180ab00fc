"""Families as Prometheus reads them, by its own library: its text format, or OpenMetrics where that is asked for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest

from rowkeeper.operations.metrics.family import Family, Kind, Sample, Spread

TEXT = CONTENT_TYPE_PLAIN_0_0_4


@dataclasses.dataclass(frozen=True, slots=True)
class Exposition:
    """What a scrape is answered with."""

    body: bytes
    media_type: str


class _Collected:
    """Implements the library's `Collector`, for families that are there already."""

    def __init__(self, found: Iterable[Family]) -> None:
        self._found = [_metric_of(each) for each in found if each.samples]

    def collect(self) -> Iterator[Metric]:
        """Those families."""
        return iter(self._found)


def exposed(found: Iterable[Family], accept: str = "") -> Exposition:
    """The answer to whoever accepts this, as the header says it."""
    encode, media_type = choose_encoder(accept)
    library: Any = _Collected(found)
    return Exposition(encode(library), media_type)


def as_text(found: Iterable[Family]) -> str:
    """The text format, version 0.0.4: what node_exporter reads."""
    library: Any = _Collected(found)
    return generate_latest(library).decode()


def _metric_of(found: Family) -> Metric:
    """The library's names of counters are without their ending, and it wants units to end the names."""
    definition = found.definition
    name = definition.name.removesuffix("_total") if definition.kind is Kind.COUNTER else definition.name
    unit = definition.unit if name.endswith(f"_{definition.unit}") else ""
    metric = Metric(name, definition.told, definition.kind.value, unit)
    for sample in found.samples:
        if isinstance(sample.value, Spread):
            _add_spread(metric, sample, sample.value)
        else:
            metric.add_sample(definition.name, dict(sample.labels), sample.value)
    return metric


def _add_spread(metric: Metric, sample: Sample, spread: Spread) -> None:
    labels = dict(sample.labels)
    for bound, count in spread.buckets:
        le = "+Inf" if math.isinf(bound) else str(bound)
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": le}, count)
    metric.add_sample(f"{metric.name}_count", labels, spread.count)
    metric.add_sample(f"{metric.name}_sum", labels, spread.total)

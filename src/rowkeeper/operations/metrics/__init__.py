"""Metrics: what there is to count, for Prometheus and for whoever looks."""

from rowkeeper.operations.metrics.catalogue import FAMILIES
from rowkeeper.operations.metrics.collecting import collect, collect_now
from rowkeeper.operations.metrics.exposition import Exposition, as_text, exposed
from rowkeeper.operations.metrics.family import Definition, Family, Kind, Sample, Spread

__all__ = [
    "FAMILIES",
    "Definition",
    "Exposition",
    "Family",
    "Kind",
    "Sample",
    "Spread",
    "as_text",
    "collect",
    "collect_now",
    "exposed",
]

"""What runs came to: the totals that the ledger keeps."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rowkeeper.ledger.totals import BOUNDS_SECONDS, Total
from rowkeeper.operations.metrics.catalogue import FAMILIES
from rowkeeper.operations.metrics.family import Definition, Family, Kind, Sample, Spread
from rowkeeper.runs.workspace import Workspace

Rows = Sequence[tuple[Mapping[str, str], float]]


def of_ended(workspace: Workspace) -> Iterator[Family]:
    """A family for each total."""
    found: dict[str, list[tuple[Mapping[str, str], float]]] = defaultdict(list)
    for total, labels, value in workspace.ledger.totals.read():
        found[total.value].append((labels, value))
    for definition in FAMILIES:
        if definition.name in list(Total):
            yield Family(definition, tuple(_samples(definition, found[definition.name])))


def _samples(definition: Definition, rows: Rows) -> Iterable[Sample]:
    if definition.kind is Kind.HISTOGRAM:
        return _spreads(definition, rows)
    return (Sample({name: labels[name] for name in definition.labels}, value) for labels, value in rows)


def _spreads(definition: Definition, rows: Rows) -> Iterator[Sample]:
    """The ledger has how many were in each bucket; told is how many were at or below its bound."""
    counts: dict[tuple[str, ...], dict[float, int]] = defaultdict(dict)
    totals: dict[tuple[str, ...], float] = {}
    for labels, value in rows:
        key = tuple(labels[name] for name in definition.labels)
        if "le" in labels:
            counts[key][float(labels["le"])] = int(value)
        else:
            totals[key] = value
    for key, total in totals.items():
        below, buckets = 0, []
        for bound in (*BOUNDS_SECONDS, math.inf):
            below += counts[key].get(bound, 0)
            buckets.append((bound, below))
        yield Sample(dict(zip(definition.labels, key, strict=True)), Spread(tuple(buckets), total))

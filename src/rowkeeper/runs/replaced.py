"""The rows that a load takes the place of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rowkeeper.ledger import Ledger
from rowkeeper.runs.replayed import replays_of

Addresses = Sequence[tuple[int, int]]
"""(run, partition ordinal) of rows."""


def former_rows(ledger: Ledger, pipeline: str, target: str, keys: Iterable[str]) -> dict[str, Addresses]:
    """Where the published rows of these partitions lie, by key, those replayed from their quarantine included."""
    everything = ledger.loaded(pipeline, target)
    found: dict[str, Addresses] = {}
    for key in keys:
        former = everything.get(key)
        if former is None:
            continue
        found[key] = [(former.run, former.ordinal), *replays_of(everything, former.run, former.ordinal)]
    return found

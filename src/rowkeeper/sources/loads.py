"""Loads of a source that is read as a whole, or from a mark on: each is a partition, and follows the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from rowkeeper.batch import Partition
from rowkeeper.errors import SourceChanged

LOAD = "load"


def newest(name: str, loaded: Mapping[str, Partition]) -> Partition | None:
    """The last load of a source.

    Raises SourceChanged if an earlier one was taken back, so that what came after it does not follow.
    """
    own = sorted(
        (each for each in loaded.values() if each.detail.get("source") == name), key=lambda each: each.detail[LOAD]
    )
    numbers = [each.detail[LOAD] for each in own]
    if own and (numbers != list(range(numbers[0], numbers[-1] + 1)) or own[0].detail["follows"]):
        raise SourceChanged(
            f"a load of {name} was rolled back, and later ones were not: their rows do not follow what is there",
            hint="roll the later ones back as well, the newest first; then run: they are loaded again",
        )
    return own[-1] if own else None


def next_load(name: str, former: Partition | None, detail: Mapping[str, Any], *, grows: bool) -> Partition:
    """The partition of the load after this one.

    Args:
        detail: what the reading has to know.
        grows: it adds to those before; otherwise it takes the place of the one before, and has its key.
    """
    number = 1 if former is None else former.detail[LOAD] + 1
    follows = grows and any(detail.get(each) for each in ("tide", "last"))
    known = hashlib.blake2b(json.dumps(detail, sort_keys=True).encode(), digest_size=8).hexdigest()
    return Partition(
        key=f"{name} #{number}" if grows else name,
        identity=f"load {number} after {known}",
        detail={"source": name, LOAD: number, "follows": follows, **detail},
    )

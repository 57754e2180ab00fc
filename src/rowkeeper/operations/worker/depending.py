"""Pipelines that come after others: a name that nobody knows, or a circle across files, is told and not served."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from rowkeeper.nearest import did_you_mean
from rowkeeper.operations.worker.files import Declared
from rowkeeper.schedule import circle


def sound(
    declared: Iterable[Declared], known: Collection[str], refuse: Callable[[Declared, str], None]
) -> list[Declared]:
    """Those whose `after` can be served; of each other it is told why not.

    Args:
        known: names of pipelines that are declared, or of which there are runs.
    """
    found: list[Declared] = []
    for each in declared:
        unknown = [name for name in each.timing.after if name not in known]
        if unknown:
            hint = did_you_mean(unknown[0], sorted(known), "name pipelines of these files, or that have run")
            refuse(each, f"it is to be run after {unknown[0]}, and nobody knows a pipeline of that name: {hint}")
        else:
            found.append(each)
    while around := circle({each.pipeline: each.timing.after for each in found}):
        for each in [each for each in found if each.pipeline in around]:
            refuse(each, f"{' after '.join(around)}: each would wait for the other")
            found.remove(each)
    return found

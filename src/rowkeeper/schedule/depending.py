"""Pipelines that come after each other: none may wait for itself, by whichever way round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter


def circle(after: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of pipelines that come after each other in a circle, the first once more at the end; empty if none do.

    Args:
        after: by name of a pipeline, those that it comes after.
    """
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        return [str(each) for each in reversed(error.args[1])]
    return []

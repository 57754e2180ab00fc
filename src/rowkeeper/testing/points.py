"""Which failpoints a suite kills its commands at, and how much of all that it tries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Choosing:
    """What the suites of sources and of destinations have in common."""

    def chosen(self, what: str, items: Sequence[Item]) -> Sequence[Item]:
        """Of the failpoints that a run is to be killed at, or of the rig's faults, those that are tried: all of them.

        Override it for a sample where all of them take too long each time; let it be another one from time to time.

        Args:
            what: `failpoints` or `faults`.
            items: failpoints with the number of the pass, in the order in which they are passed; or faults.
        """
        return items


def chosen_points(passed: Sequence[str], own: str, every: int) -> list[tuple[str, int]]:
    """Some of the failpoints that a command passed, each with the number of the pass at which to strike.

    Without those of a lease's renewal: whether a command comes by there is a matter of time.

    Args:
        passed: the names in the order in which they were passed, as a failpoint of the kind `log` writes them.
        own: a regular expression of the names of what is tested: of these all are chosen, in the midst of their passes.
        every: of the others, each n-th.
    """
    passes = {name: passed.count(name) for name in dict.fromkeys(passed) if not name.endswith(":renew_lease")}
    assert passes, "the run passed no failpoint"
    chosen = []
    for number, (name, count) in enumerate(passes.items()):
        if re.search(own, name):
            chosen.append((name, (count + 2) // 2))
        elif number % every == 0:
            chosen.append((name, 1))
    return chosen

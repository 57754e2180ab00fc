"""Which failpoints a suite kills its commands at."""

from __future__ import annotations

import re
from collections.abc import Sequence


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

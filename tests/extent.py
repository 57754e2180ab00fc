"""How much the broad tests try: a sample in `make test`, all of it in `make torture`, which gives `--whole`."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pytest

SEED = "SEED_OF_TESTS"
OF_CI = "20261127"
Item = TypeVar("Item")

whole = False
"""Set by `conftest.py` before the tests are imported."""


def examples(sample: int, all_of_it: int) -> int:
    """How many random examples to try: others in each run, so that samples add up."""
    return all_of_it if whole else sample


def seed() -> str:
    """Another one in each run of the tests; pytest's last lines say how to have the same again.

    In CI always the same, as Hypothesis' is: a change is refused for what it did, not for what it was lucky or not to
    have tried.
    """
    chosen = OF_CI if os.environ.get("CI") else str(random.SystemRandom().randrange(1_000_000))
    return os.environ.setdefault(SEED, chosen)


def chance(purpose: str) -> random.Random:
    """By the seed, and for each purpose its own: which tests run besides makes no difference."""
    return random.Random(f"{seed()} {purpose}")


def sample(purpose: str, items: Sequence[Item], count: int, own: Sequence[Item] = ()) -> list[Item]:
    """So many of the items, in their order; half of them from `own`, those that nobody else tries."""
    chosen = chance(purpose)
    picked = set(chosen.sample(own, min(len(own), count // 2)))
    rest = [item for item in items if item not in picked]
    picked |= set(chosen.sample(rest, min(len(rest), count - len(picked))))
    return [item for item in items if item in picked]


class Sampled:
    """Put before a conformance suite of `rowkeeper.testing`: of its failpoints and faults it tries so many.

    Attributes:
        tries: how many of each kind `make test` tries, others each time.
    """

    tries = 2

    def chosen(self, what: str, items: Sequence[Item]) -> Sequence[Item]:
        """Which of the items the suite tries."""
        return items if whole else sample(f"{what} of {type(self).__qualname__}", items, self.tries)


def is_named(item: pytest.Item, asked: Sequence[str]) -> bool:
    """Whether a test is asked for by its name: `FILE::NAME`."""
    own = item.nodeid.partition("::")[2]
    parts = (each.partition("::") for each in asked)
    return any(name and own.startswith(name) and Path(path).resolve() == item.path for path, _, name in parts)


def left_out(items: Sequence[pytest.Item]) -> set[pytest.Item]:
    """The tests whose turn it is not: see the mark `in_turns`.

    Those that take turns are the parameters of one test, and the tests of one name in the classes that bear the mark.
    """
    groups: dict[tuple[str, str, int], list[pytest.Item]] = defaultdict(list)
    for item in items:
        if (mark := item.get_closest_marker("in_turns")) is not None:
            groups[mark.args[0], getattr(item, "originalname", item.name), mark.args[1]].append(item)
    out: set[pytest.Item] = set()
    for (of, name, count), alike in groups.items():
        tried = sample(f"{name} of {of}", range(len(alike)), count)
        out |= {item for number, item in enumerate(alike) if number not in tried}
    return out

"""How much the broad tests try: a sample in `make test`, all of it in `make torture`, which gives `--whole`."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

SEED = "SEED_OF_TESTS"
Item = TypeVar("Item")

whole = False
"""Set by `conftest.py` before the tests are imported."""


def examples(sample: int, all_of_it: int) -> int:
    """How many random examples to try: others in each run, so that samples add up."""
    return all_of_it if whole else sample


def seed() -> str:
    """Another one in each run of the tests; pytest's last lines say how to have the same again."""
    return os.environ.setdefault(SEED, str(random.SystemRandom().randrange(1_000_000)))


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

"""How much the broad tests try: a sample in `make test`, all of it in `make torture`, which gives `--whole`."""

from __future__ import annotations

whole = False
"""Set by `conftest.py` before the tests are imported."""


def examples(sample: int, all_of_it: int) -> int:
    """How many random examples to try: others in each run, so that samples add up."""
    return all_of_it if whole else sample

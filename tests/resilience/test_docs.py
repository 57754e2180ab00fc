"""docs/resilience.md: its code runs, and what it calls the defaults are the defaults."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from pydantic import BaseModel

import rowkeeper as rk

PAGE = (Path(__file__).parents[2] / "docs" / "resilience.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


class Order(BaseModel):
    """Stands for the README's."""

    id: int


def test_the_examples_run():
    """In order, with functions where a user has their own."""
    names = {"rk": rk, "fetch": lambda page: page, "post": lambda body: body, "find": lambda key: key, "Order": Order}
    for block in BLOCKS:
        exec(block, names)
    assert names["receipt"] == {"key": "k1"}


def test_every_setting_is_there_with_its_default():
    """The page shows the whole default policy, written out."""
    shown = eval(next(block for block in BLOCKS if block.startswith("rk.Resilience(")), {"rk": rk})
    assert shown == rk.Resilience()
    for policy in (rk.Resilience, rk.Retry, rk.RetryBudget, rk.CircuitBreaker):
        for field in dataclasses.fields(policy):
            assert f"{field.name}=" in PAGE

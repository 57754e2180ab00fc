"""docs/sources-api.md: its examples run, against a server that is started here, and its tests are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import trustme

from tests.arena import Arena
from tests.sources.api.shop import Asked, Said, Shop, open_shop

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "sources-api.md").read_text()
BLOCKS = re.findall(r"```(\w+)(?: file=(\S+))?\n(.*?)```", PAGE, re.DOTALL)
COMMITTED = {"orders.py": 25, "mine.py": 25}


@pytest.fixture
def shop(authority: trustme.CA) -> Iterator[Shop]:
    rows = [{"id": each, "updated_at": f"2026-01-01T00:{each:02}:00Z", "amount": each + 0.5} for each in range(25)]
    shop = Shop(rows)

    def answer(asked: Asked) -> Said:
        if asked.headers.get("authorization") != "Bearer sesame":
            return Said(status=401)
        asked.path = asked.path.removeprefix("/v1").replace("/orders", "/token")
        return shop.answer(asked)

    shop.first = answer
    with open_shop(shop, authority) as opened:
        yield opened


def test_the_examples_run(own_arena: Arena, shop: Shop, ca: Path):
    """In order, files and commands, with the host of the server, which the settings say to trust."""
    own_arena.env |= {"ROWKEEPER_TLS_CA": str(ca), "ORDERS_TOKEN": "sesame"}
    ran = {}
    for kind, name, text in BLOCKS:
        if name:
            own_arena.write(name, text.replace("https://api.example.com", shop.url))
        elif kind == "console":
            for line in text.splitlines():
                words = shlex.split(line.removeprefix("$ rowkeeper "))
                ran[words[-1]] = own_arena.ok(*words)
    assert {name: each["account"]["committed"] for name, each in ran.items()} == COMMITTED


def test_the_declarations_are_valid():
    """Those that no pipeline is made of."""
    text = next(text for _, name, text in BLOCKS if name == "ways.py")
    names = vars(ModuleType("ways"))
    exec(text, names)
    assert {each.host for each in names["search"].endpoints()} == {"api.example.com", "login.example.com"}


def test_the_rig_is_one():
    """The example of a suite has the tests of the suite, and a rig that does what it must."""
    text = next(text for _, name, text in BLOCKS if name == "test_mine.py")
    names = vars(ModuleType("test_mine"))
    exec(text, names)
    assert any(each.startswith("test_killed") for each in dir(names["TestMine"]))
    assert {"declare", "offer", "add", "faults"} <= set(dir(names["Rig"]))

"""The pages about databases and APIs as destinations: their examples run, and the tests that they name are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import trustme

from tests.arena import Arena
from tests.destinations.api.store import Store
from tests.sources.api.shop import open_shop

ROOT = Path(__file__).parents[2]
PAGES = ("destinations-database", "destinations-api")


def blocks(page: str) -> list[tuple[str, str, str]]:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    return re.findall(r"```(\w+)(?: file=(\S+))?\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_run(page: str, own_arena: Arena, tmp_path: Path):
    """Files and commands in order; the API's host is that of a server that is started here."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own_arena.env |= {"ROWKEEPER_TLS_CA": str(tmp_path / "ca.pem"), "ORDERS_TOKEN": "sesame"}
    own_arena.write("orders/a.csv", "id,customer,amount\n1,Ada,120.50\n2,Grace,1\n")
    if page.endswith("api"):
        own_arena.write("orders/a.csv", "id,customer\n1,Ada\n2,Grace\n")
    with open_shop(Store(), authority) as store:
        for kind, name, text in blocks(page):
            if name:
                own_arena.write(name, text.replace("https://api.example.com/v1", store.url))
            elif kind == "console":
                for line in text.splitlines():
                    outcome = own_arena.run(*shlex.split(line.removeprefix("$ rowkeeper ")))
                    assert outcome.status == 0, (line, outcome)
        if page.endswith("api"):
            assert [row["id"] for row in store.taken["orders"]] == [1, 2]

"""docs/clickhouse-server.md: its examples run, against the front, and its tests are there."""

from __future__ import annotations

from pathlib import Path

import rowkeeper as rk
from tests.arena import Arena
from tests.destinations.server.serving import PASSWORDS, Front
from tests.docs.examples import blocks

ROOT = Path(__file__).parents[3]
PAGE = "docs/clickhouse-server.md"
URL = "https://loader@clickhouse.internal:8443/shop"


def test_the_pipeline_of_the_page_runs(tmp_path: Path, front: Front):
    """As it stands, but for where the server is: loaded, with a password by reference."""
    arena = Arena(tmp_path / "arena", {"CLICKHOUSE_PASSWORD": PASSWORDS["CH_PASSWORD"]})
    text = next(text for kind, name, text in blocks(PAGE) if name == "orders.py")
    assert URL in text
    arena.write("orders.py", text.replace(URL, front.url()))
    arena.write("orders/a.csv", "id,city\n1,Oslo\n2,Bern\n")
    assert arena.ok("run", "orders.py")["account"]["committed"] == 2
    places = {f"{each['host']}:{each['port']}" for each in arena.ok("endpoints", "orders.py")["endpoints"]}
    assert f"127.0.0.1:{front.ports[0]}" in places


def test_the_declaration_of_replicas_is_valid():
    """The page's second example is a destination."""
    (text,) = [text for kind, name, text in blocks(PAGE) if kind == "python" and not name]
    made = eval(text, {"rk": rk})
    assert len(made.server.places) == 3
    assert made.server.replicated

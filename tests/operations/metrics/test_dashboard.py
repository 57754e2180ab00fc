"""The dashboard: every metric is on it, Grafana's own types take it, a real Prometheus answers each of its queries."""

from __future__ import annotations

import json
import math
import re
import time
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pydantic
import pytest
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard, DataTransformerConfig

from rowkeeper.operations.metrics import FAMILIES
from rowkeeper.operations.metrics.dashboard import dashboard, dashboard_text
from rowkeeper.resilience.breaker import Name
from tests.operations.metrics.scraping import asked, until
from tests.web.site import Site

FRESH = """
import rowkeeper as rk
from datetime import datetime
from pydantic import BaseModel

class Row(BaseModel):
    id: int
    at: datetime

def fail(rows):
    raise ValueError("as it should")

fresh = rk.Pipeline("fresh", source=rk.sources.files("fresh/*.csv"), contract=Row,
    freshness=[rk.fresh("at", within="1h")],
    destination=rk.destinations.clickhouse("fresh", order_by=["id"]))
fails = rk.Pipeline("fails", source=rk.sources.files("fresh/*.csv"), contract=Row, transform=fail,
    destination=rk.destinations.clickhouse("fails", order_by=["id"]))
"""
SPAN = "60s"  # of all the variables that are spans of time: Prometheus has been up for no longer


def panels() -> Iterator[dict[str, Any]]:
    yield from (each for each in dashboard()["panels"] if each["type"] != "row")


def queries() -> list[tuple[str, str, bool]]:
    """Each with the title of its panel, and whether it is of one moment."""
    return [(each["title"], target["expr"], target["instant"]) for each in panels() for target in each["targets"]]


def test_every_metric_is_on_it_and_nothing_else():
    """A metric that is new has to be put somewhere; one that is gone is asked for no more."""
    named = {name for _, query, _ in queries() for name in re.findall(r"\b(?:rowkeeper|process)_\w+", query)}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named} == {each.name for each in FAMILIES}


def test_queries_are_of_one_target_and_name_labels_that_there_are():
    """Of a metric that has pipelines, those that are chosen; labels in matchers and legends are the metric's."""
    labels = {each.name: set(each.labels) for each in FAMILIES}
    for panel in panels():
        for target in panel["targets"]:
            had: set[str] = set()
            for name, matchers in re.findall(r"\b((?:rowkeeper|process)_\w+)\{(.*?)\}", target["expr"]):
                metric = re.sub(r"_(bucket|sum|count)$", "", name)
                matched = set(re.findall(r"(\w+)=", matchers))
                assert matched >= {"job", "instance"} | (labels[metric] & {"pipeline"}), target
                assert matched <= {"job", "instance"} | labels[metric], target
                had |= labels[metric]
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= had, target


def test_panels_lie_beside_each_other():
    """None is over another, or beyond the edge; ids are different."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        x, y, w, h = (panel["gridPos"][name] for name in "xywh")
        cells = {(column, line) for column in range(x, x + w) for line in range(y, y + h)}
        assert x + w <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))


def test_grafanas_own_types_take_it():
    """Those of the package that Grafana makes from its schema: read and written again nothing of it is lost, as a name
    is that the schema does not have; and every value is of the type that it has there.
    """
    register_default_plugins()
    read = Dashboard.from_json(json.loads(dashboard_text()))
    for panel in read.panels:  # the package leaves these as they are
        if getattr(panel, "transformations", None):
            panel.transformations = [DataTransformerConfig.from_json(each) for each in panel.transformations]
    written = json.loads(json.dumps(read, cls=JSONEncoder))
    assert lost(json.loads(dashboard_text()), written) == []
    assert sum(conforming(read)) > 1000


def lost(ours: Any, theirs: Any, at: str = "") -> list[str]:
    """Where something of ours is not in theirs, which may have more: what it has when nothing is said."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return [
            where
            for name, value in ours.items()
            for where in (lost(value, theirs[name], f"{at}.{name}") if name in theirs else [f"{at}.{name}"])
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [where for n, pair in enumerate(zip(ours, theirs, strict=True)) for where in lost(*pair, f"{at}[{n}]")]
    return [] if ours == theirs else [f"{at}: {ours!r} != {theirs!r}"]


def conforming(value: object) -> Iterator[int]:
    """A one for each attribute of the package's classes, below this value; raises for one that is not of its type."""
    if isinstance(value, list):
        for each in value:
            yield from conforming(each)
    elif type(value).__module__.startswith("grafana_foundation_sdk.models"):
        for name, hint in typing.get_type_hints(type(value)).items():
            held = getattr(value, name)
            if hint is not variants.Dataquery:
                config = pydantic.ConfigDict(arbitrary_types_allowed=True)
                assert pydantic.TypeAdapter(hint, config=config).validate_python(held) == held, (value, name)
            yield 1
            yield from conforming(held)


@pytest.fixture(scope="module")
def busy(site: Site, prometheus: httpx.Client) -> httpx.Client:
    """A Prometheus that has seen runs, their figures grow, a backup, a drill, a breaker, and freshness."""
    arena = site.arena
    arena.write("fresh.py", FRESH)
    arena.write("fresh/a.csv", "id,at\n1,2026-11-26T00:00:00Z\n2,never\n")
    begin = [("run", "fresh.py:fresh"), ("run", "fresh.py:fails"), ("health", "fresh.py:fresh")]
    arena.together(*begin)
    with site.opened() as space:
        space.ledger.breakers.write(Name("example.org", "read"), 30.0, 1)
    arena.ok("backup", "create")
    arena.ok("backup", "drill")
    arena.together(("health",))
    seen = 'rowkeeper_rows_total{pipeline="fresh"} and on() rowkeeper_runs_total{pipeline="fails"}'
    until(lambda: asked(prometheus, seen))
    arena.write("fresh/b.csv", "id,at\n3,2026-11-26T01:00:00Z\n4,never\n")
    arena.together(("run", "fresh.py:fresh"), ("run", "fresh.py:fails"))
    until(lambda: asked(prometheus, 'rowkeeper_rows_total{pipeline="fresh",line="committed"} == 2'))
    return prometheus


def test_prometheus_answers_every_query(busy: httpx.Client, site: Site):
    """With Grafana's variables put in as it does, each gives numbers of this installation: over time, or of now."""
    chosen = {"job": "rowkeeper", "instance": f"127.0.0.1:{site.port}", "pipeline": ".*"}
    spans = dict.fromkeys(("__interval", "__rate_interval", "window"), SPAN)
    empty: list[tuple[str, str]] = []
    for title, query, instant in queries():
        asks = re.sub(r"\$(\w+)", lambda found: {**chosen, **spans}[found[1]], query)
        if not numbers(busy, asks, instant=instant):
            empty.append((title, asks))
    assert empty == []


def numbers(client: httpx.Client, query: str, *, instant: bool) -> list[float]:
    """What it gives, without what is no number."""
    now = time.time()
    span = {"time": now} if instant else {"start": now - 60, "end": now, "step": 5}
    answer = client.get("/api/v1/query" if instant else "/api/v1/query_range", params={"query": query, **span})
    assert answer.status_code == 200, answer.text
    found = answer.json()["data"]["result"]
    values = [value for each in found for _, value in ([each["value"]] if instant else each["values"])]
    return [float(value) for value in values if not math.isnan(float(value))]


def test_variables_have_values(busy: httpx.Client, site: Site):
    """What Grafana offers to choose from, by the queries of the variables: this job, this target, these pipelines."""
    chosen = {"job": "rowkeeper", "instance": f"127.0.0.1:{site.port}"}
    offered = {}
    for each in dashboard()["templating"]["list"]:
        if each["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", each["query"]["query"]).groups()
            series = re.sub(r"\$(\w+)", lambda found: chosen[found[1]], series)
            values = busy.get(f"/api/v1/label/{label}/values", params={"match[]": series}).json()["data"]
            offered[each["name"]] = values
    assert offered["job"] == ["rowkeeper"]
    assert offered["instance"] == [f"127.0.0.1:{site.port}"]
    assert {"orders", "held", "fresh"} <= set(offered["pipeline"])


def test_the_command_prints_it(site: Site):
    """As JSON to import, or into a file; under another title."""
    printed = site.arena.run("metrics", "dashboard")
    assert printed.stdout == dashboard_text()
    document = site.arena.ok("metrics", "dashboard", "--out", "board.json", "--title", "Flights")
    written = json.loads((site.arena.folder / "board.json").read_text())
    assert (document["file"], document["dashboard"], written["title"]) == ("board.json", written, "Flights")

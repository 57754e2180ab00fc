"""The way of the documentation, walked by a real Prometheus: TLS, a token, values, and alerts that fire."""

from __future__ import annotations

import httpx

from tests.operations.metrics.scraping import asked, until
from tests.web.site import Site


def test_the_target_is_up(prometheus: httpx.Client):
    """By TLS with the server's authority and the token; the certificate and the token are really asked for."""
    until(lambda: asked(prometheus, 'up{job="rowkeeper"} == 1'))
    (target,) = prometheus.get("/api/v1/targets").json()["data"]["activeTargets"]
    assert (target["health"], target["lastError"], target["scrapeUrl"][:6]) == ("up", "", "https:")


def test_values_are_those_of_the_runs(prometheus: httpx.Client):
    """Rows by line, a histogram's quantile, what is a server's own."""
    until(lambda: asked(prometheus, "rowkeeper_rows_total"))
    lines = {found["line"]: value for found, value in asked(prometheus, 'rowkeeper_rows_total{pipeline="orders"}')}
    assert lines == {"committed": 32, "quarantined": 8, "duplicate": 0, "filtered": 0}
    quantile = 'histogram_quantile(0.5, sum by (le) (rowkeeper_stage_seconds_bucket{stage="read"}))'
    ((_, seconds),) = asked(prometheus, quantile)
    assert 0 < seconds < 7200
    assert asked(prometheus, 'rowkeeper_security_events_total{class="api_activity", outcome="done"}')[0][1] > 0
    assert asked(prometheus, "process_resident_memory_bytes{job='rowkeeper'}")[0][1] > 1e7


def test_units_and_help_are_told(prometheus: httpx.Client):
    """Prometheus asks for OpenMetrics, and learns kind, help and unit."""
    until(lambda: asked(prometheus, "rowkeeper_rows_total"))
    told = prometheus.get("/api/v1/targets/metadata", params={"match_target": '{job="rowkeeper"}'}).json()["data"]
    by_name = {each["metric"]: each for each in told}
    stage = by_name["rowkeeper_stage_seconds"]
    assert (stage["type"], stage["unit"]) == ("histogram", "seconds")
    assert stage["help"].startswith("How long each stage")


def test_the_rules_fire(prometheus: httpx.Client):
    """The pipeline whose last run its gates hold, and the one that nobody runs any more, by name; and no other."""
    wanted = {("RowkeeperRunFailed", "held"), ("RowkeeperNoSuccess", "silent"), ("RowkeeperRunWaits", "held")}

    def firing() -> set[tuple[str, str]]:
        alerts = prometheus.get("/api/v1/alerts").json()["data"]["alerts"]
        return {
            (each["labels"]["alertname"], each["labels"].get("pipeline", ""))
            for each in alerts
            if each["state"] == "firing"
        }

    until(lambda: wanted <= firing())
    assert ("RowkeeperRunFailed", "orders") not in firing()
    assert ("RowkeeperDown", "") not in firing()


def test_a_stranger_gets_nothing(site: Site, prometheus: httpx.Client):
    """Without a token, or with one that may do other things only, there is no metric."""
    with site.client() as nobody, site.client("none") as without:
        assert nobody.get("/metrics").status_code == 401
        assert without.get("/metrics").status_code == 403
    assert prometheus

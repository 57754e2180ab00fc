"""What is promised of the metrics: names that stay, a page that says the same, labels that are few and tell nothing."""

from __future__ import annotations

import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed_text
from tools.metrics import TARGET, page

from rowkeeper.errors import LedgerBusy
from rowkeeper.ledger import RunStatus
from rowkeeper.operations.metrics import FAMILIES, Family, Kind, Spread, as_text, collect_now, exposed
from rowkeeper.operations.metrics.collecting import PARTS, gathered
from tests.web.site import Site

# Rules and dashboards hang on these: a name is never given to another metric, nor a metric another name, kind or label.
NAMES = {
    "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_start_time_seconds": "gauge",
    "rowkeeper_alerts_firing": "gauge rule severity state",
    "rowkeeper_alerts_looked_timestamp_seconds": "gauge",
    "rowkeeper_audit_entries_total": "counter",
    "rowkeeper_backup_timestamp_seconds": "gauge",
    "rowkeeper_breaker_open": "gauge host operation",
    "rowkeeper_breakers_open": "gauge",
    "rowkeeper_build_info": "gauge version",
    "rowkeeper_collection_failed": "gauge part",
    "rowkeeper_disk_free_bytes": "gauge",
    "rowkeeper_drill_timestamp_seconds": "gauge",
    "rowkeeper_former_key_files": "gauge purpose",
    "rowkeeper_former_keys": "gauge purpose",
    "rowkeeper_freshness_timestamp_seconds": "gauge pipeline rule",
    "rowkeeper_health_state": "gauge name subject",
    "rowkeeper_jobs_under_way": "gauge",
    "rowkeeper_last_published_timestamp_seconds": "gauge pipeline",
    "rowkeeper_last_run_success": "gauge pipeline",
    "rowkeeper_last_success_timestamp_seconds": "gauge pipeline",
    "rowkeeper_leases": "gauge",
    "rowkeeper_quarantine_rows": "gauge pipeline",
    "rowkeeper_retries_total": "counter pipeline",
    "rowkeeper_rows_by_pydantic_total": "counter pipeline",
    "rowkeeper_rows_total": "counter pipeline line",
    "rowkeeper_run_cpu_seconds_total": "counter pipeline",
    "rowkeeper_run_errors_total": "counter pipeline code",
    "rowkeeper_run_peak_memory_bytes": "gauge pipeline",
    "rowkeeper_run_seconds": "histogram pipeline",
    "rowkeeper_runs_in_flight": "gauge pipeline",
    "rowkeeper_runs_open": "gauge pipeline status",
    "rowkeeper_runs_total": "counter pipeline kind status",
    "rowkeeper_schedule_failures": "gauge pipeline",
    "rowkeeper_schedule_late_seconds": "gauge pipeline",
    "rowkeeper_schedule_paused": "gauge pipeline",
    "rowkeeper_schedule_next_timestamp_seconds": "gauge pipeline",
    "rowkeeper_security_events_total": "counter class outcome",
    "rowkeeper_spooled_runs": "gauge",
    "rowkeeper_stage_bytes_total": "counter pipeline stage",
    "rowkeeper_stage_cpu_seconds_total": "counter pipeline stage",
    "rowkeeper_stage_rows_total": "counter pipeline stage",
    "rowkeeper_stage_seconds": "histogram pipeline stage",
    "rowkeeper_stage_wait_seconds_total": "counter pipeline stage wait",
    "rowkeeper_success_due_timestamp_seconds": "gauge pipeline",
}
STAGES = {
    *("open", "drain", "plan", "wait", "load", "gate", "seal", "publish", "record"),
    *("read", "check", "transform", "protect", "stage", "note"),
}
LABELS = {
    "pipeline": re.compile(r"orders|held|slow|silent|fresh|fails"),
    "kind": re.compile(r"load|replay|rollback"),
    "status": re.compile("|".join(RunStatus)),
    "line": re.compile(r"committed|quarantined|duplicate|filtered"),
    "stage": re.compile("|".join(STAGES)),
    "wait": re.compile(r"input|room"),
    "code": re.compile(r"RK-\d{4}"),
    "version": re.compile(r"[0-9.]+"),
    "part": re.compile("|".join(PARTS)),
    "name": re.compile(r"[a-z_-]+"),
    "purpose": re.compile(r"[a-z]+|(pseudonymise|quarantine)\.[a-z.]+"),
    "rule": re.compile(r"[a-z-]+"),
    "severity": re.compile(r"info|warning|critical"),
    "state": re.compile(r"firing|acknowledged|silenced"),
    "subject": re.compile(r"|orders|held|slow|silent|fresh|fails|[a-z0-9./:_-]+"),
}
"""What each label may be in this installation: nothing of its rows, which hold addresses of people."""


@pytest.fixture(scope="module")
def found(site: Site) -> tuple[Family, ...]:
    with site.opened() as space:
        return collect_now(space)


def test_names_never_change_unnoticed():
    """Each metric has the kind and the labels that it was promised with."""
    assert {each.name: " ".join((each.kind, *each.labels)) for each in FAMILIES} == NAMES


def test_names_say_their_unit():
    """Counters, and they alone, end in _total; seconds and bytes are said; the beginning is ours, or any process's."""
    for each in FAMILIES:
        assert each.name.startswith(("rowkeeper_", "process_"))
        assert each.name.endswith("_total") is (each.kind is Kind.COUNTER)
        assert each.unit in ("", "seconds", "bytes", "rows")
        if each.unit in ("seconds", "bytes"):
            assert each.name.removesuffix("_total").endswith(f"_{each.unit}")
        assert each.told.endswith("."), each.name


def test_the_page_is_of_today():
    """docs/metrics.md says what the code says: python -m tools.metrics writes its tables."""
    assert TARGET.read_text() == page(TARGET.read_text())


def test_every_family_is_collected_or_a_servers_own(found: tuple[Family, ...]):
    """What is promised is there, whether it has samples or not."""
    assert sorted(each.name for each in found) == sorted(each.name for each in FAMILIES if not each.served)


def test_labels_tell_no_more_than_they_may(found: tuple[Family, ...]):
    """Of a busy installation, every label of every sample: no person, no value, and few of them."""
    seen = [(name, text) for each in found for sample in each.samples for name, text in sample.labels.items()]
    assert len(seen) > 100
    assert [each for each in seen if not LABELS[each[0]].fullmatch(each[1])] == []
    assert "example.org" not in as_text(found)


def test_figures_are_those_of_the_runs(found: tuple[Family, ...]):
    """Counts, rows and stages of the two runs that were made."""
    by_name = {each.name: each for each in found}
    assert by_name["rowkeeper_runs_total"].value(pipeline="orders", kind="load", status="published") == 1
    assert by_name["rowkeeper_runs_total"].value(pipeline="held", kind="load", status="held") == 1
    assert by_name["rowkeeper_rows_total"].value(pipeline="orders", line="committed") == 32
    assert by_name["rowkeeper_rows_total"].value(pipeline="orders", line="quarantined") == 8
    assert by_name["rowkeeper_stage_rows_total"].value(pipeline="orders", stage="read") == 40
    assert by_name["rowkeeper_quarantine_rows"].value(pipeline="orders") == 8
    assert by_name["rowkeeper_runs_open"].value(pipeline="held", status="held") == 1
    assert by_name["rowkeeper_last_run_success"].value(pipeline="held") == 0
    assert set(by_name["rowkeeper_collection_failed"].samples[0].labels) == {"part"}
    assert all(sample.value == 0 for sample in by_name["rowkeeper_collection_failed"].samples)


def test_steps_add_up_to_the_run(found: tuple[Family, ...]):
    """Their seconds are the run's, but for what is between two of them."""
    by_name = {each.name: each for each in found}
    steps = ("open", "plan", "load", "gate", "seal", "publish", "record")

    def seconds(name: str, **labels: str) -> float:
        (value,) = (each.value for each in by_name[name].samples if each.labels == {"pipeline": "orders", **labels})
        assert isinstance(value, Spread)
        return value.total

    whole = seconds("rowkeeper_run_seconds")
    together = sum(seconds("rowkeeper_stage_seconds", stage=step) for step in steps)
    assert 0.98 * whole - 0.05 < together <= whole  # on a busy machine what is between takes longer, as all does


@pytest.mark.parametrize("accept", ["", "text/plain", "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"])
def test_both_formats_say_the_same(found: tuple[Family, ...], accept: str):
    """Read back by the library's own parsers, they are the families; counters keep their names."""
    told = exposed(found, accept)
    is_open = "openmetrics" in accept
    assert ("openmetrics" in told.media_type) is is_open
    read = (parsed_openmetrics if is_open else parsed_text)(told.body.decode())
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value for each in read for sample in each.samples
    }
    for each in found:
        for sample in each.samples:
            if not isinstance(sample.value, Spread):
                assert samples[each.name, tuple(sorted(sample.labels.items()))] == sample.value
            else:
                key = tuple(sorted(sample.labels.items()))
                assert samples[f"{each.name}_count", key] == sample.value.count
                assert samples[f"{each.name}_sum", key] == pytest.approx(sample.value.total)


def test_a_part_that_fails_takes_no_other_along(site: Site):
    """The others are there, and the metrics say themselves that they are not whole."""

    def busy(_space: object) -> tuple[Family, ...]:
        raise LedgerBusy("the ledger was locked", hint="try again")

    with site.opened() as space:
        found = gathered(space, {"shared": busy, "kept": PARTS["kept"]})
    by_name = {each.name: each for each in found}
    assert by_name["rowkeeper_collection_failed"].value(part="shared") == 1
    assert by_name["rowkeeper_collection_failed"].value(part="kept") == 0
    assert by_name["rowkeeper_audit_entries_total"].samples


def test_the_page_tells_of_every_stage():
    """A line for each."""
    text = TARGET.read_text()
    assert [stage for stage in STAGES if f"| `{stage}` |" not in text] == []

"""Alert rules, judged by Prometheus' own promtool: they are well-formed, and fire when they should."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from tools.metrics import TARGET

from rowkeeper.operations.metrics import FAMILIES, as_text
from rowkeeper.operations.metrics.collecting import gathered
from rowkeeper.operations.metrics.rules import RULES, rules_text
from tests.operations.metrics.prometheus import promtool
from tests.web.site import Site

DUE = "rowkeeper_success_due_timestamp_seconds"


Labels = dict[str, str]


Case = tuple[dict[str, str], list[tuple[str, str, list[Labels]]]]
"""Series with their values a minute, as Prometheus' tests write them; and for times and alerts the labels of each that
fires then, but for the severity.
"""


def fires(folder: Path, *cases: Case) -> None:
    """Passes if those alerts fire that are told, and no other of the same names; what they say is left out."""
    rules = yaml.safe_load(rules_text())
    severities = {each["alert"]: each["labels"]["severity"] for each in rules["groups"][0]["rules"]}
    for each in rules["groups"][0]["rules"]:
        del each["annotations"]
    tests = [
        judgement(
            series,
            *(
                (time, name, [{"exp_labels": {**labels, "severity": severities[name]}} for labels in found])
                for time, name, found in asked
            ),
        )
        for series, asked in cases
    ]
    judged(folder, yaml.safe_dump(rules), tests)


def judgement(series: dict[str, str], *asked: tuple[str, str, list[dict[str, Any]]]) -> dict[str, Any]:
    """A test as promtool takes it."""
    listed = [{"series": name, "values": values} for name, values in series.items()]
    alerts = [{"eval_time": time, "alertname": name, "exp_alerts": found} for time, name, found in asked]
    return {"interval": "1m", "input_series": listed, "alert_rule_test": alerts}


def judged(folder: Path, rules: str, tests: list[dict[str, Any]]) -> None:
    """Has promtool test these rules."""
    (folder / "rules.yml").write_text(rules)
    (folder / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": tests}))
    done = promtool("test", "rules", str(folder / "tests.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules(tmp_path: Path):
    """`promtool check rules`, and as many as there are; also with another job and runbooks elsewhere."""
    for options in ({}, {"job": "flights", "runbooks": "https://docs.example.org/metrics"}):
        (tmp_path / "rules.yml").write_text(rules_text(**options))
        done = promtool("check", "rules", "--lint-fatal", str(tmp_path / "rules.yml"))
        assert (done.returncode, f"{len(RULES)} rules found" in done.stdout) == (0, True), done


def test_promtool_takes_the_metrics(site: Site):
    """`promtool check metrics` has nothing to say of what is written, by its rules for names, help and units."""
    with site.opened() as space:
        done = promtool("check", "metrics", text=as_text(gathered(space)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_each_rule_has_all_that_it_needs():
    """A severity, a summary, a description, and a runbook that is a section of the page; it asks only what there is."""
    (group,) = yaml.safe_load(rules_text())["groups"]
    page = TARGET.read_text()
    names = {each.name for each in FAMILIES}
    assert [each["alert"] for each in group["rules"]] == [each.name for each in RULES]
    for each in group["rules"]:
        assert each["labels"]["severity"] in ("critical", "warning")
        assert each["annotations"].keys() == {"summary", "description", "runbook_url"}
        anchor = each["annotations"]["runbook_url"].removeprefix("docs/metrics.md#")
        assert anchor in {head.lower() for head in re.findall(r"^### (\w+)$", page, re.MULTILINE)}
        assert set(re.findall(r"rowkeeper_\w+", each["expr"])) <= names


def test_a_pipeline_that_silently_stops_fires(tmp_path: Path):
    """Nothing fails and nobody writes anything: the time by which a success was due passes, and the alert fires.

    A pipeline that goes on puts it off again and again, and never fires.
    """
    series = {f'{DUE}{{pipeline="stopped"}}': "1800x180", f'{DUE}{{pipeline="well"}}': "1800+60x180"}
    stopped = [{"pipeline": "stopped"}]
    asked = [("30m", "RowkeeperNoSuccess", []), ("32m", "RowkeeperNoSuccess", stopped)]
    fires(tmp_path, (series, [*asked, ("3h", "RowkeeperNoSuccess", stopped)]))


def test_an_alert_says_what_is_the_matter(tmp_path: Path):
    """Its templates are filled in by Prometheus: which pipeline, for how long, and where to read on."""
    annotations = {
        "summary": "No success of stopped in time",
        "description": "By its schedule stopped should have succeeded 30m 0s ago.",
        "runbook_url": "docs/metrics.md#rowkeepernosuccess",
    }
    alert = {"exp_labels": {"pipeline": "stopped", "severity": "critical"}, "exp_annotations": annotations}
    series = {f'{DUE}{{pipeline="stopped"}}': "1800x180"}
    judged(tmp_path, rules_text(), [judgement(series, ("1h", "RowkeeperNoSuccess", [alert]))])


PIPELINE = {"pipeline": "p"}
CASES: dict[str, tuple[dict[str, str], list[tuple[str, list[Labels]]]]] = {
    "RowkeeperDown": (
        {'up{job="rowkeeper", instance="a"}': "1x9 0x20"},
        [("9m", []), ("16m", [{"job": "rowkeeper", "instance": "a"}])],
    ),
    "RowkeeperRunFailed": (
        {'rowkeeper_last_run_success{pipeline="p"}': "1x4 0x9 1x9"},
        [("7m", [PIPELINE]), ("15m", [])],
    ),
    "RowkeeperRunWaits": (
        {'rowkeeper_runs_open{pipeline="p", status="held"}': "1x90", 'rowkeeper_runs_open{status="staging"}': "1x90"},
        [("59m", []), ("61m", [{"status": "held", **PIPELINE}])],
    ),
    "RowkeeperSpoolWaits": ({"rowkeeper_spooled_runs": "0x9 2x90"}, [("60m", []), ("75m", [{}])]),
    "RowkeeperScheduleLate": (
        {'rowkeeper_schedule_late_seconds{pipeline="p"}': "0+60x60"},
        [("15m", []), ("22m", [PIPELINE])],
    ),
    "RowkeeperBreakerOpen": (
        {'rowkeeper_breaker_open{host="h", operation="read"}': "0 1x20"},
        [("9m", []), ("12m", [{"host": "h", "operation": "read"}])],
    ),
    "RowkeeperQuarantineShare": (
        {
            'rowkeeper_rows_total{pipeline="p", line="committed"}': "0+90x100",
            'rowkeeper_rows_total{pipeline="p", line="quarantined"}': "0+10x100",
            'rowkeeper_rows_total{pipeline="well", line="committed"}': "0+99x100",
            'rowkeeper_rows_total{pipeline="well", line="quarantined"}': "0+1x100",
        },
        [("90m", [PIPELINE])],
    ),
    "RowkeeperDiskShort": ({"rowkeeper_disk_free_bytes": "2e9x9 5e8x20"}, [("9m", []), ("16m", [{}])]),
    "RowkeeperBackupStale": (
        {
            'rowkeeper_health_state{name="backup", subject=""}': "0x9 2x30",
            'rowkeeper_health_state{name="disk"}': "2x30",
        },
        [("20m", []), ("26m", [{"name": "backup"}])],
    ),
    "RowkeeperHealthBad": (
        {
            'rowkeeper_health_state{name="disk", subject="state"}': "1 2x30",
            'rowkeeper_health_state{name="drill"}': "2x30",
        },
        [("5m", []), ("7m", [{"name": "disk", "subject": "state"}])],
    ),
    "RowkeeperHealthUnknown": ({'rowkeeper_health_state{name="disk"}': "3x30"}, [("16m", [{"name": "disk"}])]),
    "RowkeeperDetection": (
        {'rowkeeper_security_events_total{class="detection_finding", outcome="done"}': "0x9 1x90"},
        [("9m", []), ("12m", [{"class": "detection_finding", "outcome": "done"}]), ("80m", [])],
    ),
    "RowkeeperMetricsIncomplete": ({'rowkeeper_collection_failed{part="kept"}': "1x30"}, [("16m", [{"part": "kept"}])]),
}
"""For each rule: series, and when which alerts fire. RowkeeperNoSuccess has tests of its own."""


def test_every_rule_fires_when_it_should(tmp_path: Path):
    """And not before: for each, one time without and one with the alert."""
    assert {*CASES, "RowkeeperNoSuccess"} == {each.name for each in RULES}
    cases = ((series, [(time, name, found) for time, found in asked]) for name, (series, asked) in CASES.items())
    fires(tmp_path, *cases)


def test_nobody_at_the_target_is_down_too(tmp_path: Path):
    """A target that Prometheus no longer knows is as bad as one that does not answer."""
    fires(tmp_path, ({"something_else": "1x30"}, [("6m", "RowkeeperDown", [{"job": "rowkeeper"}])]))


def test_the_command_writes_them(site: Site):
    """To standard output, or into a file, and says which."""
    printed = site.arena.run("metrics", "rules")
    assert printed.stdout == rules_text()
    document = site.arena.ok("metrics", "rules", "--out", "rules.yml", "--job", "flights")
    written = (site.arena.folder / "rules.yml").read_text()
    assert (written, document["file"]) == (rules_text(job="flights"), "rules.yml")
    assert 'up{job=\\"flights\\"}' in written

"""Metrics as a file: whole or not at all, readable by node_exporter's user, and kept up to date by whoever runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from rowkeeper.errors import MetricsUnwritten
from rowkeeper.operations.metrics.textfile import write_text
from tests.arena import Arena
from tests.web.site import PIPELINES, Site


def values(path: Path, name: str) -> dict[str, float]:
    """By the labels that are not the pipeline's, as text."""
    samples = [sample for each in parsed(path.read_text()) for sample in each.samples if sample.name == name]
    return {" ".join(sample.labels.values()): sample.value for sample in samples}


def test_write_makes_a_file_for_everybody(site: Site):
    """Of all metrics but a server's own; in one step, with nothing left beside it."""
    file = site.arena.folder / "files" / "rowkeeper.prom"
    file.parent.mkdir()
    document = site.arena.ok("metrics", "write", str(file))
    assert document["samples"] > 50
    assert values(file, "rowkeeper_last_run_success").items() >= {"orders": 1, "held": 0}.items()
    assert "process_" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o644
    assert os.listdir(file.parent) == ["rowkeeper.prom"]


def test_show_tells_the_same(site: Site):
    """As JSON, with kinds, units and help; names that do not match are left out."""
    found = site.arena.ok("metrics", "show", "rowkeeper_rows_total", "run_seconds")["metrics"]
    assert [each["name"] for each in found] == ["rowkeeper_rows_total", "rowkeeper_run_seconds"]
    counts = {(each["labels"]["pipeline"], each["labels"]["line"]): each["value"] for each in found[0]["samples"]}
    assert (counts["orders", "committed"], counts["orders", "quarantined"]) == (32, 8)
    runs = {each["labels"]["pipeline"]: each["value"]["count"] for each in found[1]["samples"]}
    assert runs["orders"] == 1


def test_every_run_writes_the_file_of_the_settings(own_arena: Arena):
    """After it has ended, also if it is held; a command that ran nothing leaves the file alone."""
    file = own_arena.folder / "rowkeeper.prom"
    own_arena.env["ROWKEEPER_METRICS_FILE"] = str(file)
    own_arena.write("pipes.py", PIPELINES)
    own_arena.write("orders.csv", "id,pieces,email\n1,1,a@example.org\n")
    held = own_arena.run("run", "pipes.py:held")
    assert held.status == 1, held
    assert values(file, "rowkeeper_runs_total")["load held held"] == 1
    file.unlink()
    own_arena.ok("runs")
    assert not file.exists()
    own_arena.env["ROWKEEPER_METRICS_FILE"] = "/nowhere/rowkeeper.prom"
    ran = own_arena.run("run", "pipes.py:orders")
    assert (ran.status, "metrics not written" in ran.stderr) == (0, True), ran


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path):
    """One clear error; and no half file, whatever stops it."""
    folder = tmp_path / "rowkeeper.prom"
    folder.mkdir()
    with pytest.raises(MetricsUnwritten, match=r"rowkeeper\.prom cannot be written"):
        write_text(folder, "text")
    with pytest.raises(MetricsUnwritten):
        write_text(tmp_path / "nowhere" / "a.prom", "text")
    file = tmp_path / "a.prom"
    file.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_text(file, "half \ud800")
    assert file.read_text() == "before"
    assert sorted(os.listdir(tmp_path)) == ["a.prom", "rowkeeper.prom"]


def test_write_is_refused_with_one_error(site: Site):
    """Wrong usage: exit 2, the file and the next step."""
    outcome = site.arena.run("metrics", "write", "/nowhere/a.prom", "--json")
    assert (outcome.status, outcome.json["error"]["code"]) == (2, "RK-7050")

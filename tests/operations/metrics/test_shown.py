"""Metrics as people are shown them: `rowkeeper metrics show` and `write`."""

from __future__ import annotations

from tests.web.site import Site


def test_a_word_that_no_metric_has_is_an_error(site: Site):
    """With the nearest name; of what a server alone counts it says so, instead of an empty table."""
    words = ("rowkeeper_row_total", "process_cpu")
    outcomes = site.arena.together(*(("metrics", "show", word, "--json") for word in words))
    errors = [each.json["error"] for each in outcomes]
    assert [each.status for each in outcomes] == [2, 2]
    assert [each["code"] for each in errors] == ["RK-7060", "RK-7060"]
    assert errors[0]["hint"] == "did you mean rowkeeper_rows_total?"
    assert errors[1]["what"] == "process_cpu_seconds_total is counted by a server alone"


def test_times_are_shown_as_times(site: Site):
    """And not as seconds since 1970, which are for machines."""
    (line,) = [
        each
        for each in site.arena.run("metrics", "show", "last_published").stdout.splitlines()
        if "pipeline=orders" in each
    ]
    assert line.split()[-1] == "UTC"
    assert line.split()[-3].startswith("20")


def test_a_file_that_the_collector_passes_over_is_told_of(site: Site):
    """It is written as it was asked for; node_exporter would not read it."""
    done = site.arena.run("metrics", "write", "rowkeeper.txt")
    assert (done.status, "node_exporter reads only files that end in .prom" in done.stderr) == (0, True)

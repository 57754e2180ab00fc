"""A partition that cannot be read: the run stops, or goes on without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowkeeper.cli.door import worst
from tests.arena import Arena
from tests.runs.scenarios import PIPELINE, trips

DAMAGED = trips(100, 40) + '"an open quote'


def declare(arena: Arena, name: str, *, on_error: str = "continue", options: str = "") -> None:
    arena.write(f"{name}.py", PIPELINE.format(name=name, options=options, gates="", on_error=on_error))
    arena.write(f"{name}/a.csv", trips(0, 40))
    arena.write(f"{name}/b.csv", DAMAGED)
    arena.write(f"{name}/c.csv", trips(200, 40))


def ids(arena: Arena, name: str) -> list[int]:
    return [row[0] for row in arena.ok("query", f"SELECT id FROM {name} ORDER BY id")["rows"]]


def test_stop_publishes_nothing(arena: Arena):
    declare(arena, "stop", on_error="stop")
    failed = arena.run("run", "stop.py", "--json")
    assert failed.status == 1
    assert "a quote is never closed" in failed.stderr
    assert [run["status"] for run in arena.ok("runs", "--pipeline", "stop")["runs"]] == ["failed"]


def test_continue_publishes_the_others_and_says_what_failed(arena: Arena):
    """Exit status 3; the report, `show` and the ledger name the partition, its error and the next step."""
    declare(arena, "goes_on")
    done = arena.run("run", "goes_on.py", "--json")
    assert done.status == 3
    report = done.json
    assert report["status"] == "published"
    assert [each["key"] for each in report["partitions"]] == ["goes_on/a.csv", "goes_on/c.csv"]
    (failed,) = report["failed_partitions"]
    assert (failed["key"], failed["code"]) == ("goes_on/b.csv", "RK-2102")
    assert "quote" in failed["what"]
    assert failed["hint"]
    assert report["account"]["read"] == 80
    assert not [number for number in ids(arena, "goes_on") if 100 <= number < 200]
    assert arena.ok("show", str(report["run"]))["failed_partitions"] == [failed]
    assert arena.ok("verify", "goes_on.py")["sound"]
    told = arena.run("run", "goes_on.py")
    assert told.status == 1, "alone it fails the run"
    assert "never closed" in told.stderr


def test_the_next_run_tries_what_failed_and_nothing_else(arena: Arena):
    declare(arena, "again")
    assert arena.run("run", "again.py").status == 3
    arena.write("again/b.csv", trips(100, 40))
    report = arena.ok("run", "again.py")
    assert [each["key"] for each in report["partitions"]] == ["again/b.csv"]
    assert len({*ids(arena, "again")}) == len(ids(arena, "again"))
    assert [number for number in ids(arena, "again") if 100 <= number < 140]
    assert arena.ok("run", "again.py")["status"] == "unchanged"


def test_the_former_rows_of_a_changed_file_stay_where_its_new_ones_fail(arena: Arena):
    declare(arena, "reload")
    arena.write("reload/b.csv", trips(100, 40))
    before = arena.ok("run", "reload.py")
    held = ids(arena, "reload")
    arena.write("reload/b.csv", DAMAGED)
    arena.write("reload/d.csv", trips(300, 40))
    assert arena.run("run", "reload.py").status == 3
    assert [number for number in ids(arena, "reload") if number < 300] == held
    assert arena.ok("verify", "reload.py")["sound"]
    arena.write("reload/b.csv", trips(150, 40))
    arena.ok("run", "reload.py")
    assert next(number for number in ids(arena, "reload") if 100 <= number < 200) >= 150
    assert before["account"]["committed"] == len(held)


def test_columns_that_differ_and_a_transform_that_raises_are_of_one_file(arena: Arena):
    """A file with another header fails alone, whether it is found out when it is opened or in its midst."""
    declare(arena, "headers")
    arena.write("headers/b.csv", "id,town,fare\n1,Oslo,2\n")
    done = arena.run("run", "headers.py", "--json")
    assert done.status == 3
    assert done.json["failed_partitions"][0]["code"] == "RK-2104"


def test_a_file_that_cannot_even_be_planned(arena: Arena):
    """A changed file that must not change is listed; the others are loaded."""
    arena.write(
        "planned.py",
        PIPELINE.format(name="planned", options="", gates="", on_error="continue").replace('"reload"', '"reject"'),
    )
    arena.write("planned/a.csv", trips(0, 40))
    arena.ok("run", "planned.py")
    arena.write("planned/a.csv", trips(0, 41))
    alone = arena.run("run", "planned.py")
    assert alone.status == 1
    assert "changed since it was loaded" in alone.stderr
    arena.write("planned/b.csv", trips(100, 40))
    done = arena.run("run", "planned.py", "--json")
    assert done.status == 3
    assert [each["code"] for each in done.json["failed_partitions"]] == ["RK-2103"]
    assert done.json["account"]["read"] == 40
    assert arena.ok("verify", "planned.py")["sound"]


def test_everything_failed_is_a_failed_run(arena: Arena):
    declare(arena, "nothing")
    for name in "ac":
        arena.write(f"nothing/{name}.csv", DAMAGED)
    failed = arena.run("run", "nothing.py", "--json")
    assert failed.status == 1
    assert failed.json["status"] == "failed"
    assert failed.json["error"]["code"] == "RK-2102"


def test_no_rejected_row_of_a_failed_partition_is_left(arena: Arena):
    """Its rows, good and bad, are read again when it is mended: none may be in the quarantine twice."""
    declare(arena, "rejects")
    assert arena.run("run", "rejects.py").status == 3
    number = arena.ok("runs", "--pipeline", "rejects")["runs"][0]["run"]
    rows = arena.ok("quarantine", "show", str(number), "--limit", "1000")["rows"]
    assert rows
    assert not [row for row in rows if "rejects/b.csv" in row["place"]]
    sealed = {path.name for path in (Path(arena.home) / "quarantine" / str(number)).iterdir()}
    assert not [name for name in sealed if name.startswith("1-")], sealed


def test_replace_cannot_go_on(arena: Arena):
    declare(arena, "replaced", options='write="replace"')
    refused = arena.run("run", "replaced.py")
    assert refused.status == 2
    assert "would lose the rows" in refused.stderr


def test_a_failure_is_not_hidden_by_a_partial_success(arena: Arena):
    """Of two pipelines in one file, one goes on without a file and one fails: exit status 1, not 3."""
    declare(arena, "partial")
    declare(arena, "failing", on_error="stop")
    both = arena.folder / "both.py"
    both.write_text("".join((arena.folder / f"{name}.py").read_text() for name in ("partial", "failing")))
    outcome = arena.run("run", "both.py", "--json")
    assert outcome.status == 1
    assert outcome.json["status"] == "failed"
    assert [run["status"] for run in outcome.json["runs"]] == ["published", "failed"]


@pytest.mark.parametrize(
    ("statuses", "told"),
    [((0, 0), 0), ((0, 3), 3), ((3, 1), 1), ((1, 3), 1), ((3, 2), 2), ((2, 1), 1), ((0, 2), 2)],
)
def test_the_worst_status_counts(statuses: tuple[int, ...], told: int):
    """1 before 2 before 3 before 0, in whatever order the pipelines stand."""
    assert worst(statuses) == told

"""A source that cannot be read, and another one in its place."""

from __future__ import annotations

import shutil

from tests.arena import Arena
from tests.runs.scenarios import PIPELINE, trips


def declare(arena: Arena, name: str, fallback: str, *, on_error: str = "stop") -> None:
    declared = PIPELINE.format(name=name, options="", gates="", on_error=on_error)
    source = f'rk.sources.files("{name}/*.csv", on_change="reload"'
    assert source in declared
    arena.write(f"{name}.py", declared.replace(source, f"{source}, fallback={fallback}"))


def replica(name: str) -> str:
    return f'rk.sources.files("replica_{name}/*.csv")'


def test_the_replica_is_read_where_the_source_is_gone_and_nothing_twice(arena: Arena):
    """Loaded from the replica, told with the report and by `show`; the source comes back, and nothing is new."""
    declare(arena, "gone", replica("gone"))
    for number in range(2):
        arena.write(f"replica_gone/{number}.csv", trips(number * 100, 40))
    report = arena.ok("run", "gone.py")
    assert report["account"]["read"] == 80
    assert [each["key"] for each in report["partitions"]] == ["gone/0.csv", "gone/1.csv"]
    (sentence,) = report["degraded"]
    assert sentence.startswith("the fallback was read in the place of the source: ")
    assert arena.ok("show", str(report["run"]))["degraded"] == [sentence]
    shutil.copytree(arena.folder / "replica_gone", arena.folder / "gone")
    again = arena.ok("run", "gone.py")
    assert (again["status"], again["degraded"]) == ("unchanged", [])
    assert arena.ok("verify", "gone.py")["sound"]


def test_a_damaged_file_is_not_read_on_from_one_with_other_content(arena: Arena):
    """The twin is whole, but not what the plan saw: the run fails rather than mix the two."""
    declare(arena, "mixed", replica("mixed"))
    arena.write("mixed/a.csv", trips(0, 40) + '"open')
    arena.write("replica_mixed/a.csv", trips(0, 40))
    failed = arena.run("run", "mixed.py")
    assert failed.status == 1
    assert "never closed" in failed.stderr


def test_the_last_good_stays(arena: Arena):
    """Nothing is new and nothing is lost, and the report says why; before there was anything good, the run fails."""
    declare(arena, "last", '"last_good"')
    assert arena.run("run", "last.py").status == 1
    arena.write("last/a.csv", trips(0, 40))
    arena.ok("run", "last.py")
    (arena.folder / "last" / "a.csv").rename(arena.folder / "away.csv")
    report = arena.ok("run", "last.py")
    assert report["status"] == "unchanged"
    assert report["degraded"][0].startswith("the source was not read; what was loaded last stays: ")
    assert arena.ok("verify", "last.py")["sound"]


def test_wrong_fallbacks_are_refused(arena: Arena):
    for fallback in ('"newest"', 'rk.sources.files("a/*.csv", "b/*.csv")'):
        declare(arena, "wrong", fallback)
        refused = arena.run("run", "wrong.py")
        assert refused.status == 2, refused
        assert "fall back" in refused.stderr


def test_a_profile_that_cannot_be_stored_fails_no_run(arena: Arena):
    """Something else is where the profiles should lie: the run is published, and says what was left out."""
    arena.write("plain.py", PIPELINE.format(name="plain", options="", gates="", on_error="stop"))
    arena.write("plain/a.csv", trips(0, 40))
    arena.ok("runs")
    shutil.rmtree(arena.home / "samples", ignore_errors=True)
    (arena.home / "samples").touch(mode=0o600)  # in the way
    try:
        report = arena.ok("run", "plain.py")
        assert report["status"] == "published"
        assert report["degraded"][0].startswith("the profile of the columns was left out: ")
        assert arena.ok("verify", "plain.py")["sound"]
    finally:
        (arena.home / "samples").unlink()

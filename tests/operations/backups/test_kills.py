"""Whoever makes a backup and dies leaves a whole one, or none that claims to be one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import extent
from tests.arena import KILLED, Arena
from tests.operations.backups.furnished import furnish, load, opened, points_of

POINTS = (
    "backup.after_begin",
    "backup.between_runs",
    "backup.after_clones",
    "backup.after_moment",
    "backup.after_ledger",
    "backup.after_native",
    "backup.before_pack_close",
    "backup.after_pack",
    "backup.after_send",
    "backup.after_manifest",
)
TRIES = 3


@pytest.fixture(scope="module")
def place(arena: Arena, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("place")
    furnish(arena, made)
    load(arena, 1)
    arena.ok("backup", "create")
    return made


def passed(arena: Arena) -> list[str]:
    log = arena.folder / "points.log"
    log.unlink(missing_ok=True)
    outcome = arena.run("backup", "create", failpoints=f"*=log:{log}")
    assert outcome.status == 0, outcome
    points = [each for each in dict.fromkeys(log.read_text().split()) if not each.endswith(":renew_lease")]
    begun = points.index("ledger.before_commit:acquire_lease")
    return points[begun:]


def test_killed_anywhere_it_leaves_a_whole_backup_or_none_and_the_next_one_is_whole(arena: Arena, place: Path):
    """At each step: what `list` shows is sound, what was there before is as it was, and leftovers go with the next."""
    points = passed(arena)
    assert set(POINTS) <= set(points), points
    tried = points if extent.whole else extent.sample("kills of backups", points, TRIES, POINTS)
    for number, point in enumerate(tried):
        load(arena, 10 + number, names=("merged",))
        before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
        assert arena.run("backup", "create", failpoints=f"{point}=kill").status == KILLED, point
        assert {path: path.read_bytes() for path in before} == before, point
        there, checked = arena.answers(("backup", "list"), ("backup", "verify"))
        complete = [each["id"] for each in there["backups"] if each["state"] == "complete"]
        assert [each["id"] for each in checked["backups"]] == complete, point
        assert {each["state"] for each in there["backups"]} <= {"complete", "begun"}, point
        begun = [each["id"] for each in there["backups"] if each["state"] == "begun"]
        made, there, checked = arena.answers(("backup", "create"), ("backup", "list"), ("backup", "verify"))
        assert made["removed"] == begun, point
        assert [each["state"] for each in there["backups"] if each["state"] != "complete"] == [], point
        assert checked["sound"], point
        left = {path.name for path in place.iterdir()} - {"manifests"}
        assert left == {each["id"] for each in there["backups"]}, point
    with opened(arena) as space:
        history = space.ledger.history.published("clickhouse:embedded/default.merged")
        found = points_of(space)
    assert {run: each for (table, run), each in found.items() if table == "merged"} == {
        each.run: {str(each.after)} for each in history
    }


def test_an_error_on_the_way_takes_its_own_leftovers_away(arena: Arena, place: Path):
    """Nothing of a backup that failed is in the place, nor in the state folder."""
    before = sorted(place.rglob("*"))
    outcome = arena.run("backup", "create", failpoints="backup.after_send=raise")
    assert outcome.status == 1
    assert "Traceback" not in outcome.stderr
    assert sorted(place.rglob("*")) == before
    work = arena.home / "engine" / "backups"
    assert list(work.rglob("*")) == [work / "work"]


def test_a_second_backup_at_the_same_time_is_refused(arena: Arena, place: Path):
    """One is made at a time: the other says who makes it, and leaves what that one has begun."""
    running = arena.start("backup", "create", failpoints="backup.after_native=stop")
    running.wait_stopped()
    refused = arena.run("backup", "create")
    running.go_on()
    assert running.wait().status == 0
    assert refused.status == 1
    assert "RK-3401" in refused.stderr
    assert arena.ok("backup", "verify")["sound"]

"""To each published run there is a way back, and it leads exactly there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import extent
from tests.operations.restoring.history import FILE, Past, end_engine, fingerprints, left_in, lived, restored_arena


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    made = lived(tmp_path_factory.mktemp("past"), whole=extent.whole)
    yield made
    end_engine(made.arena)


@pytest.mark.timeout(3600 if extent.whole else 900)  # the whole past, with twenty restores, on a machine that is busy
def test_each_run_is_restored_exactly(past: Past, tmp_path: Path):
    """Each table has the fingerprint that the run left, and `verify` finds the ledger to agree."""
    assert len(past.runs) >= (20 if extent.whole else 12)
    for run in past.runs if extent.whole else extent.sample("restores", past.runs, 3):
        home = tmp_path / f"to{run}"
        past.arena.ok("restore", "--to", str(run), "--into", str(home))
        there = restored_arena(past, home)
        assert left_in(there) == past.left[run], f"run {run}"
        end_engine(there)


def test_what_is_missing_is_loaded_exactly_once(past: Past, tmp_path: Path):
    """The next run after a restore brings what was undone, and the one after that finds nothing new."""
    home = tmp_path / "state"
    told = past.arena.ok("restore", "--to", str(past.runs[2]), "--into", str(home))
    assert told["undone"]
    there = restored_arena(past, home)
    first, second, rows, verified = there.answers(
        ("run", f"{FILE}:added"),
        ("run", f"{FILE}:added"),
        ("query", "SELECT id FROM added ORDER BY id"),
        ("verify", FILE),
    )
    assert (first["status"], second["status"]) == ("published", "unchanged")
    ids = [row[0] for row in rows["rows"]]
    assert len(ids) == len(set(ids)), "a row came twice"
    assert {0, 51, 91, 201} <= set(ids), "a row is missing"
    fingerprints(verified)
    end_engine(there)


def test_a_time_means_the_last_run_published_by_then(past: Past, tmp_path: Path):
    """A moment just after a run leads to that run, whatever came later."""
    (shown,) = past.arena.answers(("show", str(past.runs[3])))
    told = past.arena.ok("restore", "--to", shown["finished_at"], "--into", str(tmp_path / "state"))
    assert told["run"] == past.runs[3]
    assert {each["target"].rpartition(".")[2]: each["fingerprint"] for each in told["tables"]} == past.left[told["run"]]


def test_a_drill_leaves_nothing_but_its_record(past: Past):
    """It restores the newest backup, opens what is sealed, and takes all of it away; the ledger and the trail know."""
    beside = sorted(path.name for path in past.arena.folder.iterdir())
    told = past.arena.ok("backup", "drill")
    assert (told["status"], told["run"]) == ("sound", past.runs[-1])
    assert told["sealed_files"] > 0
    assert sorted(path.name for path in past.arena.folder.iterdir()) == beside
    with past.arena.by_hand() as hand:
        assert hand.execute("SELECT sound, run FROM drills").fetchall() == [(1, past.runs[-1])]
    (entries,) = past.arena.answers(("audit", "list", "--action", "backup.drill"))
    assert [each["outcome"] for each in entries["entries"]] == ["done"]


def test_a_drill_beside_another_says_nothing_of_the_backup(past: Past):
    """It is refused, and is none that failed: health does not turn bad by it. The other one goes on."""
    with past.arena.by_hand() as hand:
        (before,) = hand.execute("SELECT count(*) FROM drills").fetchone()
        running = past.arena.start("backup", "drill", failpoints="restore.after_begin=stop")
        running.wait_stopped()
        refused = past.arena.run("backup", "drill")
        running.go_on()
        assert running.wait().status == 0
        assert (refused.status, "RK-7022" in refused.stderr) == (2, True)
        (counted,) = hand.execute("SELECT count(*) FROM drills WHERE sound").fetchone()
        assert counted == before + 1

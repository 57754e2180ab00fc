"""Killed anywhere, a restore leaves the old state or the new one; and given again it ends well."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import extent
from tests.arena import KILLED
from tests.operations.restoring.history import FILE, Past, began, copied, end_engine, left_in, steps

OWN = [
    "restore.after_begin",
    "restore.after_state",
    "restore.after_tables_laid",
    "restore.after_table",
    "restore.after_record",
    "restore.after_proof",
    "restore.before_swap",
    "restore.after_swap",
    "restore.after_aside",
]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    made = began(tmp_path_factory.mktemp("kills"))
    next(steps(made, whole=False))
    made.back_up()
    end_engine(made.arena)
    yield made
    end_engine(made.arena)


def killed_at(past: Past, point: str, *command: str) -> None:
    outcome = past.arena.run(*command, failpoints=f"{point}=kill")
    assert outcome.status == KILLED, (point, outcome)


def there_is_no_mix(past: Past, *states: dict[str, str]) -> dict[str, str]:
    """The tables are as one of these states has them, and the books say the same."""
    found = left_in(past.arena)
    assert found in states
    end_engine(past.arena)
    return found


def test_the_points_are_all_there(past: Past, tmp_path: Path):
    """What is tried below is what a restore passes."""
    log = tmp_path / "points"
    command = ("restore", "--to", str(past.runs[0]), "--into", str(tmp_path / "into"))
    assert past.arena.run(*command, failpoints=f"*=log:{log}").status == 0
    passed = {name for name in log.read_text().split() if name.startswith("restore.")}
    assert passed == set(OWN)


@pytest.mark.of_sqlite("brings the state back by its files; see test_on_server.py")
def test_killed_over_a_live_state(past: Past):
    """At each point: the old or the new, never a mix; the same command again ends with the new, and what was there
    before is set aside.
    """
    first, second = past.runs
    aside = past.arena.home.with_name("kept")
    copied(past.arena.home, aside)
    for point in OWN if extent.whole else extent.sample("kills of restores", OWN, 2, ["restore.after_swap"]):
        shutil.rmtree(past.arena.home)
        copied(aside, past.arena.home)
        command = ("restore", "--to", str(first), "--force")
        killed_at(past, point, *command)
        found = there_is_no_mix(past, past.left[first], past.left[second])
        assert found == past.left[first if point in ("restore.after_swap", "restore.after_aside") else second], point
        assert past.arena.run(*command).status == 0
        assert there_is_no_mix(past, past.left[first]) == past.left[first]
        names = sorted(path.name for path in past.arena.folder.glob("state*"))
        assert names[0] == "state"
        assert all(name.startswith("state.before-restore-") for name in names[1:]), names
        assert len(names) >= 2
        for path in past.arena.folder.glob("state.*"):
            shutil.rmtree(path)


def test_the_next_run_after_a_kill(past: Past):
    """What a restore took away is loaded once by the next run, also if it was killed right after its step."""
    first, _ = past.runs
    killed_at(past, "restore.after_swap", "restore", "--to", str(first), "--force")
    again, verified = past.arena.answers(("run", f"{FILE}:merged"), ("verify", FILE))
    assert again["status"] == "published"
    assert {each["pipeline"]: each["found"] for each in verified["tables"]}["added"] == past.left[first]["added"]
    assert all(each["sound"] for each in verified["tables"])

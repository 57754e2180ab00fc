"""A process of before a restore wakes up, and can do no harm to what was restored."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operations.restoring.history import FILE, began, csv, end_engine, left_in, steps


@pytest.mark.of_sqlite("the ledger is lost with its folder; see test_on_server.py")
def test_a_zombie_publishes_nothing(tmp_path: Path):
    """A run that was stopped just before its publish goes on after the state was lost and restored: it fails, and the
    tables are those of the backup; the next run loads what it had read, once.
    """
    past = began(tmp_path)
    next(steps(past, whole=False))
    past.back_up()
    arena, before = past.arena, past.left[past.runs[-1]]
    arena.write("added/z.csv", csv(300, 12))
    zombie = arena.start("run", f"{FILE}:added", "--json", failpoints="publish.before_exchange=stop")
    zombie.wait_stopped()
    arena.home.rename(arena.home.with_name("lost"))
    arena.ok("restore")
    zombie.go_on()
    outcome = zombie.wait()
    assert outcome.status == 1, outcome
    assert left_in(arena) == before
    again, rows, verified = arena.answers(
        ("run", f"{FILE}:added"),
        ("query", "SELECT count(), uniqExact(id) FROM added WHERE id >= 300"),
        ("verify", FILE),
    )
    assert again["status"] == "published"
    counted, different = rows["rows"][0]
    assert counted == different > 0
    assert all(each["sound"] for each in verified["tables"])
    end_engine(arena)

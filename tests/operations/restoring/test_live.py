"""Over a live state nothing is forgotten that happened since the backup; where its ledger is damaged, that is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowkeeper.destinations import ClickHouseDestination
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings
from tests.operations.restoring.history import began, copied, end_engine, left_in, restored_arena, steps


def test_rows_that_no_run_brought(tmp_path: Path):
    """They are in no books, and no reason not to restore the rest: they are there again."""
    past = began(tmp_path)
    next(steps(past, whole=False))
    (key,) = (past.arena.folder / "config").rglob("*.key")
    with Workspace.open(Settings(home=past.arena.home, key_file=key)) as space:
        session = ClickHouseDestination.from_description(space.ledger.run(1).destination).connect(space.site, None)
        session.statements.do("INSERT INTO default.added (id, city, fare) VALUES (9999, 'Rome', 1)")
        session.close()
    past.back_up()
    past.arena.ok("restore", "--into", str(tmp_path / "into"))
    there = restored_arena(past, tmp_path / "into")
    assert there.ok("query", "SELECT city FROM added WHERE id = 9999")["rows"] == [["Rome"]]
    end_engine(there)
    end_engine(past.arena)


def test_the_live_ledger_goes_on(tmp_path: Path):
    """Its accounts and its trail stay, with what was noted since the backup; sealed files that were lost come back."""
    past = began(tmp_path)
    next(steps(past, whole=False))
    past.back_up()
    first, second = past.runs
    past.arena.answers(("users", "add", "ann"))
    end_engine(past.arena)
    (lost,) = list((past.arena.home / "quarantine" / str(first)).glob("*.sealed"))[:1]
    content = lost.read_bytes()
    lost.unlink()

    told = past.arena.ok("restore", "--to", str(first), "--force")
    assert (told["ledger"], told["undone"], told["notes"]) == ("live", [second], [])
    assert lost.read_bytes() == content
    users, verdict = past.arena.answers(("users", "list"), ("audit", "verify"))
    assert [each["name"] for each in users["users"]] == ["ann"]
    assert verdict["sound"]
    assert left_in(past.arena) == past.left[first]
    end_engine(past.arena)


@pytest.mark.of_sqlite("damages its file")
def test_a_damaged_ledger_is_replaced_by_the_backup_s(tmp_path: Path):
    """And the output says so."""
    past = began(tmp_path)
    next(steps(past, whole=False))
    past.back_up()
    end_engine(past.arena)
    damaged = copied(past.arena.home, tmp_path / "damaged")
    ledger = damaged / "ledger.sqlite"
    data = bytearray(ledger.read_bytes())
    data[4096:12288] = bytes(8192)
    ledger.write_bytes(data)
    for journal in damaged.glob("ledger.sqlite-*"):
        journal.unlink()
    other = restored_arena(past, damaged)
    told = other.ok("restore", "--force")
    assert told["ledger"] == "backup"
    assert "ledger is damaged" in told["notes"][0]
    assert left_in(other) == past.left[past.runs[-1]]
    end_engine(other)

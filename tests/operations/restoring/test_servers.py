"""Tables on a ClickHouse server are backed up and restored as those of the embedded engine are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import extent
from tests.operations.restoring.history import csv, end_engine
from tests.operations.restoring.servers import Far, lived

pytestmark = pytest.mark.of_sqlite("a backup is of a ledger in SQLite")


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with lived(tmp_path_factory.mktemp("far")) as made:
        yield made


@pytest.mark.timeout(900)
def test_to_each_run_beside(far: Far, tmp_path: Path):
    """Into a folder: each table has the fingerprint that the run left, and nothing is said to the server."""
    runs = list(far.left)
    assert len(runs) == 8
    before = far.on_server()
    far.front.disarm()
    for run in runs if extent.whole else extent.sample("restores of servers", runs, 2, runs[-2:]):
        home = tmp_path / f"to{run}"
        told = far.arena.ok("restore", "--to", str(run), "--into", str(home))
        found = {each["target"].rpartition(".")[2]: each["fingerprint"] for each in told["tables"]}
        assert found == far.left[run], run
        assert all("at_127_0_0_1" in note for note in told["notes"]), told["notes"]
    assert far.front.said() == []
    assert far.on_server() == before


@pytest.mark.timeout(900)
def test_a_drill_needs_no_server(far: Far):
    """It restores all tables beside, reads each row, and takes them away again, with the server out of reach."""
    far.front.arm(".", times=1_000, status=503, text="no healthy upstream")
    told = far.arena.ok("backup", "drill")
    far.front.disarm()
    assert told["status"] == "sound"
    assert {each["target"].rpartition(".")[2]: each["fingerprint"] for each in told["tables"]} == list(
        far.left.values()
    )[-1]


@pytest.mark.timeout(900)
def test_in_place_and_back(far: Far):
    """Over the live state: every table is what the run left, and the former ones stay beside them; then a later state
    is had again, a table that is as it is wanted is left alone, and a backup goes on from it.
    """
    last = far.look()
    end_engine(far.arena)
    told = far.arena.ok("restore", "--to", "4", "--force")
    assert far.look() == far.left[4]
    assert sum("__rk_aside_" in note for note in told["notes"]) == 2, told["notes"]
    kinds = {name.split("__rk_")[1].split("_")[0] for name in far.on_server() if "__rk_" in name}
    assert kinds <= {"aside", "kept"}
    end_engine(far.arena)
    far.front.disarm()
    far.arena.ok("restore", "--to", "8", "--force")
    assert far.look() == last
    made, checked = far.arena.answers(("backup", "create"), ("backup", "verify"))
    assert checked["sound"]
    assert made["kind"] == "incremental"
    end_engine(far.arena)


@pytest.mark.timeout(900)
def test_on_an_empty_machine_live_tables_are_not_replaced_unasked(far: Far):
    """The state folder is gone, and the server has gone on: nothing is touched without --force, and with it each table
    is what the backup knows. One that is so already is not made anew.
    """
    far.arena.ok("backup", "create")
    wanted = far.look()
    far.runs(("merged", "late.csv", csv(500, 3)))
    end_engine(far.arena)
    shutil.rmtree(far.arena.home)
    before = far.on_server()
    refused = far.arena.run("restore")
    assert refused.status == 2
    assert "RK-7008" in refused.stderr
    assert "merged" in refused.stderr
    assert far.on_server() == before
    assert not far.arena.home.exists()
    far.front.disarm()
    told = far.arena.ok("restore", "--force")
    assert not [sql for sql in far.front.said() if sql.startswith("INSERT") and "merged" not in sql]
    assert len(told["notes"]) == 1
    assert far.look() == wanted

"""A run is all or nothing, also for those who look on."""

from __future__ import annotations

import pytest

from tests.arena import Arena
from tests.runs.scenarios import SCENARIOS, prepare


def test_readers_see_the_table_before_or_after_never_between(arena: Arena):
    """A reader that counts rows all the time while a merge is published sees two counts, and nothing else."""
    scenario = next(each for each in SCENARIOS if each.name == "merge")
    command = prepare(arena, scenario, "watched")
    before = len(arena.rows("watched"))
    running = arena.start(*command)
    seen = set()
    while running.process.exitcode is None:
        seen.add(arena.ok("query", "SELECT count(), sum(fare) FROM watched")["rows"][0][0])
        running.process.join(0)
    assert running.wait().status == 0
    after = len(arena.rows("watched"))
    assert before != after
    assert seen <= {before, after}


def test_a_run_of_nothing_new_changes_nothing_and_says_why(arena: Arena):
    """`unchanged`, an account of zeros, and the run that loaded the files before."""
    command = prepare(arena, SCENARIOS[0], "again")
    first = arena.ok(*command)
    second = arena.ok(*command)
    assert (first["status"], second["status"]) == ("published", "unchanged")
    assert second["account"]["read"] == 0
    assert f"by run {first['run']}" in second["notes"][0]


def test_a_query_and_a_verify_work_beside_a_run(arena: Arena):
    """Commands work side by side: a query and a verify answer while a run is stopped in the middle."""
    command = prepare(arena, SCENARIOS[0], "beside")
    running = arena.start(*command, failpoints="run.after_stage=stop")
    running.wait_stopped()
    assert arena.ok("query", "SELECT count() FROM beside")["rows"] == [[0]]
    assert arena.ok("verify", "beside.py")["sound"]
    assert arena.ok("runs", "--pipeline", "beside")["runs"][0]["status"] == "staging"
    running.go_on()
    assert running.wait().status == 0


@pytest.mark.parametrize("file", ["columns_substreams.txt", "data.bin", "checksums.txt", "count.txt"])
def test_a_staged_file_that_the_disk_lost_fails_the_run_and_costs_the_next_one_nothing(own_arena: Arena, file: str):
    """chDB acknowledges writes that the disk did not take. Whichever file it was, the next run starts afresh."""
    command = prepare(own_arena, SCENARIOS[0], "lost")
    running = own_arena.start(*command, failpoints="run.after_stage=stop")
    running.wait_stopped()
    staged = max((own_arena.home / "engine").rglob(file), key=lambda path: path.stat().st_mtime_ns)
    staged.write_bytes(staged.read_bytes()[:64])  # the header of an encrypted file, and nothing behind it
    running.go_on()
    first = running.wait()
    again = own_arena.run(*command)
    assert again.status == 0, (first, again)
    assert len(own_arena.rows("lost")) == 55
    assert own_arena.ok("verify", "lost.py")["sound"]

"""Runs that wait for somebody: listed, gone on with, given up."""

from __future__ import annotations

from tests.arena import KILLED, Arena
from tests.runs.scenarios import SCENARIOS, prepare

FIRST = SCENARIOS[0]
HELD = next(each for each in SCENARIOS if each.name == "held")


def waiting(arena: Arena, name: str) -> list[dict[str, object]]:
    return list(arena.ok("runs", "--parked", "--pipeline", name)["runs"])


def test_a_dead_run_is_listed_and_goes_on(arena: Arena):
    """`resume` needs the run's number only, and reads nothing again that was staged."""
    command = prepare(arena, FIRST, "dead")
    assert arena.run(*command, failpoints="run.after_partition=kill").status == KILLED
    (run,) = waiting(arena, "dead")
    assert run["why"] == "the process ended without a word"
    report = arena.ok("resume", str(run["run"]))
    assert (report["run"], report["status"]) == (run["run"], "published")
    assert "rows had been read before it stopped" in report["notes"][0]
    assert waiting(arena, "dead") == []


def test_a_dead_run_is_given_up_on_the_record(arena: Arena):
    """`abandon` leaves nothing staged, keeps the reason, and the next run loads everything."""
    command = prepare(arena, FIRST, "given_up")
    assert arena.run(*command, failpoints="run.after_partition=kill").status == KILLED
    (run,) = waiting(arena, "given_up")
    arena.ok("abandon", str(run["run"]), "--reason", "wrong files")
    (shown,) = arena.ok("runs", "--pipeline", "given_up")["runs"]
    assert (shown["status"], shown["error"]["what"]) == ("failed", "abandoned: wrong files")
    assert arena.ok(*command)["account"]["read"] == 80
    assert not arena.ok("query", "SELECT name FROM system.tables WHERE name LIKE 'given_up__rk_staging%'")["rows"]


def test_a_held_run_is_parked_with_what_holds_it(arena: Arena):
    """Its quality gates; resumed without a mend it is held again."""
    command = prepare(arena, HELD, "gated")
    assert arena.run(*command).status == 1
    (run,) = waiting(arena, "gated")
    assert run["why"] == "its quality gates hold it"
    assert arena.run("resume", str(run["run"])).status == 1
    assert [each["run"] for each in waiting(arena, "gated")] == [run["run"]]


def test_a_run_that_is_under_way_waits_for_nobody(arena: Arena):
    """It is not listed, and cannot be given up."""
    command = prepare(arena, FIRST, "under_way")
    running = arena.start(*command, failpoints="run.after_stage=stop")
    running.wait_stopped()
    try:
        assert waiting(arena, "under_way") == []
        number = str(arena.ok("runs", "--pipeline", "under_way")["runs"][0]["run"])
        refused = arena.run("abandon", number)
        assert (refused.status, "is held by another run" in refused.stderr) == (1, True), refused
    finally:
        running.go_on()
    assert running.wait().status == 0


def test_an_ended_run_is_refused_with_one_clear_error(arena: Arena):
    """It says what became of the run, and where to look."""
    number = str(arena.ok(*prepare(arena, FIRST, "ended"))["run"])
    for word in ("resume", "abandon"):
        outcome = arena.run(word, number)
        assert outcome.status == 1
        assert f"run {number} is published: it waits for nobody" in outcome.stderr
        assert "rowkeeper runs --parked" in outcome.stderr

"""Exactly once: killed at every change of state and run again, it leaves what an undisturbed run leaves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import extent
from tests.arena import KILLED, Arena, Outcome
from tests.runs.pairs import Bench
from tests.runs.scenarios import SCENARIOS, Scenario, all_left_behind, prepare, prepare_all

by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


@pytest.fixture(scope="module", autouse=True)
def founded(arena: Arena) -> None:
    """State folder, ledger and engine are there: their founding is tested below, in arenas of its own."""
    arena.ok("query", "SELECT 1")


def passed_points(arena: Arena, command: tuple[str, ...], log: str, status: int = 0) -> list[str]:
    """Runs the command undisturbed and returns the failpoints that it passes, in order of their first pass.

    Without those of a lease's renewal: whether a command comes by there is a matter of time.
    """
    path = arena.folder / log
    outcome = arena.run(*command, failpoints=f"*=log:{path}")
    assert outcome.status == status, outcome
    return [point for point in dict.fromkeys(path.read_text().split()) if not point.endswith(":renew_lease")]


def finish(arena: Arena, command: tuple[str, ...], *, recover: bool) -> list[Outcome]:
    """What a person does after a crash: the same command again, perhaps after `recover`.

    A rollback, or a discard, that had taken effect before the crash says so.
    """
    outcomes = [arena.run("recover")] if recover else []
    again = arena.run(*command)
    if "was taken back before" not in again.stderr and "nothing of it is staged" not in again.stderr:
        outcomes.append(again)
    return outcomes


@pytest.fixture(scope="module")
def common(arena: Arena, founded: None) -> frozenset[str]:
    """The failpoints of a first load, which is killed at each of them."""
    return frozenset(passed_points(arena, prepare(arena, SCENARIOS[0], "common"), "common.log"))


def chosen(scenario: Scenario, points: list[str], common: frozenset[str]) -> list[str]:
    """What `make test` tries: half of it are failpoints that the first load does not have, if there are so many."""
    gates = "gate|quality|override" if scenario.gates else "$^"
    own = [point for point in points if point not in common or re.search(gates, point)]
    return extent.sample(f"kills of {scenario.name}", points, scenario.tries, own)


@pytest.mark.in_turns("scenarios", 5)
@by_name
def test_killed_at_every_failpoint_nothing_is_lost_or_doubled(arena: Arena, scenario: Scenario, common: frozenset[str]):
    """SIGKILL at each failpoint, then the same command: destination, accounts and quarantine are as if undisturbed."""
    calm = f"{scenario.name}_calm"
    points = passed_points(arena, prepare(arena, scenario, calm), f"{calm}.log", scenario.status)
    assert len(points) > (4 if scenario.name == "discard" else 15), points
    if not extent.whole:
        points = chosen(scenario, points, common)
    names = {f"{scenario.name}_{number}": point for number, point in enumerate(points)}
    commands = prepare_all(arena, scenario, list(names))
    ends = {}
    for number, (name, point) in enumerate(names.items()):
        killed = arena.run(*commands[name], failpoints=f"{point}=kill")
        assert killed.status == KILLED, (point, killed)
        ends[name] = finish(arena, commands[name], recover=number % 2 == 1)
    found = all_left_behind(arena, [calm, *names])
    faults = []
    for name, point in names.items():
        different = {key: (found[calm][key], each) for key, each in found[name].items() if each != found[calm][key]}
        if different or any(each.status not in (0, scenario.status, scenario.again) for each in ends[name]):
            faults.append((point, different, ends[name]))
    assert not faults, "\n".join(map(str, faults))


@pytest.mark.parametrize("then", ["run", "abandon"])
def test_what_a_dead_process_sealed_or_was_about_to_goes_with_its_run(arena: Arena, then: str):
    """A draft, and a file that the ledger never heard of, are gone when the run is published or given up."""
    name = f"tidied_{then}"
    command = prepare(arena, SCENARIOS[0], name)
    sealed = arena.home / "quarantine"
    before = set(sealed.rglob("*"))
    assert arena.run(*command, failpoints="private_file.before_link=kill@2").status == KILLED
    (draft,) = {*sealed.glob("*/.*")} - before
    run = draft.parent
    (run / "9-0.sealed").write_bytes(b"of a batch that was cut otherwise by the next process")
    if then == "run":
        arena.ok(*command[:2])
    else:
        arena.ok("abandon", run.name, "--reason", "enough")
    assert not draft.exists()
    left = {path.name for path in {*sealed.rglob("*")} - before if path.is_file()}
    assert left == ({"0-0.sealed", "1-0.sealed"} if then == "run" else {"0-0.sealed"})


PAIRS = 2


def test_a_second_death_during_recovery_changes_nothing(arena: Arena):
    """Pairs of failpoints, the second striking in what comes after the first; `make torture` tries all of them."""
    bench = Bench.of(arena, next(each for each in SCENARIOS if each.name == "changed_file"))
    choice = extent.chance("pairs")
    pairs = [(choice.choice(bench.points), choice.choice(bench.points)) for _ in range(PAIRS)]
    assert [fault for pair in dict.fromkeys(pairs) if (fault := bench.fault_of(*pair))] == []


def test_a_founder_that_dies_is_followed_by_another(tmp_path: Path):
    """Killed at each failpoint of the first use of a state folder: the next command founds it, and works."""
    log = tmp_path / "points.log"
    calm = Arena(tmp_path / "calm")
    calm.run("runs", failpoints=f"*=log:{log}")
    points = list(dict.fromkeys(log.read_text().split()))
    assert len(points) > 4
    for number, point in enumerate(points):
        arena = Arena(tmp_path / str(number))
        assert arena.run("runs", failpoints=f"{point}=kill").status == KILLED
        assert arena.ok("runs") == {"runs": []}

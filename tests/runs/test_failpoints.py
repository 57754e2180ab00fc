"""Exactly once: the process is killed at every change of state, run again, and leaves what an undisturbed run leaves."""

from __future__ import annotations

import random

import pytest

from tests.arena import KILLED, Arena
from tests.runs.scenarios import SCENARIOS, Scenario, left_behind, prepare

PAIRS_TRIED = 25
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


def passed_points(arena: Arena, name: str, log: str, **env: str) -> list[str]:
    """Runs the command undisturbed and returns the failpoints that it passes, in order of their first pass."""
    path = arena.folder / log
    arena.run("run", f"{name}.py", failpoints=f"*=log:{path}")
    return list(dict.fromkeys(path.read_text().split()))


@by_name
def test_killed_at_every_failpoint_nothing_is_lost_or_doubled(arena: Arena, scenario: Scenario):
    """SIGKILL at each failpoint, then the same command: destination, accounts and quarantine are as if undisturbed."""
    calm = f"{scenario.name}_calm"
    prepare(arena, scenario, calm)
    points = passed_points(arena, calm, f"{calm}.log")
    expected = left_behind(arena, calm)
    assert len(points) > 20, points
    faults = []
    for number, point in enumerate(points):
        name = f"{scenario.name}_{number}"
        prepare(arena, scenario, name)
        killed = arena.run("run", f"{name}.py", failpoints=f"{point}=kill")
        assert killed.status == KILLED, (point, killed)
        again = arena.run("run", f"{name}.py", "--json")
        found = left_behind(arena, name)
        if again.status != 0 or found != expected:
            faults.append((point, again.status, again.stderr, {key for key in found if found[key] != expected[key]}))
    assert not faults, faults

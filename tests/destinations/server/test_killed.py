"""Exactly once at a server: the scenarios of the main job, killed where they change state, and run again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import extent
from tests.arena import KILLED, Arena
from tests.destinations.server.serving import serving
from tests.runs.scenarios import SCENARIOS, Scenario, all_left_behind, prepare, prepare_all
from tests.runs.test_failpoints import finish, passed_points

CHOSEN = ("first_load", "rollback", "replay", "merge", "replace", "quarantine_duplicates")
TRIES = 2
OWN = "insert|stage|seal|publish|settle"


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with serving(tmp_path_factory.mktemp("front")) as front:
        made = Arena(tmp_path_factory.mktemp("arena"), front.env())
        made.ok("query", "SELECT 1")
        yield made


@pytest.mark.in_turns("scenarios at a server", 2)
@pytest.mark.parametrize(
    "scenario", [each for each in SCENARIOS if each.name in CHOSEN], ids=lambda scenario: scenario.name
)
def test_killed_at_a_server_nothing_is_lost_or_doubled(arena: Arena, scenario: Scenario):
    """SIGKILL at failpoints, then the same command: table, accounts and quarantine are as if undisturbed."""
    calm = f"{scenario.name}_calm"
    points = passed_points(arena, prepare(arena, scenario, calm), f"{calm}.log", scenario.status)
    own = [point for point in points if any(word in point for word in OWN.split("|"))]
    if not extent.whole:
        points = extent.sample(f"kills at a server of {scenario.name}", points, TRIES, own)
    names = {f"{scenario.name}_{number}": point for number, point in enumerate(points)}
    commands = prepare_all(arena, scenario, list(names))
    ends = {}
    for number, (name, point) in enumerate(names.items()):
        killed = arena.run(*commands[name], failpoints=f"{point}=kill")
        assert killed.status == KILLED, (point, killed)
        ends[name] = finish(arena, commands[name], recover=number % 2 == 1)
    found = all_left_behind(arena, [calm, *names])
    assert [
        (point, found[calm], found[name], ends[name])
        for name, point in names.items()
        if found[name] != found[calm] or any(each.status not in (0, scenario.status) for each in ends[name])
    ] == []
    assert arena.host_pid() is None

"""Exactly once and in order through the spool: killed at every change of state, on the way into it and out of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from tests import extent
from tests.arena import KILLED, Arena
from tests.runs.outages import SPOOL, cut, mend, outage
from tests.runs.scenarios import PIPELINE, left_behind, trips

GATES = 'rk.unique("id", across="table"), rk.between("fare", 0)'


@dataclasses.dataclass(frozen=True)
class Mode:
    """A way to write.

    Attributes:
        tries: at how many failpoints `make test` kills it, others each time; `make torture` at each of them.
    """

    name: str
    options: str
    gates: str = ""
    tries: int = 2


MODES = [
    Mode("append", "", tries=3),
    Mode("merge", 'write="merge", key=["id"]'),
    Mode("replace", 'write="replace"'),
    Mode("skip", 'key=["id"], duplicates="skip"'),
    Mode("quarantine", 'key=["id"], duplicates="quarantine"', GATES),
]
by_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def declare(arena: Arena, mode: Mode, name: str) -> None:
    options = ", ".join(filter(None, (mode.options, SPOOL)))
    arena.write(f"{name}.py", PIPELINE.format(name=name, options=options, gates=mode.gates, on_error="stop"))
    first(arena, name)
    arena.ok("run", f"{name}.py")


def first(arena: Arena, name: str) -> None:
    arena.write(f"{name}/a.csv", trips(0, 40))


def second(arena: Arena, name: str) -> None:
    """A new file, of which some keys were there before; the first one has changed."""
    arena.write(f"{name}/a.csv", trips(0, 45, fare=2.5))
    arena.write(f"{name}/b.csv", trips(35, 40, fare=3.5))


def third(arena: Arena, name: str) -> None:
    """The file of the second run has changed, and there is a new one with keys of it."""
    arena.write(f"{name}/b.csv", trips(30, 40, fare=4.5))
    arena.write(f"{name}/c.csv", trips(50, 40, fare=5.5))


def undisturbed(arena: Arena, mode: Mode, name: str) -> dict[str, object]:
    """What three runs leave with the destination there all the time."""
    declare(arena, mode, name)
    for change in (second, third):
        change(arena, name)
        assert arena.ok("run", f"{name}.py")["status"] == "published"
    return left_behind(arena, name)


def passed(arena: Arena, *command: str) -> list[str]:
    log = arena.folder / "points.log"
    log.unlink(missing_ok=True)
    outcome = arena.run(*command, failpoints=f"*=log:{log}")
    assert outcome.status == 0, outcome
    return [point for point in dict.fromkeys(log.read_text().split()) if not point.endswith(":renew_lease")]


def chosen(points: list[str], mode: Mode) -> Iterator[tuple[int, str]]:
    own = [point for point in points if "drain" in point or "spool" in point]
    tried = points if extent.whole else extent.sample(f"kills in the spool, {mode.name}", points, mode.tries, own)
    for number, point in enumerate(points):
        if point in tried:
            yield number, point


def differences(expected: dict[str, object], found: dict[str, object]) -> dict[str, object]:
    return {key: (expected[key], found[key]) for key in found if found[key] != expected[key]}


@by_mode
@pytest.mark.in_turns("ways to write", 2)
def test_killed_on_its_way_into_the_spool_a_run_is_drained_once(arena: Arena, mode: Mode):
    """SIGKILL at each failpoint of spooling, the same command again, then a drain: as if the destination was there."""
    expected = undisturbed(arena, mode, f"{mode.name}_calm_in")
    probe = f"{mode.name}_into"
    declare(arena, mode, probe)
    second(arena, probe)
    with outage(arena):
        points = passed(arena, "run", f"{probe}.py")
    assert len(points) > 10, points
    names = {f"{probe}_{number}": point for number, point in chosen(points, mode)}
    for name in names:
        declare(arena, mode, name)
    cut(arena)
    for name, point in names.items():
        second(arena, name)
        killed = arena.run("run", f"{name}.py", failpoints=f"{point}=kill")
        assert killed.status == KILLED, (point, killed)
        assert arena.ok("run", f"{name}.py")["status"] in ("spooled", "unchanged"), point
        third(arena, name)
        assert arena.ok("run", f"{name}.py")["status"] == "spooled", point
    mend(arena)
    arena.ok("spool", "drain")
    faults = {point: differences(expected, left_behind(arena, name)) for name, point in names.items()}
    assert not {point: different for point, different in faults.items() if different}
    assert not list((arena.home / "spool").iterdir())


@by_mode
@pytest.mark.in_turns("ways to write", 2)
def test_killed_on_its_way_out_of_the_spool_a_run_is_drained_once(arena: Arena, mode: Mode):
    """SIGKILL at each failpoint of draining two runs, then again by one of the three ways: as if undisturbed."""
    expected = undisturbed(arena, mode, f"{mode.name}_calm_out")
    probe = f"{mode.name}_out"
    spooled_twice(arena, mode, [probe])
    points = passed(arena, "spool", "drain", probe)
    assert len(points) > 25, points
    names = {f"{probe}_{number}": point for number, point in chosen(points, mode)}
    spooled_twice(arena, mode, list(names))
    faults = {}
    for number, (name, point) in enumerate(names.items()):
        killed = arena.run("spool", "drain", name, failpoints=f"{point}=kill")
        assert killed.status == KILLED, (point, killed)
        if number % 3 == 0:
            arena.ok("recover")
        again = ("run", f"{name}.py") if number % 3 == 1 else ("spool", "drain", name)
        assert arena.run(*again).status == 0, point
        if different := differences(expected, left_behind(arena, name)):
            faults[point] = different
    assert not faults
    assert arena.ok("spool", "list")["runs"] == []
    arena.ok("spool", "drain")  # removes what the last one that was killed had still to remove
    assert not list((arena.home / "spool").iterdir())


PAIRS, PAIRS_OF_TORTURE = 2, 80


def test_a_second_death_on_the_way_out_changes_nothing(arena: Arena):
    """Pairs of failpoints, the second striking in the drain that follows the first death."""
    mode = next(each for each in MODES if each.name == "quarantine")
    expected = undisturbed(arena, mode, "pairs_calm")
    spooled_twice(arena, mode, ["pairs_out"])
    points = passed(arena, "spool", "drain", "pairs_out")
    choice = extent.chance("pairs of the spool")
    count = PAIRS_OF_TORTURE if extent.whole else PAIRS
    pairs = {f"pairs_{number}": (choice.choice(points), choice.choice(points)) for number in range(count)}
    spooled_twice(arena, mode, list(pairs))
    faults = {}
    for name, (first, then) in pairs.items():
        assert arena.run("spool", "drain", name, failpoints=f"{first}=kill").status == KILLED, first
        assert arena.run("spool", "drain", name, failpoints=f"{then}=kill").status in (KILLED, 0), (first, then)
        assert arena.run("spool", "drain", name).status == 0, (first, then)
        if different := differences(expected, left_behind(arena, name)):
            faults[first, then] = different
    assert not faults


def spooled_twice(arena: Arena, mode: Mode, names: list[str]) -> None:
    for name in names:
        declare(arena, mode, name)
    with outage(arena):
        for name in names:
            for change in (second, third):
                change(arena, name)
                assert arena.ok("run", f"{name}.py")["status"] == "spooled"

"""The tools find what they are made to find: each planted bug is found, and the loader without one is clean."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, reduce
from pathlib import Path
from typing import TypeVar

import pytest

from tests.torture.faults import Mode
from tests.torture.judging import Findings
from tests.torture.kills import kills
from tests.torture.mounting import why_no_fuse
from tests.torture.powerloss import power_losses, why_no_power_loss
from tests.torture.rehearsals import ChdbRehearsal, LoaderRehearsal
from tests.torture.stage import staged
from tests.torture.sweep import sweep
from tests.torture.watching import watch

fuse = [
    pytest.mark.root,
    pytest.mark.skipif(why_no_fuse() is not None, reason=f"the faulty filesystem {why_no_fuse()}"),
]
power = [
    pytest.mark.root,
    pytest.mark.skipif(why_no_power_loss() is not None, reason=f"cutting the power {why_no_power_loss()}"),
]
Test = TypeVar("Test", bound=Callable[..., None])
KILLS, FAILS = [(Mode.KILL, False)], [(Mode.EIO, False)]


def _with(marks: list[pytest.MarkDecorator]) -> Callable[[Test], Test]:
    """Several marks at once."""
    return lambda test: reduce(lambda marked, mark: mark(marked), marks, test)


def _found(points: Iterable[Findings]) -> set[str]:
    names = ("rows_lost", "rows_doubled", "half_published", "stranded", "tracebacks")
    return {name for point in points for name in names if getattr(point, name)}


@pytest.mark.parametrize(
    ("bug", "modes", "every", "finds"),
    [
        pytest.param("none", [*KILLS, *FAILS, (Mode.TORN, False)], 3, set(), id="none"),
        pytest.param("twice", KILLS, 1, {"rows_doubled"}, id="twice"),
        pytest.param("half", KILLS, 4, {"half_published"}, id="half"),
        pytest.param("unchecked", FAILS, 1, {"rows_lost"}, id="unchecked"),
        pytest.param("lock", KILLS, 4, {"stranded", "rows_lost"}, id="lock"),
        pytest.param("crash", FAILS, 4, {"tracebacks"}, id="crash"),
    ],
)
@_with(fuse)
def test_the_sweep_finds(bug: str, modes: list[tuple[Mode, bool]], every: int, finds: set[str], tmp_path: Path) -> None:
    """Rows loaded twice, half published, written without looking, a lock left behind, an error that escapes."""
    with staged(partial(LoaderRehearsal, bug), tmp_path) as stages:
        swept = sweep(stages, seconds_max=60, every=every, modes=modes)
    assert _found(swept.points) == finds
    # A torn write waits for a write: at the last operations there may be none.
    assert swept.hits >= len(swept.points) - 1 > 0


def test_random_kills_find_a_lock_left_behind(tmp_path: Path) -> None:
    """Kills at random moments strand the loader that locks, and not the one that does not."""
    for bug, finds in (("none", set()), ("lock", {"stranded"})):
        with staged(partial(LoaderRehearsal, bug, seconds=0.2), tmp_path) as stages:
            killed = kills(stages, seconds_max=20, count_max=12, seed=1)
        assert _found(killed.points) - {"rows_lost"} == finds
        assert 0 < killed.hits <= len(killed.points) == 12


@pytest.mark.parametrize(("bug", "finds"), [("none", set()), ("half", {"half_published"})])
def test_a_watching_reader_finds_half_of_a_run(bug: str, finds: set[str], tmp_path: Path) -> None:
    """A reader beside the run sees the batches of the loader that publishes them one by one."""
    with staged(partial(LoaderRehearsal, bug, seconds=0.2), tmp_path, parallel=1) as stages:
        watched = watch(stages, seconds_max=20, count_max=2)
    assert _found(watched.points) == finds
    assert len(watched.points) == 2


@_with(power)
@pytest.mark.parametrize(("bug", "finds"), [("none", set()), ("nosync", {"rows_lost"}), ("half", {"half_published"})])
def test_power_loss_finds_a_missing_sync(bug: str, finds: set[str], tmp_path: Path) -> None:
    """SQLite at WAL + NORMAL loses what it acknowledged, at WAL + FULL it does not."""
    with staged(partial(LoaderRehearsal, bug), tmp_path) as stages:
        lost = power_losses(stages, seconds_max=20, count_max=4)
    assert _found(lost.points) == finds


@_with(power)
def test_power_loss_finds_that_the_engine_syncs_nothing(tmp_path: Path) -> None:
    """chDB alone loses what it acknowledged: one syncfs before the commit point is the product's duty."""
    with staged(ChdbRehearsal, tmp_path, parallel=1) as stages:
        lost = power_losses(stages, seconds_max=20, count_max=1)
    assert _found(lost.points) == {"rows_lost"}

"""The power goes in the midst of a restore, or just after it said that it is done."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import extent
from tests.arena import Arena
from tests.operations.restoring.history import Past, began, copied, end_engine, left_in, restored_arena, steps
from tests.torture.powerloss import Disk, why_no_power_loss

pytestmark = pytest.mark.skipif(why_no_power_loss() is not None, reason=f"cutting the power {why_no_power_loss()}")
THE_END = "the end"
POINTS = ["restore.before_swap", "restore.after_swap", "restore.after_aside", THE_END]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    made = began(tmp_path_factory.mktemp("power"))
    next(steps(made, whole=False))
    made.back_up()
    end_engine(made.arena)
    yield made
    end_engine(made.arena)


@pytest.mark.of_sqlite("the power of the folder goes, with the ledger in it")
def test_the_power_goes(past: Past, tmp_path: Path) -> None:
    """What the disk has then is the old state or the new one, each whole; what was acknowledged is the new one."""
    first, second = past.runs
    for point in POINTS if extent.whole else [extent.chance("power").choice(POINTS[:-1]), THE_END]:
        image, after = tmp_path / f"image {point}", tmp_path / f"after {point}"
        Disk.format(image)
        home = tmp_path / f"disk {point}" / "state"
        with Disk(image, home.parent):
            copied(past.arena.home, home)
            home.chmod(0o700)
            subprocess.run(["sync", "-f", str(home)], check=True)
            restore_until(point, restored_arena(past, home), first, image, after)
        with Disk(after, home.parent):
            there = restored_arena(past, home)
            found = left_in(there)
            assert found in ([past.left[first]] if point == THE_END else [past.left[first], past.left[second]]), point
            end_engine(there)
            assert there.run("restore", "--to", str(first), "--force").status == 0, point
            assert left_in(there) == past.left[first], point
            end_engine(there)


def restore_until(point: str, arena: Arena, run: int, image: Path, after: Path) -> None:
    """Restores; at the point the disk is copied as it is, with what was sent to it and not a byte more."""
    command = ("restore", "--to", str(run), "--force")
    if point == THE_END:
        assert arena.run(*command).status == 0
        Disk(image, image.parent).copy_as_synced(after)
        return
    running = arena.start(*command, failpoints=f"{point}=stop")
    running.wait_stopped()
    Disk(image, image.parent).copy_as_synced(after)
    running.process.kill()
    running.process.join()

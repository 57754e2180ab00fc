"""Room on the disk is looked for before each step that writes: the run stops cleanly, and goes on once there is."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.arena import Arena
from tests.runs.scenarios import PIPELINE, trips

GB = 1 << 30


@pytest.mark.parametrize("point", ["run.after_partition", "run.after_seal"])
def test_a_disk_that_fills_up_before_seal_or_publish_stops_the_run_which_goes_on_later(own_arena: Arena, point: str):
    """All is staged when the disk becomes short: nothing is published and nothing lost, and no row is read twice."""
    own_arena.write("late/a.csv", trips(1, 40))
    own_arena.write("late.py", PIPELINE.format(name="late", options="", gates="", on_error="stop"))
    own_arena.ok("runs")
    free = shutil.disk_usage(own_arena.home).free
    if free < 12 * GB:
        pytest.skip("less than 12 GB are free here")
    env = {"ROWKEEPER_DISK_FREE_MIN": str(free - 3 * GB), "ROWKEEPER_LEASE_SECONDS": "300"}
    run = own_arena.start("run", "late.py", failpoints=f"{point}=stop", env=env)
    run.wait_stopped()
    filler = own_arena.folder / "filler"
    try:
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 6 * GB)
        run.go_on()
        outcome = run.wait()
    except OSError as error:
        pytest.skip(f"no space can be set aside here: {error}")
    finally:
        run.process.kill()
        filler.unlink()
    assert (outcome.status, "RK-3101" in outcome.stderr) == (1, True), outcome
    (stopped,) = own_arena.ok("runs")["runs"]
    assert stopped["status"] == "interrupted"
    report = own_arena.ok("run", "late.py")
    assert report["run"] == stopped["run"]
    assert any("goes on" in note for note in report["notes"])
    assert report["account"]["read"] == 40
    assert own_arena.ok("verify", "late.py")["sound"]

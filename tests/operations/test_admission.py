"""The worker starts no further run while memory or disk are short, says so, and goes on when there is room."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from rowkeeper.machine import MachineMemory, MemoryGroup
from rowkeeper.operations.worker.admission import Admission
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings
from tests.arena import Arena
from tests.operations.test_worker import SECONDS_MAX, Watched, age, declare, working

MB, GB = 1 << 20, 1 << 30
PLENTY = MachineMemory(8000 * MB, 4000 * MB, 0.0)


def wait_stopped(pid: int) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def logged(arena: Arena, event: str) -> list[dict[str, Any]]:
    lines = (arena.home / "logs" / "rowkeeper.log").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == event]


def let_go_on(worker: Watched, pipeline: str) -> None:
    """Lets a run that a failpoint has stopped come to its end."""
    pid = worker.wait_for("started", lambda each: each["pipeline"] == pipeline)["pid"]
    wait_stopped(pid)
    os.kill(pid, signal.SIGCONT)
    worker.wait_for("ended", lambda each: each["pipeline"] == pipeline)


def test_a_run_that_does_not_fit_in_the_limit_beside_another_is_held_back(own_arena: Arena):
    """Two are due, the limit has room for one: the other starts when the first has ended."""
    names = {"one", "other"}
    files = [declare(own_arena, name) for name in names]
    for name, file in zip(names, files, strict=True):
        age(own_arena, name, file, hours=2)
    env = {
        "ROWKEEPER_MEMORY_MAX": "700MiB",
        "ROWKEEPER_FAILPOINTS": "run.after_start=stop",
        "ROWKEEPER_LEASE_SECONDS": "300",
    }
    with working(own_arena, *files, env=env) as worker:
        first = worker.wait_for("started")["pipeline"]
        (second,) = names - {first}
        assert "has room for 1 at a time" in worker.wait_for("held back")["why"]
        let_go_on(worker, first)
        worker.wait_for("going on")
        let_go_on(worker, second)
    assert [each["outcome"] for each in worker.events("ended")] == ["published", "published"]
    order = [(each["event"], each.get("pipeline")) for each in worker.events()]
    assert order.index(("ended", first)) < order.index(("started", second))
    assert len(worker.events("held back")) == 1
    assert "has room for 1" in logged(own_arena, "runs held back")[0]["note"]
    assert logged(own_arena, "runs started again")


def test_no_run_is_started_while_the_disk_is_short(own_arena: Arena):
    """A file takes what is to stay free; when it is gone, the run that is due is started."""
    file = declare(own_arena, "roomy")
    age(own_arena, "roomy", file, hours=2)
    free = shutil.disk_usage(own_arena.home).free
    if free < 12 * GB:
        pytest.skip("less than 12 GB are free here")
    with (own_arena.folder / "filler").open("wb") as filler:
        try:
            os.posix_fallocate(filler.fileno(), 0, 6 * GB)
        except OSError as error:
            pytest.skip(f"no space can be set aside here: {error}")
    with working(own_arena, file, env={"ROWKEEPER_DISK_FREE_MIN": str(free - 3 * GB)}) as worker:
        assert "are free on the disk" in worker.wait_for("held back")["why"]
        worker.wait_for("ready")
        assert worker.events("started") == []
        (own_arena.folder / "filler").unlink()
        worker.wait_for("going on")
        worker.wait_for("ended")
    assert [each["outcome"] for each in worker.events("ended")] == ["published"]


@pytest.mark.parametrize(
    ("why", "own", "whole", "group"),
    [
        ("", 0, PLENTY, None),
        ("", 1, PLENTY, None),
        ("room for 3 at a time", 3, PLENTY, None),
        ("", 0, MachineMemory(8000 * MB, 300 * MB, 0.0), None),  # the first needs no more than the others are left
        ("of memory left", 1, MachineMemory(8000 * MB, 300 * MB, 0.0), None),
        ("of memory left", 0, MachineMemory(8000 * MB, 200 * MB, 0.0), None),
        ("waited for memory", 0, MachineMemory(8000 * MB, 4000 * MB, 30.0), None),
        ("control group", 1, PLENTY, MemoryGroup(1000 * MB, 800 * MB)),
        ("", 0, PLENTY, MemoryGroup(1000 * MB, 800 * MB)),
        ("", 1, PLENTY, MemoryGroup(2000 * MB, 800 * MB)),
    ],
)
def test_what_there_is_too_little_of(
    tmp_path: Path, why: str, own: int, whole: MachineMemory, group: MemoryGroup | None
):
    """The limit, the machine's memory, how long everybody waits for it, the control group's; told once."""
    told: list[dict[str, Any]] = []
    settings = Settings(home=tmp_path / "state", key_file=tmp_path / "key", memory_max="2GiB")
    with Workspace.open(settings) as workspace:
        admission = Admission(
            workspace, lambda event, **facts: told.append({event: facts}), whole=lambda: whole, group=lambda: group
        )
        pids = set(range(own))
        assert admission.grants(pids) is (why == "")
        assert admission.grants(pids) is (why == "")
    assert why in admission.why
    assert len(told) == (1 if why else 0)

"""Descriptors, threads, temporary files and shared memory are gone when a run has ended, however it ended."""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
import threading
from collections import Counter
from pathlib import Path

import psutil
import pytest
from pydantic import BaseModel

import rowkeeper as rk
from rowkeeper.errors import RunInterrupted, SourceError
from rowkeeper.resilience.failpoints import FailpointError, arm
from rowkeeper.runs.report import Progress
from tests.arena import Arena

WARM_UP, ROUNDS = 2, 4


class Row(BaseModel):
    id: int
    name: str


class Held:
    """What this process has open, by what it is."""

    def __init__(self) -> None:
        self.descriptors = Counter(_targets())
        self.threads = Counter(thread.name for thread in threading.enumerate())
        self.native_threads = psutil.Process().num_threads()
        self.shared = sum("memfd:" in line for line in Path("/proc/self/maps").read_text().splitlines())
        self.temporary = {each for each in Path(tempfile.gettempdir()).iterdir() if "rowkeeper" in each.name}

    def more_than(self, before: Held) -> dict[str, object]:
        found = {
            "descriptors": self.descriptors - before.descriptors,
            "threads": self.threads - before.threads,
            "native threads": max(0, self.native_threads - before.native_threads),
            "shared memory": max(0, self.shared - before.shared),
            "temporary files": self.temporary - before.temporary,
        }
        return {name: each for name, each in found.items() if each}


def _targets() -> list[str]:
    found = []
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{entry}").split("[")[0])  # sockets and pipes by kind
    return found


@pytest.fixture
def settings(own_arena: Arena) -> rk.Settings:
    return rk.Settings(
        home=own_arena.home, key_file=own_arena.folder / "the.key", engine_idle_seconds=20.0, insert_rows=500
    )


def pipeline(folder: Path, name: str, files: str) -> rk.Pipeline:
    return rk.Pipeline(
        name,
        source=rk.sources.files(str(folder / files)),
        contract=Row,
        destination=rk.destinations.clickhouse(name, order_by=["id"]),
        gates=[rk.complete("id")],
    )


def text(first: int) -> str:
    return "id,name\n" + "".join(f"{row},name\n" for row in range(first, first + 2_000)) + "x,bad\n"


def stop(progress: Progress) -> None:
    """Looks on, and presses Ctrl-C when the first batch is staged."""
    if progress.account is not None and progress.account.read:
        raise KeyboardInterrupt


def test_runs_leave_nothing_open(own_arena: Arena, settings: rk.Settings):
    """Runs of one process that publish, fail in mid-file, fail while staging, and are stopped: none adds anything."""
    folder = own_arena.folder
    own_arena.write("cut.csv", "id,name\n" + "1,a\n" * 50_000 + '2,"never closed\n')

    def one_of_each(number: int) -> None:
        for name in ("good", "failing", "stopped"):
            own_arena.write(f"{name}{number}.csv", text(number * 10_000))
        with rk.Workspace.open(settings) as workspace:
            rk.run(pipeline(folder, "good", f"good{number}.csv"), workspace)
            with pytest.raises(SourceError):
                rk.run(pipeline(folder, "cut", "cut.csv"), workspace)
            arm("run.after_stage=raise")
            with pytest.raises(FailpointError):
                rk.run(pipeline(folder, "failing", f"failing{number}.csv"), workspace)
            arm("")
            with pytest.raises((RunInterrupted, KeyboardInterrupt)):
                rk.run(pipeline(folder, "stopped", f"stopped{number}.csv"), workspace, stop)

    for number in range(WARM_UP):
        one_of_each(number)
    gc.collect()
    before = Held()
    for number in range(WARM_UP, WARM_UP + ROUNDS):
        one_of_each(number)
    gc.collect()
    assert Held().more_than(before) == {}


def test_a_command_leaves_the_engine_alone_and_the_engine_goes(own_arena: Arena):
    """After a command there is one process more, and after its idle time none; the engine itself leaks nothing."""
    own_arena.env["ROWKEEPER_ENGINE_IDLE_SECONDS"] = "3"
    own_arena.ok("query", "SELECT 1")
    pid = own_arena.host_pid()
    assert pid is not None
    host = psutil.Process(pid)
    own_arena.answers(*[("query", "SELECT count() FROM numbers(1000)")] * 3)
    before = (host.num_fds(), host.children())
    own_arena.answers(*[("query", "SELECT count() FROM numbers(1000)")] * 10)
    assert (host.num_fds(), host.children()) == before
    host.wait(timeout=30)
    assert not [path for path in own_arena.home.rglob("*") if path.is_socket() or path.suffix == ".draft"]

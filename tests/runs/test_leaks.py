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
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.starting import connect, peer_pid
from rowkeeper.errors import RunInterrupted, SourceError
from rowkeeper.resilience.failpoints import FailpointError, arm
from rowkeeper.runs.report import Progress
from tests.arena import Arena
from tests.holding import Holding, comes_true, settled

WARM_UP, ROUNDS = 2, 4


class Row(BaseModel):
    id: int
    name: str


class Held:
    """What this process has: descriptors, threads, shared memory, temporary files."""

    def __init__(self) -> None:
        self.holding = Holding.of(os.getpid())
        self.threads = Counter(thread.name for thread in threading.enumerate())
        self.shared = sum("memfd:" in line for line in Path("/proc/self/maps").read_text().splitlines())
        self.temporary = {each for each in Path(tempfile.gettempdir()).iterdir() if "rowkeeper" in each.name}

    def more_than(self, before: Held) -> dict[str, object]:
        found = {
            "threads by name": self.threads - before.threads,
            "shared memory": max(0, self.shared - before.shared),
            "temporary files": self.temporary - before.temporary,
        }
        return self.holding.more_than(before.holding) | {name: each for name, each in found.items() if each}


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


QUERIES, LOADS = 20, 4
COUNT = ("query", "SELECT count() FROM numbers(1000)")
DECLARED = """
import rowkeeper as rk
from pydantic import BaseModel

class Row(BaseModel):
    id: int
    name: str

loaded = rk.Pipeline("loaded", source=rk.sources.files("loaded*.csv"), contract=Row,
    destination=rk.destinations.clickhouse("loaded", order_by=["id"]))
"""


@pytest.fixture
def engine(own_arena: Arena) -> EnginePlaces:
    """An engine that has answered queries and taken a load."""
    own_arena.write("loaded.py", DECLARED)
    own_arena.write("loaded.csv", text(0))
    own_arena.answers(("run", "loaded.py"), *[COUNT] * 3)
    return EnginePlaces.under(own_arena.home)


def test_commands_leave_nothing_in_the_engine(own_arena: Arena, engine: EnginePlaces):
    """Queries and loads, and no socket, pipe, memory file or child more; of threads fewer than one a command."""
    pid = peer_pid(engine)
    before = Holding.of(pid, engine)
    for number in range(LOADS):
        own_arena.write(f"loaded{number}.csv", text((number + 1) * 10_000))
        own_arena.answers(("run", "loaded.py"), *[COUNT] * (QUERIES // LOADS))
    spare = QUERIES + LOADS - 1
    assert settled(lambda: Holding.of(pid, engine).more_than(before, spare)) == {}
    assert peer_pid(engine) == pid


def test_one_connection_a_command_left_open_in_the_engine_is_found(engine: EnginePlaces):
    """The measure of the test above is not blind: what clients hold open is seen, and is gone when they let go."""
    pid, count = peer_pid(engine), QUERIES + LOADS
    with contextlib.ExitStack() as clients:
        for _ in range(count):
            client = clients.enter_context(connect(engine, 5.0))
            client.sendall(b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert client.recv(4) == b"HTTP"  # it has its thread
        held = Holding.of(pid, engine)

    def gone() -> dict[str, object]:
        """Measured by what goes: when the clients come, threads of what was asked before may be about to go."""
        return held.more_than(Holding.of(pid, engine), count - 1)

    assert comes_true(lambda: {"descriptors", "threads"} <= gone().keys())
    assert comes_true(lambda: gone()["descriptors"] == {"socket": count})


def test_an_idle_engine_goes_and_leaves_no_file_of_its_life(own_arena: Arena):
    """After its idle time there is no process, no socket and no draft."""
    own_arena.env["ROWKEEPER_ENGINE_IDLE_SECONDS"] = "0.5"
    own_arena.ok("query", "SELECT 1")
    pid = own_arena.host_pid()
    if pid is not None:  # it may have gone already
        psutil.Process(pid).wait(timeout=30)
    assert own_arena.host_pid() is None
    assert not [path for path in own_arena.home.rglob("*") if path.is_socket() or path.suffix == ".draft"]

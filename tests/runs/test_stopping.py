"""SIGTERM and SIGINT end a command within ten seconds, whatever it is at; the next run has every row once.

Real processes, real signals, a real clock. What hangs is real as well: a transform, a file that cannot be opened, an
engine that does not answer, a ledger that somebody has locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.arena import Arena, Outcome, Running

SECONDS_MAX = 10.0
ROWS = 120
PIPELINE = """
import pathlib
import time

import pyarrow as pa
from pydantic import BaseModel
import rowkeeper as rk


class Row(BaseModel):
    id: int
    text: str


def slow(rows: pa.Table) -> pa.Table:
    hanging = pathlib.Path(__file__).with_suffix(".hang")
    if rows["id"][0].as_py() == 60 and hanging.exists():
        how = hanging.read_text()
        hanging.with_suffix(".there").touch()
        if how == "sleep":
            time.sleep(300)
        while how == "compute":
            pass
    return rows


{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*.csv"),
    contract=Row,
    transform=slow,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"]),
    gates=[rk.complete("text")],
)
"""


def prepare(arena: Arena, name: str) -> str:
    """Two files of 60 rows, which are staged one after the other."""
    for first in (0, 60):
        lines = "".join(f"{number},x\n" for number in range(first, first + 60))
        arena.write(f"{name}/{first}.csv", "id,text\n" + lines)
    arena.write(f"{name}.py", PIPELINE.format(name=name))
    return f"{name}.py"


def wait_for(path: Path) -> None:
    """Until a file is there."""
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, f"{path} never came"
        time.sleep(0.01)


def stop(running: Running, number: int = signal.SIGTERM) -> tuple[Outcome, float]:
    """Sends the signal; how the command ended, and how long that took, in seconds."""
    began = time.monotonic()
    running.signal(number)
    outcome = running.wait()
    return outcome, time.monotonic() - began


def is_stopped_well(outcome: Outcome, seconds: float) -> None:
    assert seconds < SECONDS_MAX, outcome
    assert outcome.status == 1, outcome
    assert "Traceback" not in outcome.stderr, outcome
    assert "stopped" in outcome.stderr, outcome


def goes_on(arena: Arena, file: str) -> None:
    """Run again, every row is there once, and the account is that of a run that nothing disturbed."""
    name = file.removesuffix(".py")
    report = arena.ok("run", file)
    assert report["status"] == "published", report
    assert {key: count for key, count in report["account"].items() if count} == {"read": ROWS, "committed": ROWS}
    assert arena.rows(name) == [[number, "x"] for number in range(ROWS)]
    assert arena.ok("verify", file)["sound"]


@pytest.mark.in_turns("transforms that hang", 2)
@pytest.mark.parametrize("how", ["sleep", "compute"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_transform_that_does_not_return(arena: Arena, how: str, number: int):
    """Asleep or at work, it is left behind: the batches before it are kept, and the run goes on."""
    name = f"t_{how}_{int(number)}"
    file = prepare(arena, name)
    arena.write(f"{name}.hang", how)
    running = arena.start("run", file)
    wait_for(arena.folder / f"{name}.there")
    outcome, seconds = stop(running, number)
    is_stopped_well(outcome, seconds)
    assert "it goes on where it stopped" in outcome.stderr, outcome
    (arena.folder / f"{name}.hang").unlink()
    goes_on(arena, file)


@contextlib.contextmanager
def unopenable(path: Path) -> Iterator[None]:
    """Whoever opens the file waits for a lease to be given up, for 45 s (fcntl(2), F_SETLEASE)."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # sent to us when somebody waits
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)


@pytest.mark.parametrize("point", ["run.after_start", "before the plan"])
def test_a_file_that_cannot_be_opened(arena: Arena, point: str):
    """The thread that reads hangs, or the plan does: the command ends, and the run goes on."""
    name = "read_" + point.replace(".", "_").replace(" ", "_")
    file = prepare(arena, name)
    planned = point.startswith("run")
    running = arena.start("run", file, failpoints="run.after_start=stop" if planned else "")
    if planned:
        running.wait_stopped()
    with unopenable(arena.folder / name / "60.csv"):
        if planned:
            running.go_on()
        wait_until_it_sleeps_in(running, "__break_lease")
        outcome, seconds = stop(running)
    is_stopped_well(outcome, seconds)
    goes_on(arena, file)


def wait_until_it_sleeps_in(running: Running, *places: str) -> None:
    """Until a thread of the command sleeps at one of these places in the kernel."""
    until = time.monotonic() + 60
    tasks = Path(f"/proc/{running.process.pid}/task")
    while not any((task / "wchan").read_text() in places for task in tasks.iterdir()):
        assert time.monotonic() < until, [(task / "wchan").read_text() for task in tasks.iterdir()]
        time.sleep(0.01)


def wait_until_it_waits_for_the_engine(running: Running) -> None:
    """Until the main thread waits for an answer, and not for a lock or a thread."""
    until = time.monotonic() + 60
    wchan = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/wchan")
    while not wchan.read_text().startswith(("unix_stream_read", "poll_schedule_timeout")):
        assert time.monotonic() < until, wchan.read_text()
        time.sleep(0.01)


@pytest.mark.in_turns("engines that hang", 1)
@pytest.mark.parametrize(
    "point",
    [
        pytest.param("run.before_stage=stop", id="an insert"),
        pytest.param("run.after_partition=stop@2", id="the gates"),
        pytest.param("run.after_duplicates=stop", id="the seal"),
        pytest.param("publish.before_exchange=stop", id="the publish"),
    ],
)
def test_an_engine_that_does_not_answer(own_arena: Arena, point: str):
    """Stopped in the midst of a statement, the engine holds nobody up; awake again, it harms nobody."""
    file = prepare(own_arena, "engine")
    running = own_arena.start("run", file, failpoints=point)
    running.wait_stopped()
    host = own_arena.host_pid()
    assert host is not None
    os.kill(host, signal.SIGSTOP)
    try:
        running.go_on()
        wait_until_it_waits_for_the_engine(running)
        outcome, seconds = stop(running)
    finally:
        os.kill(host, signal.SIGCONT)
    is_stopped_well(outcome, seconds)
    own_arena.run("recover")
    if own_arena.ok("runs")["runs"][0]["status"] != "published":
        goes_on(own_arena, file)
    assert own_arena.rows("engine") == [[number, "x"] for number in range(ROWS)]


def test_a_ledger_that_somebody_has_locked(own_arena: Arena):
    """Waiting for a lock on the ledger ends with the signal, also where the run can then not be closed in it."""
    file = prepare(own_arena, "locked")
    running = own_arena.start("run", file, failpoints="run.after_stage=stop")
    running.wait_stopped()
    with own_arena.locked():
        running.go_on()
        outcome, seconds = stop(running)
    is_stopped_well(outcome, seconds)
    goes_on(own_arena, file)


def test_a_file_whose_first_pipeline_is_stopped(arena: Arena):
    """The second pipeline of the file is not begun."""
    file = prepare(arena, "first")
    second = PIPELINE.format(name="second").replace("second/", "first/")
    arena.write(file, PIPELINE.format(name="first") + second)
    running = arena.start("run", file, failpoints="run.before_stage=stop")
    running.wait_stopped()
    running.signal(signal.SIGTERM)
    running.go_on()
    outcome = running.wait()
    assert outcome.status == 1, outcome
    assert "second was not begun" in outcome.stderr, outcome


def test_a_command_from_the_shell(own_arena: Arena):
    """The same for `python -m rowkeeper.cli` as it is typed, with --json: one document says what became of it."""
    file = prepare(own_arena, "typed")
    own_arena.write("typed.hang", "sleep")
    command = subprocess.Popen(
        [sys.executable, "-m", "rowkeeper.cli", "run", file, "--json"],
        cwd=own_arena.folder,
        env={**os.environ, **own_arena.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with command:
        wait_for(own_arena.folder / "typed.there")
        began = time.monotonic()
        command.send_signal(signal.SIGINT)
        said, complained = command.communicate(timeout=60)
        outcome = Outcome(command.returncode, said, complained)
    is_stopped_well(outcome, time.monotonic() - began)
    assert outcome.json["error"]["code"] == "RK-2001", outcome
    (own_arena.folder / "typed.hang").unlink()
    goes_on(own_arena, file)

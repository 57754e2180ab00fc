"""`rowkeeper worker`: real workers, their children killed, hung, orphaned; one engine for all of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from rowkeeper.ledger import Ledger, RunStatus
from rowkeeper.schedule import Timing
from tests.arena import KILLED, Arena
from tests.auditing import AUDITING
from tests.operations.watched import SECONDS_MAX, Watched, working

PIPELINE = """
import rowkeeper as rk
from pydantic import BaseModel

class Trip(BaseModel):
    id: int

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*.csv"),
    contract=Trip,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"]),
    schedule={schedule!r},
)
"""


def declare(arena: Arena, name: str, schedule: str | None = "every 1h", rows: int = 40) -> str:
    arena.write(f"{name}/a.csv", "id\n" + "".join(f"{number}\n" for number in range(rows)))
    arena.write(f"{name}.py", PIPELINE.format(name=name, schedule=schedule))
    return f"{name}.py"


def age(arena: Arena, name: str, file: str, **by: float) -> None:
    """The schedule as it is found by a worker that was away for so long."""
    arena.ok("runs")  # makes the state folder
    past = datetime.now(UTC) - timedelta(**by)
    with Ledger.open(None, arena.home, lambda: past, auditing=AUDITING) as ledger:
        ledger.schedules.declare(name, str(arena.folder / file), Timing("every 1h"))


@contextlib.contextmanager
def service_manager(path: Path) -> Iterator[list[str]]:
    """Listens as systemd does, and notes the first line of each message."""
    words: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))

        def hear() -> None:
            while (word := listener.recv(4096).decode().partition("\n")[0]) != "over":
                words.append(word)

        thread = threading.Thread(target=hear)
        thread.start()
        try:
            yield words
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as over:
                over.sendto(b"over", str(path))
            thread.join()


def log_of(arena: Arena) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (arena.home / "logs" / "rowkeeper.log").read_text().splitlines()]


def bundled(arena: Arena, run: int) -> list[dict[str, Any]]:
    """The lines of the log in the bundle of a run."""
    path = arena.folder / arena.ok("bundle", str(run), "--output", f"{run}-{time.monotonic_ns()}.zip")["file"]
    with zipfile.ZipFile(path) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith("log.jsonl")]
        return [json.loads(line) for line in archive.read(name).splitlines()]


def outcome_of(arena: Arena, name: str) -> str:
    (found,) = [each for each in arena.ok("status")["schedules"] if each["pipeline"] == name]
    return str(found["outcome"])


def test_what_came_due_while_no_worker_was_up_is_run_once(arena: Arena, tmp_path: Path):
    """Fifty hours of an hourly schedule: one run; the service manager hears all of it; SIGTERM ends it cleanly."""
    file = declare(arena, "late")
    age(arena, "late", file, hours=50)
    with service_manager(tmp_path / "notify") as words:
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
        with working(arena, file, env=env) as worker:
            worker.wait_for("ended")
            worker.running.signal(signal.SIGHUP)
            worker.wait_for("ready", lambda _: len(worker.events("ready")) == 2)
    assert [each["outcome"] for each in worker.events("ended")] == ["published"]
    told = [word for word in words if word != "WATCHDOG=1"]
    assert told == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    assert words.count("WATCHDOG=1") > 4
    (known,) = [each for each in arena.ok("status")["schedules"] if each["pipeline"] == "late"]
    assert (known["outcome"], known["served"], known["pid"]) == ("published", False, None)
    assert datetime.fromisoformat(known["next"]) > datetime.now(UTC)
    assert len(arena.rows("late")) == 40


def test_a_killed_worker_is_replaced_by_the_next_which_takes_over_its_child(arena: Arena):
    """kill -9 of the worker: its child goes on, the next worker waits for it, and the pipeline is not run beside it."""
    file = declare(arena, "orphaned")
    age(arena, "orphaned", file, hours=2)
    first = Watched(arena, file, env={"ROWKEEPER_FAILPOINTS": "run.after_start=stop"})
    pid = first.wait_for("started")["pid"]
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.05)
    first.running.signal(signal.SIGKILL)
    assert first.running.wait().status == KILLED
    with working(arena, file) as second:
        assert second.wait_for("adopted")["pid"] == pid
        os.kill(pid, signal.SIGCONT)
        assert second.wait_for("ended")["outcome"] == "published"  # as the slot says, which its run has answered
    assert len(arena.rows("orphaned")) == 40
    (run,) = [each for each in arena.ok("runs", "--pipeline", "orphaned")["runs"] if each["status"] == "published"]
    told = bundled(arena, run["run"])
    assert [each["child"] for each in told if each["event"] == "process of a dead worker adopted"] == [pid]
    assert "process of a run started" in [each["event"] for each in told]
    assert "Its worker died; the next one took its process over." in arena.ok("show", str(run["run"]))["done"]
    assert arena.ok("runs", "--parked", "--pipeline", "orphaned")["runs"] == []


def test_a_run_that_dies_is_gone_on_with(arena: Arena):
    """SIGKILL of the child at its first and second try: the third publishes, and the worker has not flinched."""
    file = declare(arena, "mortal")
    age(arena, "mortal", file, hours=2)
    with working(arena, file) as worker:
        for tries in range(2):
            worker.wait_for("started", lambda _, tries=tries: len(worker.events("started")) > tries)
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.events("started")[tries]["pid"], signal.SIGKILL)
        worker.wait_for("ended", lambda each: each["outcome"] == "published")
    assert [each["outcome"] for each in worker.events("ended")] == ["died", "died", "published"]
    assert len(arena.rows("mortal")) == 40


def test_a_run_that_hangs_is_told_to_stop_then_killed(arena: Arena):
    """It does not take the worker along, is tried again later, and leaves a run that goes on."""
    file = declare(arena, "hanging")
    age(arena, "hanging", file, hours=2)
    env = {"ROWKEEPER_FAILPOINTS": "run.after_start=stop", "ROWKEEPER_WORKER_RUN_SECONDS_MAX": "4"}
    with working(arena, file, env=env) as worker:
        pid = worker.wait_for("started")["pid"]
        assert worker.wait_for("ended")["outcome"] == "hung"
        assert not psutil.pid_exists(pid)
        again = worker.wait_for("started", lambda each: each["pid"] != pid)
        os.kill(again["pid"], signal.SIGKILL)  # rather than wait for it to hang
        worker.wait_for("ended", lambda each: each["outcome"] == "died")
    assert arena.ok("run", file)["account"]["committed"] == 40
    (known,) = [each for each in arena.ok("status")["schedules"] if each["pipeline"] == "hanging"]
    assert (known["outcome"], known["failures"]) == ("died", 2)
    logged = [line for line in log_of(arena) if line.get("child") == pid]
    assert [line.get("outcome") for line in logged] == [None, "hung"]


def test_a_stop_reaches_the_child_and_a_second_one_ends_all_at_once(arena: Arena):
    """A child that cannot hear the first is dead after the second; the run is whole after the next worker."""
    file = declare(arena, "deaf")
    age(arena, "deaf", file, hours=2)
    worker = Watched(arena, file, env={"ROWKEEPER_FAILPOINTS": "run.after_start=stop"})
    pid = worker.wait_for("started")["pid"]
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.05)
    started = time.monotonic()
    worker.running.signal(signal.SIGINT)
    worker.wait_for("stopping")
    assert worker.end(signal.SIGINT) == 0
    assert time.monotonic() - started < 5
    while psutil.pid_exists(pid):
        assert time.monotonic() - started < 20
    with working(arena, file) as second:  # its reconciler may be at the table first, then the run is tried again
        second.wait_for("ended", lambda each: each["outcome"] == "published")


def test_of_two_workers_one_stands_by_and_takes_over(arena: Arena):
    """One pipeline is never run by both; when the first is killed the second serves it."""
    file = declare(arena, "shared")
    arena.write("shared.py", PIPELINE.format(name="shared", schedule="every 1s"))
    first = Watched(arena, file)
    first.wait_for("started")
    with working(arena, file) as second:
        second.wait_for("ready")
        first.wait_for("ended")
        assert second.events("started") == []
        assert next(each for each in arena.ok("status")["schedules"] if each["pipeline"] == "shared")["served"]
        first.running.signal(signal.SIGKILL)
        first.running.wait()
        second.wait_for("ended")


def test_runs_that_others_left_behind_are_finished_or_kept(arena: Arena):
    """One that died after its publish is recorded; one that died before is kept, as its pipeline has no schedule."""
    for name, point in (("recorded", "publish.after_exchange"), ("kept", "run.after_partition")):
        file = declare(arena, name, None)
        assert arena.run("run", file, failpoints=f"{point}=kill").status == KILLED
    with working(arena) as worker:
        for name in ("recorded", "kept"):
            worker.wait_for("recovered", lambda each, name=name: each["pipeline"] == name)
        found = {each["pipeline"]: each["outcome"] for each in worker.events("recovered")}
    assert (found["recorded"], found["kept"] in ("kept", "finished")) == ("recorded", True)
    (run,) = arena.ok("runs", "--pipeline", "recorded")["runs"]
    assert run["status"] == "published"
    assert "run recovered" in [each["event"] for each in bundled(arena, run["run"])]


def test_what_a_person_stopped_is_left_to_a_person(arena: Arena):
    """Somebody was told that nothing was published: no worker publishes it behind their back, `recover` does."""
    file = declare(arena, "stopped", None)
    run = arena.start("run", file, failpoints="run.after_partition=stop")
    run.wait_stopped()
    run.signal(signal.SIGINT)
    run.go_on()
    assert run.wait().status == 1
    assert [each for each in arena.ok("recover", "--automatic")["runs"] if each["pipeline"] == "stopped"] == []
    assert [each["pipeline"] for each in arena.ok("runs", "--parked", "--pipeline", "stopped")["runs"]] == ["stopped"]
    found = [each["outcome"] for each in arena.ok("recover")["runs"] if each["pipeline"] == "stopped"]
    assert found == ["finished"]


def test_a_ledger_that_refuses_for_a_while_costs_no_duty(arena: Arena):
    """Files read anew while it does are served as they now are in the next round; the worker stays up."""
    file = declare(arena, "refused")
    with working(arena, file, failpoints="ledger.before_commit:declare_schedule=raise@2") as worker:
        worker.wait_for("ready")
        arena.write(file, PIPELINE.format(name="refused", schedule="every 1s"))
        worker.wait_for("refused", lambda each: "declare_schedule" in each["error"])
        worker.wait_for("ended")
    refused = [line["what"] for line in log_of(arena) if line["event"] == "step of the worker refused"]
    assert [what for what in refused if "declare_schedule" in what]


def test_a_broken_pipeline_file_keeps_what_it_declared(arena: Arena):
    """It is told of; once mended it is read again."""
    file = declare(arena, "broken")
    with working(arena, file) as worker:
        assert worker.wait_for("ready")["pipelines"] == ["broken"]
        arena.write(file, "import nothing_of_this_name\n")
        assert "nothing_of_this_name" in worker.wait_for("unreadable")["error"]
        arena.write(file, PIPELINE.format(name="broken", schedule="every 1s"))
        worker.wait_for("ended")


@pytest.mark.in_turns("steps of a worker", 1)
@pytest.mark.parametrize("point", ["worker.after_start", "worker.before_note"])
def test_a_worker_killed_at_any_of_its_steps_loses_and_doubles_nothing(arena: Arena, point: str):
    """The next one finds what was due, runs it, and every row is there once."""
    name = point.replace(".", "_")
    file = declare(arena, name)
    age(arena, name, file, hours=2)
    first = arena.start("worker", file, "--json", failpoints=f"{point}=kill")
    assert first.wait().status == KILLED
    with working(arena, file) as second:  # its child may be done before the second looks: then nothing is left to do
        second.wait_for("ready")
        ends = time.monotonic() + SECONDS_MAX
        with Ledger.open(None, arena.home, auditing=AUDITING) as ledger:
            while not any(run.status is RunStatus.PUBLISHED for run in ledger.runs(limit=100, pipeline=name)):
                assert time.monotonic() < ends
                time.sleep(0.1)
    assert len(arena.rows(name)) == 40
    assert arena.ok("runs", "--parked", "--pipeline", name)["runs"] == []

"""The worker's parts: what the end of an attempt means, what the service manager hears, its watchdog."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rowkeeper.errors import LeaseError
from rowkeeper.ledger import Ledger
from rowkeeper.logs import Journal, keep
from rowkeeper.operations.worker.appointed import TASKS
from rowkeeper.operations.worker.attempt import Ended
from rowkeeper.operations.worker.notify import Notifier
from rowkeeper.operations.worker.pausing import PAUSE_SECONDS_MAX, judge
from rowkeeper.operations.worker.telling import EVENTS, logged
from rowkeeper.operations.worker.watchdog import STUCK
from rowkeeper.schedule import Timing
from tests.auditing import AUDITING

ROOT = Path(__file__).parents[2]


LEFT_OUT = {"key": "in/b.csv", "what": "a quote is never closed", "code": "RK-2102", "hint": ""}


def failed(**error: object) -> Ended:
    return Ended(1, {"status": "failed", "error": {"what": "it failed", **error}}, hung=False)


@pytest.mark.parametrize(
    ("ended", "outcome", "answered", "failures"),
    [
        (Ended(0, {"status": "published"}, hung=False), "published", True, 0),
        (Ended(0, {"status": "published"}, hung=True), "published", True, 0),
        (failed(retryable=False), "failed", True, 4),
        (failed(retryable=True), "failed", False, 4),
        (failed(retryable=True, code="RK-3401"), "busy", False, 3),
        (Ended(1, {"status": "held", "error": {"what": "held"}}, hung=False), "held", True, 4),
        (Ended(-9, None, hung=False), "died", False, 4),
        (Ended(-9, None, hung=True), "hung", False, 4),
        (Ended(None, None, hung=False), "unknown", False, 0),
        (Ended(3, {"status": "published", "failed_partitions": [LEFT_OUT]}, hung=False), "partial", True, 0),
        (Ended(3, None, hung=False), "died", False, 4),
    ],
)
def test_what_may_pass_is_tried_again_and_what_a_person_must_mend_is_not(
    ended: Ended, outcome: str, answered: bool, failures: int
):
    """A crash, a hang and a retryable error are; a run that another process is at is no failure."""
    found = judge(ended, 3, stopping=False, source=random.Random(0))
    assert (found.outcome, found.answered, found.failures) == (outcome, answered, failures)


def test_a_partial_success_says_what_was_left_out():
    """It is no failure, and not without a word either."""
    ended = Ended(3, {"status": "published", "failed_partitions": [LEFT_OUT, LEFT_OUT]}, hung=False)
    told = judge(ended, 3, stopping=False, source=random.Random(0)).told
    assert told == "published without 2 partitions that failed; in/b.csv: a quote is never closed"


def test_pauses_grow_with_jitter_and_have_an_end():
    """Doubling from 2 s to 5 minutes, each shortened by up to half."""
    pauses = [
        judge(failed(retryable=True), n, stopping=False, source=random.Random(n)).pause_seconds for n in range(40)
    ]
    assert all(min(300, 2 * 2**n) / 2 <= pause <= min(300, 2 * 2**n) for n, pause in enumerate(pauses))
    assert max(pauses) <= PAUSE_SECONDS_MAX


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_hears_each_word(tmp_path: Path, abstract: bool):
    """As datagrams on its socket, in the file system or abstract."""
    name = f"\0rowkeeper-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(5)
        asked = {"NOTIFY_SOCKET": name.replace("\0", "@"), "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
        notifier = Notifier(asked)
        assert notifier.watchdog_seconds == 3.0
        notifier.ready("up")
        notifier.alive("busy")
        notifier.reloading()
        notifier.stopping()
        heard = [manager.recv(4096).decode() for _ in range(4)]
    assert heard[:2] == ["READY=1\nSTATUS=up", "WATCHDOG=1\nSTATUS=busy"]
    assert heard[2].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert heard[3].startswith("STOPPING=1")


def test_a_watchdog_for_another_process_is_not_ours():
    """WATCHDOG_PID says whom it is for."""
    assert Notifier({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}).watchdog_seconds is None


def test_nobody_listening_stops_nothing(tmp_path: Path):
    """A notification that cannot be sent is not an error."""
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("up")
    Notifier({}).ready("up")


def test_a_loop_that_stands_still_ends_the_process_and_says_where():
    """It ends with a status of its own; a loop that goes round does not."""
    program = """
import sys, time
from rowkeeper.operations.worker.watchdog import Watchdog
dog = Watchdog(0.6)
with dog.watching():
    for _ in range(4):
        time.sleep(0.3)
        dog.beat()
    print("went round", flush=True)
    time.sleep(30)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=25, check=False)
    assert (ended.returncode, ended.stdout) == (STUCK, "went round\n")
    assert "stands still" in ended.stderr
    assert "line 10" in ended.stderr


def test_what_a_worker_tells_is_logged_as_well():
    """In the log's own words, and without those of a pipeline file, which may be anything."""
    lines: list[Mapping[str, object]] = []
    heard: list[tuple[str, dict[str, object]]] = []
    tell = logged(lambda event, **facts: heard.append((event, facts)))
    with keep(Journal("info", [lines.append])):
        tell("ready", pipelines=["a", "b"])
        tell("ended", pipeline="a", pid=7, outcome="hung", error="it took too long")
        tell("unreadable", file="/p.py", error="it raised ValueError: canary", code="RK-1101")
        tell("refused", error="the ledger was locked", code="RK-3301")
    assert [event for event, _ in heard] == ["ready", "ended", "unreadable", "refused"]
    assert [line["level"] for line in lines] == ["info", "warning", "warning", "warning"]
    assert {line["area"] for line in lines} == {"worker"}
    assert lines[0]["schedules"] == 2
    assert {"child": 7, "outcome": "hung", "what": "it took too long"}.items() <= lines[1].items()
    assert "canary" not in str(lines[2])
    assert (lines[3]["what"], lines[3]["code"]) == ("the ledger was locked", "RK-3301")


def test_every_event_of_a_worker_has_words_for_the_log():
    """None is told that the log would stumble over."""
    rooms = (ROOT / "src" / "rowkeeper" / "operations" / "worker").glob("*.py")
    told = {found for room in rooms for found in re.findall(r"tell\(\"([\w ]+)\"", room.read_text())}
    assert told | {event for task in TASKS for event in (task.kept, task.failed)} == set(EVENTS)


def test_the_unit_file_is_one(tmp_path: Path):
    """systemd's own check finds nothing to say about it."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    text = (ROOT / "deploy" / "rowkeeper-worker.service").read_text()
    assert "KillMode=mixed" in text  # a stop is for the worker to pass on
    unit = tmp_path / "rowkeeper-worker.service"
    unit.write_text(text.replace("/opt/rowkeeper/.venv/bin/rowkeeper", sys.executable))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.of_sqlite("looks into its file")
def test_after_a_reboot_a_lease_is_free_at_once(tmp_path: Path):
    """A lease of this machine before it was started the last time is nobody's; one of another machine is."""
    now = datetime.now(UTC)
    with Ledger.open(None, tmp_path, lambda: now, auditing=AUDITING) as ledger:
        for name in ("rebooted", "elsewhere", "unnamed"):
            ledger.acquire_lease(name, 3600)
        with sqlite3.connect(tmp_path / "ledger.sqlite") as direct:
            (host,) = direct.execute("SELECT host FROM leases LIMIT 1").fetchone()
            name, _, machine = host.split(":")
            for lease, other in (
                ("rebooted", f"{name}:00000000:{machine}"),
                ("elsewhere", f"{name}:00000000:another"),
                ("unnamed", f"{name}:00000000:"),
            ):
                direct.execute("UPDATE leases SET host = ? WHERE name = ?", (other, lease))
        if machine:
            assert not ledger.lease_alive("rebooted")
            assert ledger.acquire_lease("rebooted", 30).token == 2
        for held in ("elsewhere", "unnamed"):
            assert ledger.lease_alive(held)
            with pytest.raises(LeaseError):
                ledger.acquire_lease(held, 30)


def test_a_schedule_that_is_new_or_changed_begins_now(tmp_path: Path):
    """It is not due for instants that lie before it was declared."""
    now = [datetime(2026, 11, 23, 12, tzinfo=UTC)]
    with Ledger.open(None, tmp_path, lambda: now[0], auditing=AUDITING) as ledger:
        ledger.schedules.declare("p", "/p.py", Timing("every 1h"))
        now[0] += timedelta(days=3)
        ledger.schedules.declare("p", "/p.py", Timing("every 1h"))
        assert ledger.schedules.all()[0].kept_until == now[0] - timedelta(days=3)
        ledger.schedules.declare("p", "/p.py", Timing("every 2h"))
        assert ledger.schedules.all()[0].kept_until == now[0]


def test_a_worker_that_lost_its_lease_notes_nothing(tmp_path: Path):
    """Another one has taken over, and its word counts."""
    now = [datetime(2026, 11, 23, 12, tzinfo=UTC)]
    with Ledger.open(None, tmp_path, lambda: now[0], auditing=AUDITING) as ledger:
        ledger.schedules.declare("p", "/p.py", Timing("every 1h"))
        stale = ledger.acquire_lease("schedule:p", 30)
        now[0] += timedelta(seconds=31)
        ledger.acquire_lease("schedule:p", 30)
        with pytest.raises(LeaseError):
            ledger.schedules.end(stale, "p", "published")
        assert ledger.schedules.all()[0].outcome == ""

"""The short form of `make soak`."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests import extent
from tests.soak.feeding import is_bad
from tests.soak.field import Field
from tests.soak.judging import Verdict, judge, judge_processes, judge_state_folder, judge_words
from tests.soak.watching import Sample, Watch
from tests.torture.mounting import REPOSITORY


@pytest.mark.timeout(500)
def test_some_seconds_of_everything_at_once_lose_double_and_strand_nothing() -> None:
    """Loads of all kinds through workers and by hand, under kills, stops, cuts and full disks."""
    minutes, outages = ("0.33", "1") if extent.whole else ("0.12", "0")
    options = [
        "--minutes",
        minutes,
        "--outages",
        outages,
        "--every",
        "every 2s",
        "--strike-seconds",
        "1.5",
        "--feed-seconds",
        "2",
    ]
    command = [sys.executable, "-m", "tests.soak", *options]
    environment = os.environ | {"PYTHONPATH": "src"}
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.timeout(200)
def test_the_judge_finds_what_is_lost_doubled_stale_or_misbooked(tmp_path: Path) -> None:
    """A soak that cannot fail proves nothing: each fault is planted, and found."""
    field = Field(tmp_path, random.Random(0), "every 1h")
    with field.laid_out():
        for feed in field.feeds:
            field.answer("run", f"{feed.name}.py")
        calm = Verdict()
        judge(field, calm)
        assert calm.is_good, calm.notes

        lacking, doubled, old, unread = field.feeds
        lacking.sent += [1] * 2  # never written to a file, and one of two may be bad
        copied = next((tmp_path / "data" / doubled.name).iterdir())
        shutil.copy(copied, copied.with_name("again.ndjson"))
        field.answer("run", f"{doubled.name}.py")
        old.sent[1] += 1
        unread.rows += 1
        found = Verdict()
        judge(field, found)
        assert found.lost == lacking.good - sum(not is_bad(number) for number in range(len(lacking.sent) - 2))
        assert (found.doubled, found.stale, found.misbooked) == (doubled.good, 1, 2)
        assert not found.is_good

        judge_state_folder(field.home, calm)
        assert calm.is_good, calm.notes
        sealed = next((field.home / "quarantine").rglob("*/*"))
        shutil.copy(sealed, sealed.with_name("forgotten"))
        (sealed.parent / f".{sealed.name}.0123").touch()
        (field.home / "engine" / "config.draft").touch()
        judge_state_folder(field.home, calm)
        assert (calm.sealed_files_orphaned, calm.drafts_left) == (1, 2)


LEAKING = """
import os, sys, threading
kept = []
for word in sys.stdin:
    if word.strip() == "descriptor":
        kept.append(os.dup(0))
    if word.strip() == "thread":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    if word.strip() == "memory":
        kept.append(bytearray(os.urandom(1 << 20)))
    print("done", flush=True)
"""
LOOKS = 40


@pytest.mark.parametrize(
    ("leak", "finds"),
    [
        ("nothing", {}),
        ("descriptor", {"descriptors_leaked"}),
        ("thread", {"threads_leaked"}),
        ("memory", {"memory_grown"}),
    ],
)
def test_a_process_that_leaks_is_found(leak: str, finds: set[str]) -> None:
    """One descriptor, thread or megabyte every three seconds, of a worker that is watched for two minutes."""
    seconds = itertools.count(step=3)
    command = [sys.executable, "-c", LEAKING]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as leaking:
        assert leaking.stdin is not None
        assert leaking.stdout is not None
        watch = Watch("worker", psutil.Process(leaking.pid), clock=lambda: float(next(seconds)))
        for _ in range(LOOKS):
            leaking.stdin.write(leak + "\n")
            leaking.stdin.flush()
            assert leaking.stdout.readline() == "done\n"
            watch.look()
        leaking.stdin.close()
    verdict = Verdict()
    judge_processes([watch], verdict)
    assert {name for name, count in vars(verdict).items() if count and name != "notes"} == set(finds)


def test_a_process_that_takes_too_much_is_found_however_short_it_lives() -> None:
    """A run that had a thousand descriptors in one sample."""
    watch = Watch("run", psutil.Process(), samples=[Sample(0.0, 1, 1_000, 1)])
    verdict = Verdict()
    judge_processes([watch], verdict)
    assert verdict.limits_exceeded == 1
    assert not verdict.is_good


def test_a_traceback_is_found_unless_python_itself_was_stopped_as_it_started(tmp_path: Path) -> None:
    """Ctrl-C before the first line of Rowkeeper is Python's own to tell; what is said beside it counts."""
    starting = (
        "Fatal Python error: init_import_site: Failed to import the site module\n"
        "Traceback (most recent call last):\n  File ...\nKeyboardInterrupt\n"
    )
    found = []
    for said in (starting, starting + "Traceback (most recent call last):\n", "error: x (RK-9001)\n", "done\n"):
        (tmp_path / "run.err").write_text(said)
        verdict = Verdict()
        judge_words(tmp_path, verdict)
        found.append(verdict.surprises)
    assert found == [0, 1, 1, 0]

"""The short form of `make soak`."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.feeding import is_bad
from tests.soak.field import Field
from tests.soak.judging import Verdict, judge
from tests.torture.mounting import REPOSITORY


@pytest.mark.timeout(400)
def test_twenty_seconds_of_everything_at_once_lose_double_and_strand_nothing() -> None:
    """Loads of all kinds through workers and by hand, under kills, stops, cuts and full disks."""
    options = ["--minutes", "0.33", "--every", "every 2s", "--strike-seconds", "1.5", "--feed-seconds", "2"]
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

"""The short form of `make soak`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.torture.mounting import REPOSITORY


@pytest.mark.timeout(400)
def test_twenty_seconds_of_everything_at_once_lose_double_and_strand_nothing() -> None:
    """Loads of all kinds through workers and by hand, under kills, stops, cuts and full disks."""
    options = ["--minutes", "0.33", "--every", "every 2s", "--strike-seconds", "1.5", "--feed-seconds", "2"]
    command = [sys.executable, "-m", "tests.soak", *options]
    environment = os.environ | {"PYTHONPATH": "src"}
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr

"""Debian's Prometheus and promtool, brought by `python -m tools.prometheus`, for tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tools.prometheus import program


def needed(name: str) -> Path:
    """The program; where it cannot be had the test is skipped, and says why."""
    found = program(name)
    if found is None:
        pytest.skip(f"there is no {name} here: python -m tools.prometheus brings it")
    return found


def promtool(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Runs promtool, with this on its standard input."""
    command = [str(needed("promtool")), *words]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)

"""The log read again: the lines of one run, and of the commands that worked on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rowkeeper.logs.file import former

LINES_MAX = 20_000


def lines_of(path: Path, run: int) -> list[dict[str, Any]]:
    """The lines about a run, and all others of the sessions that have such lines: the oldest first, the last ones only.

    Those of other runs that a session worked on are left out. A worker's session goes on for weeks: of it there are
    the lines about the run, about the processes that it started for it, and those about nobody's run from the time
    between the run's first line and its last.
    """
    lines = list(_all(path))
    about = [line for line in lines if line.get("run") == run]
    if not about:
        return []
    processes = {(line.get("pid"), line.get("pipeline")) for line in about}
    sessions = {line.get("session") for line in about}
    sessions |= {line.get("session") for line in lines if "child" in line and _process(line) in processes}
    first, last = str(about[0].get("time")), str(about[-1].get("time"))

    def belongs(line: dict[str, Any]) -> bool:
        if line.get("run", run) != run or line.get("session") not in sessions:
            return False
        if line.get("area") != "worker" or "run" in line:
            return True
        if "child" in line:
            return _process(line) in processes
        return first <= str(line.get("time")) <= last

    return [line for line in lines if belongs(line)][-LINES_MAX:]


def _process(line: dict[str, Any]) -> tuple[object, object]:
    """What a worker's line is about: the process that it started, and for which pipeline."""
    return line.get("child"), line.get("pipeline")


def _all(path: Path) -> Iterator[dict[str, Any]]:
    for each in [*former(path), path]:
        try:
            text = each.read_text(errors="replace")
        except OSError:
            continue  # none was written yet, or another process is just rotating
        for line in text.splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue  # the disk was full in the middle of it
            if isinstance(found, dict):
                yield found

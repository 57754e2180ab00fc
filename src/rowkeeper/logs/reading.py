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

    Those of other runs that a session worked on are left out.
    """
    lines = list(_all(path))
    sessions = {line.get("session") for line in lines if line.get("run") == run}
    return [line for line in lines if line.get("run", run) == run and line.get("session") in sessions][-LINES_MAX:]


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

"""Commands in processes of their own, which can be killed where they change state."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rowkeeper.resilience.failpoints import VARIABLE

KILLED = -signal.SIGKILL
SECONDS_MAX = 300.0


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it printed. A killed one has the status -9."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """What it printed, of a command with `--json`."""
        return json.loads(self.stdout)


class Runner(Protocol):
    """Runs commands in a folder that has a state folder of its own."""

    @property
    def folder(self) -> Path:
        """Where pipeline files go."""
        ...

    def run(self, *words: str, failpoints: str = "") -> Ended:
        """`rowkeeper WORDS`, with these failpoints armed (see `rowkeeper.resilience.failpoints`)."""
        ...


class Processes:
    """A Runner that starts an interpreter for each command.

    Args:
        folder: empty, or not there yet.
        env: set beside this process's own.
    """

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._env = {
            **os.environ,
            "ROWKEEPER_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "ROWKEEPER_ENGINE_IDLE_SECONDS": "20",
            "ROWKEEPER_INSERT_ROWS": "30",
            **(env or {}),
        }

    def run(self, *words: str, failpoints: str = "") -> Ended:
        """Implements Runner."""
        done = subprocess.run(
            [sys.executable, "-c", "from rowkeeper.cli import main; main()", *words],
            cwd=self.folder,
            env={**self._env, VARIABLE: failpoints},
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

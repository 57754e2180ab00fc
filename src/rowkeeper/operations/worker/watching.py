"""The look at health of who stays up, workers and servers: so that it is known since when something is as it is."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rowkeeper.operations.health.check import State
from rowkeeper.operations.worker.chore import Chore
from rowkeeper.operations.worker.files import Tell
from rowkeeper.runs.workspace import Workspace

LOOK_SECONDS_MAX = 300.0
FIRST_SECONDS_MAX = 60.0  # what a worker or server is started for comes first


class Watcher(Chore):
    """Starts `rowkeeper health` with the pipeline files every so often, and tells what turned bad or good.

    Args:
        files: those that can be read at the moment.
    """

    def __init__(
        self, workspace: Workspace, tell: Tell, source: random.Random, files: Callable[[], Sequence[Path]]
    ) -> None:
        every = workspace.settings.health_seconds
        super().__init__(workspace, tell, source, ("health",), LOOK_SECONDS_MAX, every_seconds=every)
        self._next = time.monotonic() + source.uniform(0.5, 1) * min(every, FIRST_SECONDS_MAX)
        self._files = files
        self._bad: dict[tuple[str, str], str] = {}

    def _waiting(self) -> Sequence[float]:
        """Always another look: what it finds may be another every time."""
        self._words = ["health", *map(str, self._files())]
        return [time.monotonic()]

    def _take_in(self, document: Mapping[str, Any]) -> None:
        if "checks" not in document:
            error = document.get("error") or {}
            self._tell("refused", error=error.get("what", "health could not be looked at"), code=error.get("code", ""))
            return
        found = {(each["name"], each["subject"]): each for each in document["checks"]}
        bad = {key: each["told"] for key, each in found.items() if State(each["state"]).fails}
        for key in bad.keys() - self._bad.keys():
            self._tell("unhealthy", check=key[0], subject=key[1], error=bad[key], hint=found[key]["mend"])
        for key in self._bad.keys() - bad.keys():
            self._tell("healthy", check=key[0], subject=key[1])
        self._bad = bad

"""The worker's care for the spool: drained when it can be, tried less and less often while nothing changes."""

from __future__ import annotations

import contextlib
import random
import time

from rowkeeper.ledger import RunStatus
from rowkeeper.operations.worker.attempt import Child
from rowkeeper.operations.worker.files import Tell
from rowkeeper.runs.draining import QUEUED
from rowkeeper.runs.workspace import Workspace

PAUSE_SECONDS_MAX = 900.0
DRAIN_SECONDS_MAX = 24 * 3600.0


class Drainer:
    """Starts `rowkeeper spool drain` when a run waits in the spool, and nobody is at its destination."""

    def __init__(self, workspace: Workspace, tell: Tell, source: random.Random) -> None:
        self._workspace = workspace
        self._tell = tell
        self._source = source
        self._child: Child | None = None
        self._pause_seconds = workspace.settings.worker_reconcile_seconds
        self._next = 0.0
        self._last: list[int] = []

    @property
    def busy(self) -> bool:
        """Whether it is at it."""
        return self._child is not None and self._child.ended() is None

    def look(self) -> None:
        """Takes in what was drained, and sees whether anything waits. Raises FrameworkError."""
        if self._child is not None:
            ended = self._child.ended()
            if ended is None:
                return
            self._child = None
            self._take_in(ended.document or {})
        if time.monotonic() < self._next:
            return
        waiting = self._waiting()
        usual = self._workspace.settings.worker_reconcile_seconds
        again = bool(waiting) and waiting == self._last
        self._pause_seconds = min(PAUSE_SECONDS_MAX, 2 * self._pause_seconds) if again else usual
        self._last = waiting
        self._next = time.monotonic() + self._source.uniform(0.5, 1.5) * self._pause_seconds
        if waiting:
            self._child = Child(["spool", "drain", "--automatic"], DRAIN_SECONDS_MAX)

    def _take_in(self, document: dict[str, object]) -> None:
        runs, error = document.get("runs"), document.get("error")
        for each in runs if isinstance(runs, list) else ():
            self._tell("drained", run=each["run"], pipeline=each["pipeline"])
        if isinstance(error, dict):
            self._tell("not drained", error=error.get("what", ""), code=error.get("code", ""))

    def _waiting(self) -> list[int]:
        """The first runs of the destinations that nobody is at; one that its gates hold waits for a person."""
        ledger = self._workspace.ledger
        first = {run.target: run for run in reversed(ledger.spooled()) if run.status in QUEUED}
        return [
            run.run
            for target, run in first.items()
            if run.status is RunStatus.SPOOLED and not ledger.lease_alive(target)
        ]

    def stop(self) -> None:
        """Tells it to stop."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """Ends it at once."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()

"""The worker's care for the spool: drained when it can be."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from rowkeeper.ledger import RunStatus
from rowkeeper.operations.worker.chore import Chore
from rowkeeper.operations.worker.files import Tell
from rowkeeper.runs.draining import QUEUED
from rowkeeper.runs.workspace import Workspace

DRAIN_SECONDS_MAX = 24 * 3600.0


class Drainer(Chore):
    """Starts `rowkeeper spool drain` when a run waits in the spool, and nobody is at its destination."""

    def __init__(self, workspace: Workspace, tell: Tell, source: random.Random) -> None:
        super().__init__(workspace, tell, source, ("spool", "drain", "--automatic"), DRAIN_SECONDS_MAX)

    def _take_in(self, document: Mapping[str, Any]) -> None:
        for each in document.get("runs", ()):
            self._tell("drained", run=each["run"], pipeline=each["pipeline"])
        error = document.get("error")
        if isinstance(error, dict):
            self._tell("not drained", error=error.get("what", ""), code=error.get("code", ""))

    def _waiting(self) -> Sequence[int]:
        """The first runs of the destinations that nobody is at; one that its gates hold waits for a person."""
        ledger = self._workspace.ledger
        first = {run.target: run for run in reversed(ledger.spooled()) if run.status in QUEUED}
        return [
            run.run
            for target, run in first.items()
            if run.status is RunStatus.SPOOLED and not ledger.lease_alive(target)
        ]

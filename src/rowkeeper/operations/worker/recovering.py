"""The worker's care for dead runs: finished, undone or parked by the reconciler."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from rowkeeper.ledger import RunStatus
from rowkeeper.operations.worker.chore import Chore
from rowkeeper.operations.worker.files import Tell
from rowkeeper.runs.reconciling import DIED, was_stopped
from rowkeeper.runs.workspace import Workspace

RECOVER_SECONDS_MAX = 3600.0
SETTLING = (RunStatus.STAGING, RunStatus.PREPARED, RunStatus.INTERRUPTED)  # if nobody holds their destination


class Reconciler(Chore):
    """Starts `rowkeeper recover` when a run was left behind, and says which pipelines have runs that died."""

    def __init__(self, workspace: Workspace, tell: Tell, source: random.Random) -> None:
        super().__init__(workspace, tell, source, ("recover", "--automatic"), RECOVER_SECONDS_MAX)
        self._hastened: set[int] = set()
        self._died: list[str] = []

    def _take_in(self, document: Mapping[str, Any]) -> None:
        for each in document.get("runs", ()):
            self._tell("recovered", **each)
        ledger = self._workspace.ledger
        runs = [run for target in ledger.targets(unfinished=True) for run in ledger.unfinished(target)]
        died = {run.run: run.pipeline for run in runs if (run.error or {}).get("type") == DIED["type"]}
        self._died += [pipeline for number, pipeline in died.items() if number not in self._hastened]
        self._hastened = set(died)

    def _waiting(self) -> Sequence[tuple[int, str]]:
        """Runs that no live process is at, by what the ledger says of them."""
        ledger = self._workspace.ledger
        return [
            (run.run, run.status.value)
            for target in ledger.targets(unfinished=True)
            if not ledger.lease_alive(target)
            for run in ledger.unfinished(target)
            if run.status in SETTLING and not was_stopped(run)
        ]

    def died(self) -> list[str]:
        """Pipelines with a run that died and was kept, each run told of once: a second death waits for the schedule."""
        found, self._died = self._died, []
        return found

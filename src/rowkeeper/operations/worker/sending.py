"""The worker's care for checkpoints of the audit trail that are not where they are to be kept."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from rowkeeper.operations.worker.chore import Chore
from rowkeeper.operations.worker.files import Tell
from rowkeeper.runs.workspace import Workspace

SEND_SECONDS_MAX = 120.0


class Sender(Chore):
    """Starts `rowkeeper audit send` while the URL or a witness lacks entries and is not left alone."""

    def __init__(self, workspace: Workspace, tell: Tell, source: random.Random) -> None:
        super().__init__(workspace, tell, source, ("audit", "send"), SEND_SECONDS_MAX)

    def _take_in(self, document: Mapping[str, Any]) -> None:
        for each in document.get("sent", ()):
            error = each.get("error")
            if error is not None:
                self._tell("checkpoint not sent", place=each["place"], lag=each["lag"], error=error.get("what", ""))

    def _waiting(self) -> Sequence[str]:
        return [place.name for place in self._workspace.checkpoints.due()]

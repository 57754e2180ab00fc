"""The worker's care for certificates: those of the private authority are renewed before they run out."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rowkeeper.operations.worker.chore import Chore
from rowkeeper.operations.worker.files import Tell
from rowkeeper.runs.workspace import Workspace

RENEW_SECONDS_MAX = 300.0


class Renewer(Chore):
    """Starts `rowkeeper certs renew` when a leaf or the revocation list is due."""

    def __init__(self, workspace: Workspace, tell: Tell, source: random.Random) -> None:
        super().__init__(workspace, tell, source, ("certs", "renew"), RENEW_SECONDS_MAX)

    def _take_in(self, document: Mapping[str, Any]) -> None:
        for each in document.get("certificates", ()):
            self._tell("renewed", certificate=each["name"], until=each["not_after"])
        error = document.get("error")
        if isinstance(error, dict):
            self._tell("not renewed", error=error.get("what", ""), code=error.get("code", ""))

    def _waiting(self) -> Sequence[str]:
        """What of the authority's own is due; without an authority there is nothing."""
        from rowkeeper.security.tls.authority import Authority, due  # noqa: PLC0415 - not quick to import

        return due(Authority.of(self._workspace.folder), datetime.now(UTC))

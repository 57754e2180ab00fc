"""The care for alerts of who stays up, workers and servers: rules are looked at, and what is to be told is told."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rowkeeper.operations.alerts.turn import is_wanted
from rowkeeper.operations.worker.chore import Chore
from rowkeeper.operations.worker.files import Tell
from rowkeeper.runs.workspace import Workspace

CHECK_SECONDS_MAX = 300.0
ASK_SECONDS = 10.0  # between two questions whether it is time, give or take half


class Alerter(Chore):
    """Starts `rowkeeper alerts check` when nobody has looked for so long, or a notice is due.

    Any number of workers and servers do: the ledger says when somebody looked last, and one at a time does it. Whatever
    became of a look, the next is `alerts_seconds` later: who hears of alerts must not wait longer because one failed.
    """

    def __init__(self, workspace: Workspace, tell: Tell, source: random.Random) -> None:
        settings = workspace.settings
        asks = min(ASK_SECONDS, settings.worker_reconcile_seconds, settings.alerts_seconds)
        words = ("alerts", "check", "--automatic")
        super().__init__(workspace, tell, source, words, CHECK_SECONDS_MAX, every_seconds=asks)
        self._every = timedelta(seconds=settings.alerts_seconds)
        self._tried: tuple[float, datetime] | None = None  # when it started a look last, by either clock

    def _take_in(self, document: Mapping[str, Any]) -> None:
        for each in document.get("sent", ()):
            if each["error"] is not None:
                self._tell("notice not delivered", route=each["route"], error=each["error"].get("what", ""))
        error = document.get("error")
        if isinstance(error, dict):
            self._tell("alerts not looked at", error=error.get("what", ""), code=error.get("code", ""))

    def _waiting(self) -> Sequence[object]:
        """Each time another look, so that none is put off as what failed before is."""
        now = datetime.now(UTC)
        if self._has_to_wait() or not is_wanted(self._workspace.ledger.alerts, self._every, now):
            return []
        self._tried = time.monotonic(), now
        return [now]

    def _has_to_wait(self) -> bool:
        """Whether nobody has looked since it started a look: another holds the lease, or the file is wrong."""
        if self._tried is None or time.monotonic() - self._tried[0] >= self._every.total_seconds():
            return False
        last = self._workspace.ledger.alerts.last_look()
        return last is None or last[0] < self._tried[1]

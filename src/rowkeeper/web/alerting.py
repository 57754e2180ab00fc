"""The server's care for alerts, beside its requests: in a thread that waits for nothing of theirs.

What looks is a command in a process of its own, as a worker starts it; the thread asks now and then whether it is time,
and neither takes a thread of the pool nor ever runs in the event loop.
"""

from __future__ import annotations

import random
import threading
from typing import Any

from rowkeeper.errors import FrameworkError
from rowkeeper.logs import failure, logger
from rowkeeper.operations.worker.alerting import Alerter
from rowkeeper.operations.worker.telling import logged
from rowkeeper.runs.workspace import Workspace

ROUND_SECONDS = 1.0
END_SECONDS = 5.0  # for a look under way, which sends again what it cannot note
STOP_SECONDS = 2.0

log = logger("server")


class Lookout:
    """Has the rules of alerts looked at, from `begin` to `end`."""

    def __init__(self, space: Workspace) -> None:
        self._alerter = Alerter(space, logged(_nobody, "server"), random.Random())  # noqa: S311 - jitter
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)

    def begin(self) -> None:
        """Begins to look."""
        self._thread.start()

    def _work(self) -> None:
        while not self._ending.wait(ROUND_SECONDS):
            try:
                self._alerter.look()
            except FrameworkError as error:  # the ledger does not answer; perhaps the next time
                log.warning("rules of alerts not looked at", **failure(error))
            except OSError as error:  # no process is to be had
                log.warning("rules of alerts not looked at", what=error.strerror or type(error).__name__)

    def end(self) -> None:
        """Looks no more. A look that is under way may come to its end, then is told to, then is killed."""
        self._ending.set()
        self._thread.join(ROUND_SECONDS)
        self._alerter.wait(END_SECONDS)
        self._alerter.stop()
        self._alerter.wait(STOP_SECONDS)
        self._alerter.kill()


def _nobody(event: str, **facts: Any) -> None:
    """There is no terminal to tell: the log has it."""

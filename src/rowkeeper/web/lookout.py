"""The server's care for health and alerts, beside its requests: in a thread that waits for nothing of theirs.

What looks are commands in processes of their own, as a worker starts them; the thread asks now and then whether it is
time, and neither takes a thread of the pool nor ever runs in the event loop.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rowkeeper.errors import FrameworkError
from rowkeeper.logs import failure, logger
from rowkeeper.operations.worker.alerting import Alerter
from rowkeeper.operations.worker.chore import Chore
from rowkeeper.operations.worker.telling import logged
from rowkeeper.operations.worker.watching import Watcher
from rowkeeper.runs.workspace import Workspace

ROUND_SECONDS = 1.0
END_SECONDS = 5.0  # for a look at alerts under way, which sends again what it cannot note; health is looked at again
STOP_SECONDS = 2.0

log = logger("server")


class Lookout:
    """Has health and the rules of alerts looked at, from `begin` to `end`, as far as the settings say so.

    Args:
        files: the pipeline files that can be read at the moment, whose pipelines are looked at.
    """

    def __init__(self, space: Workspace, files: Callable[[], Sequence[Path]]) -> None:
        settings, tell, source = space.settings, logged(_nobody, "server"), random.Random()  # noqa: S311 - jitter
        self.chores: dict[Chore, float] = {}  # and how long each may go on at the end, the shortest first
        if settings.server_health:
            self.chores[Watcher(space, tell, source, files)] = 0
        if settings.server_alerts:
            self.chores[Alerter(space, tell, source)] = END_SECONDS
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="lookout", daemon=True)

    def begin(self) -> None:
        """Begins to look."""
        self._thread.start()

    def _work(self) -> None:
        while not self._ending.wait(ROUND_SECONDS):
            for chore in self.chores:
                try:
                    chore.look()
                except FrameworkError as error:  # the ledger does not answer; perhaps the next time
                    log.warning("health or alerts not looked at", **failure(error))
                except OSError as error:  # no process is to be had
                    log.warning("health or alerts not looked at", what=error.strerror or type(error).__name__)

    def end(self) -> None:
        """Looks no more. Looks that are under way may come to their end, then are told to, then are killed."""
        self._ending.set()
        self._thread.join(ROUND_SECONDS)
        begun = time.monotonic()
        for chore, seconds in self.chores.items():
            chore.wait(max(0, begun + seconds - time.monotonic()))
            chore.stop()
        ends = time.monotonic() + STOP_SECONDS
        for chore in self.chores:
            chore.wait(max(0, ends - time.monotonic()))
            chore.kill()


def _nobody(event: str, **facts: Any) -> None:
    """There is no terminal to tell: the log has it."""

"""The memory limit is shared by the runs that are alive on this machine, as the leases in the ledger tell.

Each has an equal share of the runs' part, and looks once a second how large that is. Where no more fit (the limit is
little more than what the processes hold at rest), a run waits until one of those before it has ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rowkeeper.errors import FrameworkError
from rowkeeper.ledger import Ledger
from rowkeeper.logs import logger
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.hold import Hold
from rowkeeper.runs.sizing import Sizes, sizes_of
from rowkeeper.settings import Settings

LOOK_SECONDS = 1.0
WAIT_SECONDS = 0.5

log = logger("run")


class Share:
    """What one run may have, beside the others that are alive."""

    def __init__(self, ledger: Ledger, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._fit = sizes_of(settings).runs_max
        self._looked = float("-inf")
        self._runs = 1

    def runs(self) -> int:
        """How many are under way, this one included. While the ledger does not answer, as many as the last time."""
        with self._lock:
            if self._clock() - self._looked >= LOOK_SECONDS:
                self._looked = self._clock()
                try:
                    self._runs = max(1, len(self._ledger.runs_alive()))
                except FrameworkError as error:
                    log.debug("runs not counted", code=error.code)
            return min(self._runs, self._fit)  # the others wait

    def sizes(self) -> Sizes:
        """For as many runs as there are now."""
        return sizes_of(self._settings, self.runs())

    def command_bytes(self) -> int:
        """What this process may have in RAM now; where it is alone, all that runs may have."""
        return sizes_of(self._settings).runs_bytes // self.runs()


def wait_for_memory(held: Hold, pipeline: str) -> float:
    """Returns when this run is one of those that fit in the memory limit; how many seconds that took.

    The runs that took their leases first go first, so none waits for one that waits for it.

    Raises DeadlineExceeded.
    """
    began, fit = time.monotonic(), held.workspace.sizes.runs_max
    if _before(held) < fit:
        return 0.0
    held.tell(pipeline, "wait")
    failpoint("run.waiting")
    while _before(held) >= fit:
        time.sleep(seconds_left(WAIT_SECONDS) or WAIT_SECONDS)
    return time.monotonic() - began


def _before(held: Hold) -> int:
    """How many runs that are alive took their lease before this one. Where its own is lost, its next write says so."""
    names = [lease.name for lease in held.ledger.runs_alive()]
    return names.index(held.target) if held.target in names else 0

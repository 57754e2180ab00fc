"""What the worker has done beside its runs: a command in a process of its own, given when there is something to do."""

from __future__ import annotations

import contextlib
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from rowkeeper.operations.worker.attempt import Child
from rowkeeper.operations.worker.files import Tell
from rowkeeper.runs.workspace import Workspace

PAUSE_SECONDS_MAX = 900.0


class Chore(ABC):
    """Looks now and then whether there is something to do, and gives the command.

    What could not be done stays as it is, so while nothing changes it is tried less and less often.

    Args:
        words: of the command.
        seconds_max: after which its process is ended.
        every_seconds: how often it looks, give or take half; None is as often as the reconciler.
    """

    def __init__(
        self,
        workspace: Workspace,
        tell: Tell,
        source: random.Random,
        words: Sequence[str],
        seconds_max: float,
        *,
        every_seconds: float | None = None,
    ) -> None:
        self._workspace = workspace
        self._tell = tell
        self._source = source
        self._words = list(words)
        self._seconds_max = seconds_max
        self._child: Child | None = None
        self._usual_seconds = every_seconds or workspace.settings.worker_reconcile_seconds
        self._pause_seconds = self._usual_seconds
        self._next = 0.0
        self._last: Sequence[object] = []

    @abstractmethod
    def _waiting(self) -> Sequence[object]:
        """What there is to do; equal lists are the same work. Raises FrameworkError."""

    @abstractmethod
    def _take_in(self, document: Mapping[str, Any]) -> None:
        """Takes in the command's JSON document, empty if it left none."""

    @property
    def busy(self) -> bool:
        """Whether it is at it."""
        return self._child is not None and self._child.ended() is None

    def look(self) -> None:
        """Takes in what was done, and sees whether there is anything to do. Raises FrameworkError."""
        if self._child is not None:
            ended = self._child.ended()
            if ended is None:
                return
            self._child = None
            self._take_in(ended.document or {})
        if time.monotonic() < self._next:
            return
        waiting = self._waiting()
        again = bool(waiting) and waiting == self._last
        self._pause_seconds = min(PAUSE_SECONDS_MAX, 2 * self._pause_seconds) if again else self._usual_seconds
        self._last = waiting
        self._next = time.monotonic() + self._source.uniform(0.5, 1.5) * self._pause_seconds
        if waiting:
            self._child = Child(self._words, self._seconds_max)

    def wait(self, seconds: float) -> None:
        """Returns when it has ended, or after so long."""
        if self._child is not None:
            self._child.wait(seconds)

    def stop(self) -> None:
        """Tells it to stop."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """Ends it at once."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()

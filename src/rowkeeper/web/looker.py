"""Health as the server finds it: looked at once for all who ask about the same time."""

from __future__ import annotations

import threading
import time

from rowkeeper.caller import acting, os_user
from rowkeeper.operations.health import Health, look
from rowkeeper.runs.workspace import Workspace

KEPT_SECONDS = 10.0


class Looker:
    """Looks on behalf of whoever runs the server, so that it does not matter who asks first."""

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._lock = threading.Lock()
        self._found: Health | None = None
        self._looked_at = 0.0

    def look(self, kept_seconds: float = KEPT_SECONDS) -> Health:
        """What was found so long ago at most. Those who ask meanwhile wait for the same look."""
        with self._lock:
            if self._found is None or time.monotonic() >= self._looked_at + kept_seconds:
                with acting(os_user()):
                    self._found = look(self._space)
                self._looked_at = time.monotonic()
            return self._found

"""The retry budget of a host: a token bucket that calls which went well fill, and retries empty.

Without one, a host in trouble gets each call as often as `attempts` allows, just when it can bear it least. The idea is
Finagle's (https://twitter.github.io/finagle/guide/Clients.html#retry-budget). That only what went well earns a retry is
gRPC's (https://github.com/grpc/proposal/blob/master/A6-client-retries.md): of a host that answers nobody, hardly
anything is asked twice, however many calls there are.
"""

from __future__ import annotations

import threading

from rowkeeper.resilience.clock import Clock
from rowkeeper.resilience.policy import RetryBudget


class Budget:
    """The bucket of one host, for all threads."""

    def __init__(self, policy: RetryBudget, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = policy.reserve
        self._filled_at = clock.monotonic()

    def went_well(self) -> None:
        """Puts in a retry's share; where calls are rare, what the time since the last one is worth, if that is more."""
        with self._lock:
            self._fill(self._policy.share)

    def retry(self) -> bool:
        """Takes out one retry; False if the budget is spent."""
        with self._lock:
            self._fill(0.0)
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def _fill(self, least: float) -> None:
        now = self._clock.monotonic()
        earned = max(least, self._policy.per_second * (now - self._filled_at))
        self._tokens = min(self._policy.reserve, self._tokens + earned)
        self._filled_at = now

    @property
    def tokens(self) -> float:
        """Retries left."""
        with self._lock:
            return self._tokens

"""How many requests somebody may send: a bucket for each, which fills again as time goes by."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

BURST_SECONDS = 5.0
KEPT_MAX = 20_000


class Rates:
    """Token buckets by key. The ones used longest ago are forgotten, which are full again in all likelihood.

    Args:
        per_second: how many a second, for good.
        burst_seconds: as many as that many seconds' worth may come at once.
        now: seconds that never go back.
    """

    def __init__(
        self,
        per_second: float,
        *,
        burst_seconds: float = BURST_SECONDS,
        kept_max: int = KEPT_MAX,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_second
        self._full = max(1.0, per_second * burst_seconds)
        self._kept_max = kept_max
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and as of when
        self._lock = threading.Lock()

    def wait(self, key: str) -> float:
        """Takes one; 0 if there was one, otherwise the seconds until there will be."""
        now = self._now()
        with self._lock:
            left, at = self._buckets.pop(key, (self._full, now))
            left = min(self._full, left + (now - at) * self._per_second)
            granted = left >= 1.0
            self._buckets[key] = (left - 1.0 if granted else left, now)
            if len(self._buckets) > self._kept_max:
                self._buckets.popitem(last=False)
        return 0.0 if granted else (1.0 - left) / self._per_second

"""What a long-running worker takes, sampled: memory, descriptors, threads; and what is left behind at the end."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

WARM_UP_SHARE = 0.3
"""Of the samples: what is imported, cached and allocated at first is no leak."""


@dataclass(frozen=True)
class Sample:
    """One look at a process."""

    seconds: float
    memory_bytes: int
    descriptors: int
    threads: int


@dataclass
class Watch:
    """The samples of one process."""

    pid: int
    samples: list[Sample] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)

    def look(self) -> None:
        """Takes a sample, if it lives."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            used = process.memory_full_info().uss
            now = time.monotonic() - self._started
            self.samples.append(Sample(now, used, process.num_fds(), process.num_threads()))

    @property
    def settled(self) -> list[Sample]:
        """Those after the warm-up."""
        return self.samples[int(len(self.samples) * WARM_UP_SHARE) :]

    @property
    def memory_slope(self) -> float:
        """Bytes an hour, by least squares."""
        points = [(each.seconds, each.memory_bytes) for each in self.settled]
        if len(points) < 2:
            return 0.0
        middle = sum(at for at, _ in points) / len(points), sum(used for _, used in points) / len(points)
        spread = sum((at - middle[0]) ** 2 for at, _ in points)
        return 3600 * sum((at - middle[0]) * (used - middle[1]) for at, used in points) / spread if spread else 0.0

    def leaked(self, name: str) -> int:
        """How many more descriptors or threads the quietest of the last samples has than the quietest of the first.

        The quietest: whoever runs a child, or writes to the ledger, has more of them for a moment.
        """
        settled = self.settled
        third = max(1, len(settled) // 3)
        first, last = settled[:third], settled[-third:]
        return int(min(getattr(each, name) for each in last) - min(getattr(each, name) for each in first))

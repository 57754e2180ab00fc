"""What the processes of a soak take, sampled: memory, descriptors, threads; and whether those that live long take more
and more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from rowkeeper.destinations.embedded.places import EnginePlaces
from tests.holding import Holding
from tests.soak.field import Field

LOOK_SECONDS = 1.0
WARM_UP_SHARE = 0.3
"""Of the samples: what is imported, cached and allocated at first is no leak."""
LONG_SECONDS = 60.0
"""A process that was watched for so long after its warm-up is judged by how it grows too, not only by what it had at
most."""
OWN_LOAD = 4.0
"""Processes for each processor that want to run, of a soak alone; with more of others all takes longer."""
MB = 1_000_000


@dataclasses.dataclass(frozen=True)
class Bound:
    """What a kind of process may take.

    Attributes:
        growth_bytes_hour: so much more memory an hour, by the slope of its samples.
        growth_bytes: or so much in the time watched, if that is more: over minutes a slope is mostly noise.
        memory_bytes: at any time; of what no other process shares.
        descriptors: at any time, without an engine's own data files and the counters of its threads.
        threads: at any time.
        growth_descriptors: so many more, among the quietest samples at the end, are no leak.
        growth_threads: so many more are none either.
    """

    growth_bytes_hour: int
    growth_bytes: int
    memory_bytes: int
    descriptors: int
    threads: int
    growth_descriptors: int = 0
    growth_threads: int = 0


BOUNDS = {
    # Each command that it has under way has a file for its answer, and there are always some.
    "worker": Bound(16 * MB, 8 * MB, 400 * MB, 100, 60, growth_descriptors=4),
    # Its caches may grow to a twentieth of its limit each, its pools with what is asked of them at once, and it opens
    # libraries when it first tells of an error. What each of its hundreds of connections leaked would be far more.
    "engine": Bound(256 * MB, 128 * MB, 1500 * MB, 250, 250, growth_descriptors=20, growth_threads=100),
    "run": Bound(0, 128 * MB, 600 * MB, 200, 100),
    "operation": Bound(0, 256 * MB, 900 * MB, 200, 100),
}


@dataclasses.dataclass(frozen=True)
class Sample:
    """One look at a process."""

    seconds: float
    memory_bytes: int
    descriptors: int
    threads: int


@dataclasses.dataclass
class Watch:
    """The samples of one process.

    Attributes:
        engine: whose host it is, if it is one.
    """

    kind: str
    process: psutil.Process
    engine: EnginePlaces | None = None
    clock: Callable[[], float] = time.monotonic
    samples: list[Sample] = dataclasses.field(default_factory=list)

    def look(self) -> None:
        """Takes a sample, if it lives."""
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            used = _own_memory(self.process.pid)
            holding = Holding.of(self.process.pid, self.engine)
            if used and self.process.is_running():  # and not another one of its number
                self.samples.append(Sample(self.clock(), used, holding.descriptors.total(), holding.threads))

    @property
    def settled(self) -> list[Sample]:
        """Those after the warm-up."""
        return self.samples[int(len(self.samples) * WARM_UP_SHARE) :]

    @property
    def seconds(self) -> float:
        """From the first of these to the last."""
        settled = self.settled
        return settled[-1].seconds - settled[0].seconds if settled else 0.0

    @property
    def memory_slope(self) -> float:
        """Bytes an hour, by least squares."""
        points = [(each.seconds, each.memory_bytes) for each in self.settled]
        if len(points) < 2:
            return 0.0
        middle = sum(at for at, _ in points) / len(points), sum(used for _, used in points) / len(points)
        spread = sum((at - middle[0]) ** 2 for at, _ in points)
        return 3600 * sum((at - middle[0]) * (used - middle[1]) for at, used in points) / spread if spread else 0.0

    @property
    def growth_bytes(self) -> float:
        """What the slope comes to in the time watched."""
        return self.memory_slope * self.seconds / 3600

    @property
    def growth_bytes_max(self) -> float:
        """What it may come to."""
        bound = BOUNDS[self.kind]
        return max(bound.growth_bytes, bound.growth_bytes_hour * self.seconds / 3600)

    def leaked(self, name: str) -> int:
        """How many more descriptors or threads the quietest of the last samples has than the quietest of the first,
        beyond what the kind of process may grow by.

        The quietest: whoever runs a child, or writes to the ledger, has more of them for a moment.
        """
        settled = self.settled
        third = max(1, len(settled) // 3)
        first, last = settled[:third], settled[-third:]
        allowed: int = getattr(BOUNDS[self.kind], f"growth_{name}")
        return max(0, _least(last, name) - _least(first, name) - allowed)

    def most(self, name: str) -> int:
        """The most of it in any sample."""
        return max(int(getattr(each, name)) for each in self.samples)

    @property
    def excesses(self) -> list[str]:
        """In what it went beyond its bounds at some time."""
        names = ("memory_bytes", "descriptors", "threads")
        return [name for name in names if self.most(name) > getattr(BOUNDS[self.kind], name)]

    def figures(self) -> dict[str, Any]:
        """All of it, for a file."""
        first, last = self.settled[0], self.settled[-1]
        return {
            "kind": self.kind,
            "pid": self.process.pid,
            "seconds": round(self.seconds, 1),
            "samples": len(self.samples),
            "memory_bytes": [first.memory_bytes, last.memory_bytes],
            "memory_bytes_most": self.most("memory_bytes"),
            "memory_slope_bytes_hour": round(self.memory_slope),
            "memory_growth_bytes": round(self.growth_bytes),
            "memory_growth_bytes_max": round(self.growth_bytes_max),
            "descriptors": [first.descriptors, last.descriptors],
            "descriptors_most": self.most("descriptors"),
            "descriptors_leaked": self.leaked("descriptors"),
            "threads": [first.threads, last.threads],
            "threads_most": self.most("threads"),
            "threads_leaked": self.leaked("threads"),
        }


@dataclasses.dataclass
class Lookout:
    """The watches of all workers, engines, runs and operations of a soak, as they come and go."""

    field: Field
    _watches: dict[psutil.Process, Watch] = dataclasses.field(default_factory=dict)
    _next: float = 0.0

    def look(self) -> None:
        """A sample of each that lives, once a second at most."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_SECONDS
        self.field.crowding = max(self.field.crowding, os.getloadavg()[0] / (os.cpu_count() or 1) / OWN_LOAD)
        with contextlib.suppress(psutil.NoSuchProcess):
            self._meet("worker", psutil.Process(self.field.steady.pid))
        if engine := self.field.engine():
            self._meet("engine", engine, EnginePlaces.under(self.field.home))
        for run in self.field.runs():
            self._meet("run", run)
        for _, operation in self.field.operations():
            self._meet("operation", operation)

    def _meet(self, kind: str, process: psutil.Process, engine: EnginePlaces | None = None) -> None:
        self._watches.setdefault(process, Watch(kind, process, engine)).look()

    @property
    def watches(self) -> list[Watch]:
        """Those that were met alive."""
        return [each for each in self._watches.values() if each.samples]

    @property
    def long_lived(self) -> list[Watch]:
        """Those that are judged by how they grow."""
        return [each for each in self.watches if each.seconds >= LONG_SECONDS]


def _least(samples: list[Sample], name: str) -> int:
    return min(int(getattr(each, name)) for each in samples)


def _own_memory(pid: int) -> int:
    """Bytes that no other process shares."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kilobytes) << 10 for kilobytes in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+)", text, re.M))

"""What a process holds: descriptors by what they are, threads, children. For tests that nothing of it leaks."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from rowkeeper.destinations.embedded.places import EnginePlaces

POLL_SECONDS = 0.05
SETTLE_SECONDS_MAX = 30.0
COUNTERS = re.compile(r"/proc/\d+/task/(\d+)/")
OF_NO_THREAD = "counters of a thread that is gone"


@dataclass(frozen=True)
class Holding:
    """One look at a process.

    Attributes:
        descriptors: sockets, pipes and anonymous ones by kind, memory files by name, other files by path.
        threads: all of them, also those of native libraries.
        children: process ids.
    """

    descriptors: Counter[str]
    threads: int
    children: frozenset[int]

    @classmethod
    def of(cls, pid: int, engine: EnginePlaces | None = None) -> Holding:
        """Looks at a process.

        Args:
            engine: whose host it is, if it is one. How many of its own data files an engine has open, to merge them
                or to note what it did, is its affair. So are the three descriptors on counters below /proc that it
                keeps for each thread of its pools: those of living threads are left out, as the threads are counted.

        Raises psutil.NoSuchProcess if there is none.
        """
        process = psutil.Process(pid)
        with process.oneshot():
            children = frozenset(child.pid for child in process.children())
        targets = _targets(pid)
        threads = {int(entry) for entry in _entries(f"/proc/{pid}/task")}  # after the descriptors: none starts late
        if engine is not None:
            data = (f"{engine.data}/", f"{engine.disk}/")
            targets = [_named(each, threads) for each in targets if not each.startswith(data)]
        return cls(Counter(each for each in targets if each), len(threads), children)

    def more_than(self, before: Holding, threads_spare: int = 0) -> dict[str, object]:
        """What has come, by kind; empty if nothing has. Fewer of something is no leak.

        `threads_spare`: so many more are none of it: pools grow, up to a limit, with what is asked of them at once.
        """
        found = {
            "descriptors": self.descriptors - before.descriptors,
            "threads": max(0, self.threads - before.threads - threads_spare),
            "children": self.children - before.children,
        }
        return {name: each for name, each in found.items() if each}


def settled(look: Callable[[], dict[str, object]]) -> dict[str, object]:
    """What is still found when it has had time to go: a process closes a connection a moment after its client did."""
    comes_true(lambda: not look())
    return look()


def comes_true(condition: Callable[[], bool]) -> bool:
    """Waits, with a deadline, until something is so that another process brings about."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return true


def _targets(pid: int) -> list[str]:
    found = []
    for entry in _entries(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):  # it was closed meanwhile
            found.append(os.readlink(f"/proc/{pid}/fd/{entry}").split(":[")[0])  # sockets and pipes by kind
    return found


def _named(target: str, threads: set[int]) -> str:
    """Nothing for the counters of a thread that lives."""
    counted = COUNTERS.match(target)
    if counted is None:
        return target
    return "" if int(counted[1]) in threads else OF_NO_THREAD


def _entries(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(folder)
    return []

"""Trying point after point, on several stages at once, until all are tried or the time is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from tests.torture.judging import Findings
from tests.torture.stage import Stage

Point = TypeVar("Point")
Tell = Callable[[Findings], None]


@dataclass
class Proved:
    """What a proof found. `about`: what else is worth a word in the table."""

    points: list[Findings] = field(default_factory=list)
    seconds: float = 0.0
    about: str = ""

    @property
    def hits(self) -> int:
        """Points at which the fault came before the run was over."""
        return sum(point.hit for point in self.points)


def silent(_: Findings) -> None:
    """Nobody listens."""


def prove(
    stages: list[Stage],
    points: Iterator[Point],
    try_one: Callable[[Stage, Point], Findings],
    *,
    seconds_max: float,
    tell: Tell = silent,
) -> Proved:
    """Each stage, in a thread of its own, takes the next point when it is done with its last.

    A point that was begun is finished, and the first one of each stage is always begun.
    """
    result = Proved()
    began = time.monotonic()
    lock = threading.Lock()
    stopped = threading.Event()

    def work(stage: Stage) -> None:
        first = True
        while (first or time.monotonic() - began < seconds_max) and not stopped.is_set():
            first = False
            with lock:
                point = next(points, None)
            if point is None:
                return
            findings = try_one(stage, point)
            with lock:
                result.points.append(findings)
                tell(findings)

    with ThreadPoolExecutor(len(stages)) as pool:
        try:
            list(pool.map(work, stages))
        finally:
            stopped.set()  # Ctrl-C, or a fault of ours in one thread: the others finish their point and end
    result.seconds = time.monotonic() - began
    return result

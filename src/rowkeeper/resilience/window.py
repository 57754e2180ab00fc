"""Calls of the last so many seconds, counted in slices: memory does not grow with traffic."""

from __future__ import annotations

import dataclasses
from collections import deque

SLICES = 30


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """Calls, and how many of them failed or were slow (or both)."""

    calls: int = 0
    failed: int = 0
    slow: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.calls + other.calls, self.failed + other.failed, self.slow + other.slow)

    def __sub__(self, other: Counts) -> Counts:
        return Counts(self.calls - other.calls, self.failed - other.failed, self.slow - other.slow)


class Window:
    """A sliding window of 30 slices. Not for threads by itself: whoever owns it has a lock.

    The oldest slice leaves as a whole: the window is between 29/30 of its length and its length.
    """

    def __init__(self, seconds: float) -> None:
        self._slice_seconds = seconds / SLICES
        self._slices: deque[tuple[int, Counts]] = deque()
        self._total = Counts()

    def add(self, now: float, counts: Counts) -> Counts:
        """Counts calls in, and returns what the window then holds."""
        number = int(now / self._slice_seconds)
        while self._slices and self._slices[0][0] <= number - SLICES:
            self._total -= self._slices.popleft()[1]
        if self._slices and self._slices[-1][0] == number:
            counts_before = self._slices.pop()[1]
            self._slices.append((number, counts_before + counts))
        else:
            self._slices.append((number, counts))
        self._total += counts
        return self._total

    def clear(self) -> None:
        """Forgets everything."""
        self._slices.clear()
        self._total = Counts()

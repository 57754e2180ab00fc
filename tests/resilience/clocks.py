"""Clocks for tests: one that moves when it is told to or slept on, and an event loop that lives in virtual time."""

from __future__ import annotations

import asyncio
import selectors
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2026, 11, 23, tzinfo=UTC)


class FakeClock:
    """Sleeping on it moves it."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return self.time

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.time)

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.time += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer as soon as nothing is left to do: an hour takes a second."""

    def __init__(self) -> None:
        super().__init__(_Jumping(self))
        self.virtual_seconds = 0.0

    def time(self) -> float:
        return self.virtual_seconds


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everybody waits for what will never come"
        self._loop.virtual_seconds += max(0.0, timeout)
        return super().select(0)


class LoopClock:
    """The time of a VirtualLoop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        return self._loop.time()

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time())

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing in an event loop may block")

    async def sleep_async(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

"""Time as this room sees it: a protocol, so that a simulation can bring its own."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What deadlines, waits and breakers ask of time. Tests and simulations bring their own."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        ...

    def now(self) -> datetime:
        """The date, aware: for `Retry-After` dates and for what other processes read."""
        ...

    def sleep(self, seconds: float) -> None:
        """Waits, blocking the thread."""
        ...

    async def sleep_async(self, seconds: float) -> None:
        """Waits, letting other tasks work."""
        ...


class SystemClock:
    """The machine's own time."""

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC."""
        return time.monotonic()

    def now(self) -> datetime:
        """UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """`time.sleep`."""
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """`asyncio.sleep`."""
        await asyncio.sleep(seconds)


SYSTEM_CLOCK = SystemClock()

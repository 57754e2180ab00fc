"""What is told of a job while it goes on: numbered, kept for a while, told again to whoever comes back.

Used in the event loop alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

KEPT_MAX = 500
QUIET_SECONDS = 15.0  # then a comment is sent, so that proxies and clients see that the line is up
KEEP_ALIVE = b": still here\n\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """One event.

    Attributes:
        number: from 1, of its job.
        name: state, progress or outcome.
    """

    number: int
    name: str
    data: dict[str, Any]

    def encoded(self) -> bytes:
        """As server-sent events have it (the HTML standard, 9.2)."""
        data = json.dumps(self.data, ensure_ascii=False, separators=(",", ":"), default=str)
        return f"id: {self.number}\nevent: {self.name}\ndata: {data}\n\n".encode()


class Telling:
    """What was told of one job."""

    def __init__(self) -> None:
        self._kept: deque[Told] = deque(maxlen=KEPT_MAX)
        self._number = 0
        self._news = asyncio.Event()
        self.over = False

    def tell(self, name: str, data: dict[str, Any], *, last: bool = False) -> None:
        """Tells whoever listens.

        Args:
            last: nothing follows.
        """
        self._number += 1
        self._kept.append(Told(self._number, name, data))
        self.over = self.over or last
        self._wake()

    def hang_up(self) -> None:
        """Whoever listens is sent away: they may come back, to another process."""
        self.over = True
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def after(self, number: int) -> AsyncIterator[bytes]:
        """What was told since, then what is told from now on, encoded; ends after the last."""
        while True:
            news = self._news
            for each in [each for each in self._kept if each.number > number]:
                number = each.number
                yield each.encoded()
            if self.over:
                return
            if news is not self._news:
                continue
            try:
                await asyncio.wait_for(news.wait(), QUIET_SECONDS)
            except TimeoutError:
                yield KEEP_ALIVE

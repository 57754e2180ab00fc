"""Answers that are shown again as long as nothing has changed: what was looked up and allowed a moment ago.

An answer is of one caller, with these roles, for this purpose, and of one state: of the ledger, of the rules by which
permissions are given, of the pipelines that are declared. Whether any of that is another is asked at each request,
which takes some microseconds; making an answer takes some thousands. Routes say themselves that what they show depends
on nothing else.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import Response

from rowkeeper.caller import Caller

BYTES_MAX = 16 * 2**20  # of all answers that are kept
ANSWER_BYTES_MAX = 256 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where an answer is kept, while the state is the one that it was made in."""

    key: Hashable
    state: tuple[object, ...]


class Kept:
    """For the event loop, but for `place`.

    Args:
        state: what answers depend on, as it is now. It is asked whether it may wait; None if it would have to.
    """

    def __init__(self, state: Callable[[bool], tuple[object, ...] | None], bytes_max: int = BYTES_MAX) -> None:
        self._state = state
        self._bytes_max = bytes_max
        self._answers: OrderedDict[Hashable, Response] = OrderedDict()
        self._bytes = 0
        self._of: tuple[object, ...] | None = None  # the state that all of them are of
        self._making: dict[Hashable, tuple[Place, asyncio.Event]] = {}

    def place(self, request: Request, caller: Caller, *, waiting: bool = False) -> Place | None:
        """Where the answer to this request belongs, to be asked before it is made. None if that is not known.

        Args:
            waiting: it may wait to find out: in a thread, where all that is done here is to look.
        """
        if (state := self._state(waiting)) is None:
            return None
        who = (caller.kind, caller.name, caller.roles, caller.purpose, caller.limited, caller.scope)
        return Place((request.scope["path"], request.scope["query_string"], who), state)

    def find(self, place: Place) -> Response | None:
        """The answer that is there."""
        return self._answers.get(place.key) if self._of == place.state else None

    async def awaited(self, place: Place) -> Response | None:
        """The answer that is there, or that another request is having made: then it is waited for, and not made twice.

        None if there is none, or the other one came to nothing that can be shown again.
        """
        of, made = self._making.get(place.key, (None, None))
        if made is not None and of == place and self.find(place) is None:
            await made.wait()
        return self.find(place)

    @contextmanager
    def making(self, place: Place) -> Iterator[None]:
        """While an answer is made; others who want the same one wait for it."""
        mine = place, asyncio.Event()
        self._making[place.key] = mine
        try:
            yield
        finally:
            mine[1].set()
            if self._making.get(place.key) is mine:
                del self._making[place.key]

    def keep(self, place: Place, response: Response) -> None:
        """Keeps an answer, if it is one that can be shown again: whole, and not large."""
        size = len(response.body) if type(response) is Response and response.status_code == 200 else 0
        if not 0 < size <= ANSWER_BYTES_MAX:
            return
        if self._of != place.state:
            self._answers.clear()
            self._bytes = 0
            self._of = place.state
        if place.key not in self._answers:
            self._answers[place.key] = response
            self._bytes += size
        while self._bytes > self._bytes_max:
            self._bytes -= len(self._answers.popitem(last=False)[1].body)

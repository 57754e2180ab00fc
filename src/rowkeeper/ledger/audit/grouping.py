"""Group commit: what several threads want to write at the same time is written in one transaction, with one sync.

The first that comes leads: it writes what waits, its own and that of the others, while those who come meanwhile line up
for the next time. Nobody waits for company, and each returns when its own is on the disk. Nobody is served twice, and
whoever leads leads once: then the first in the line does.

A failure of the ledger (`FrameworkError`) is the failure of all who were written together, as none of it was written.
What concerns the leader alone (its deadline, an interrupt) is not: the others go back to the head of the line.
"""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from rowkeeper.errors import DeadlineExceeded, FrameworkError
from rowkeeper.resilience.deadline import exceeded, seconds_left

Item = TypeVar("Item")


def _held() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclasses.dataclass(slots=True, eq=False)
class _Place(Generic[Item]):
    """A caller's place in the line. Its turn comes when it is served, or is to lead."""

    item: Item
    turn: threading.Lock = dataclasses.field(default_factory=_held)
    served: bool = False
    leads: bool = False
    given_up: bool = False
    error: FrameworkError | None = None


class GroupCommit(Generic[Item]):
    """One for each thing that is written to; called from any thread.

    Args:
        commit: writes these items in one transaction. Raises if none of them was written.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], None]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self._line: list[_Place[Item]] = []
        self._led = False

    def submit(self, item: Item) -> None:
        """Returns when the item is written.

        Raises what `commit` raises, and DeadlineExceeded: the item was not written, unless somebody was at it just
        then, which cannot be told.
        """
        seconds_left()
        place = _Place(item)
        with self._lock:
            self._line.append(place)
            place.leads, self._led = not self._led, True
        if not place.leads:
            self._wait(place)
        if place.leads:
            self._lead(place)
        elif place.error is not None:
            raise place.error

    def _wait(self, place: _Place[Item]) -> None:
        """Until its turn comes, or there is no time left."""
        came = False
        try:
            left = seconds_left()
            came = place.turn.acquire(timeout=-1 if left is None else left)
        finally:
            if not came:
                self._leave(place)
        if not came and not place.served:
            raise exceeded()

    def _leave(self, place: _Place[Item]) -> None:
        """Out of the line; whoever has just been called to lead calls the next."""
        with self._lock:
            place.given_up = True
            if place in self._line:
                self._line.remove(place)
            if place.leads:
                self._pass_on()

    def _lead(self, own: _Place[Item]) -> None:
        with self._lock:
            group, self._line = self._line, []
        others = [each for each in group if each is not own]
        error: FrameworkError | None = None
        again = others
        try:
            self._commit([each.item for each in group])
            again = []
        except DeadlineExceeded:
            raise
        except FrameworkError as raised:
            error, again = raised, []
            raise
        finally:
            with self._lock:
                self._line[:0] = [each for each in again if not each.given_up]
                for each in others if not again else ():
                    each.served, each.error = True, copy.copy(error)
                    each.turn.release()
                self._pass_on()

    def _pass_on(self) -> None:
        """The first in the line leads now; the lock is held."""
        self._led = bool(self._line)
        if self._line:
            self._line[0].leads = True
            self._line[0].turn.release()

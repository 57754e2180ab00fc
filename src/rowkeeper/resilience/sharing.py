"""What one process learns about a host, the others know within a second: breaker states, through a store.

The store is the ledger's; this room knows it by its protocol only. It is an aid and no promise: where it cannot be
read or written, each process goes by what it sees itself, and asks again after a while.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from rowkeeper.errors import DatabaseError, DeadlineExceeded, IntegrityError
from rowkeeper.resilience.breaker import Breaker, Name, State, Transition
from rowkeeper.resilience.clock import Clock
from rowkeeper.resilience.deadline import cleaning_up

READ_EVERY_SECONDS = 1.0
PAUSE_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class SharedState:
    """What the store knows of one breaker.

    Attributes:
        open_seconds: how long it will still be open, 0 if that time is over; None if it is closed.
        version: counts the changes of this breaker, by whichever process.
    """

    name: Name
    open_seconds: float | None
    openings: int
    version: int


class BreakerStore(Protocol):
    """Where breakers of several processes meet."""

    def read(self) -> Sequence[SharedState]:
        """All that is known. Raises DatabaseError or IntegrityError."""
        ...

    def write(self, name: Name, open_seconds: float | None, openings: int) -> int:
        """Notes that a breaker opened for so long, or closed (None), and returns the new version. Raises as `read`."""
        ...


class Sharing:
    """Exchanges this process's transitions for those of others, at most once a second."""

    def __init__(self, store: BreakerStore | None, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._breakers: list[Breaker] = []
        self._to_write: deque[Transition] = deque()
        self._known: dict[Name, SharedState] = {}
        self._read_at = float("-inf")
        self._paused_until = float("-inf")

    def join(self, breaker: Breaker) -> None:
        """A new breaker, which learns at the next exchange, before its first call, what is known already."""
        with self._lock:
            self._breakers.append(breaker)
            self._known.pop(breaker.name, None)
            self._read_at = float("-inf")

    def heard(self, transition: Transition) -> None:
        """Listens to the breakers of this process."""
        if self._store is not None and not transition.adopted and transition.after is not State.HALF_OPEN:
            self._to_write.append(transition)

    @property
    def has_news(self) -> bool:
        """Whether something happened here that the others do not know."""
        return bool(self._to_write)

    @property
    def due(self) -> bool:
        """Whether `exchange` would ask the store."""
        now = self._clock.monotonic()
        wanted = bool(self._to_write) or now - self._read_at >= READ_EVERY_SECONDS
        return self._store is not None and wanted and now >= self._paused_until

    def exchange(self) -> None:
        """Writes what happened here and reads what happened elsewhere, where that is due; else does nothing.

        One thread does it; the others go on meanwhile.
        """
        if self._store is None or not self.due or not self._lock.acquire(blocking=False):
            return
        changed: list[SharedState] = []
        try:
            with cleaning_up():  # what was learnt in the last moment is news as well
                self._write(self._store)
                changed = self._read(self._store)
        except (DatabaseError, IntegrityError, DeadlineExceeded):
            self._paused_until = self._clock.monotonic() + PAUSE_SECONDS
        finally:
            breakers = list(self._breakers)
            self._lock.release()
        for state in changed:
            _follow([each for each in breakers if each.name == state.name], state)

    def _write(self, store: BreakerStore) -> None:
        while self._to_write:
            said = self._to_write[0]
            seconds = said.seconds if said.after is State.OPEN else None
            version = store.write(said.name, seconds, said.openings)
            self._known[said.name] = SharedState(said.name, seconds, said.openings, version)
            self._to_write.popleft()

    def _read(self, store: BreakerStore) -> list[SharedState]:
        """What others changed since the last time."""
        now = self._clock.monotonic()
        if now - self._read_at < READ_EVERY_SECONDS:
            return []
        changed = []
        for state in store.read():
            known = self._known.get(state.name)
            self._known[state.name] = state
            if known is None or known.version < state.version:
                changed.append(state)
        self._read_at = now
        return changed


def _follow(breakers: Sequence[Breaker], state: SharedState) -> None:
    for breaker in breakers:
        if state.open_seconds is None:
            breaker.follow_closed()
        elif state.open_seconds > 0:  # when its time is over, whoever needs the host probes it
            breaker.follow_open(state.open_seconds, state.openings)

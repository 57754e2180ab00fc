"""The circuit breaker: a host that fails, or is slow, too often is left alone for a while.

    closed      calls go through; their failures and slow ones are counted over a sliding window
    open        no call goes through, until the open time is over
    half open   a few probes go through, and decide: closed, or open for twice as long

One breaker serves one kind of operation on one host, for all threads and tasks of the process: nothing in here waits,
so it is the same for synchronous and asynchronous callers. The models are resilience4j and pybreaker; the rates are
per time and not per count of calls, because a count remembers a quiet night's failures until noon.
"""

from __future__ import annotations

import dataclasses
import enum
import random
import threading
from collections.abc import Callable, Sequence

from rowkeeper.errors import CircuitOpenError
from rowkeeper.resilience.clock import Clock
from rowkeeper.resilience.policy import CircuitBreaker
from rowkeeper.resilience.window import Counts, Window

# A half-open breaker whose probes are all under way asks again after so long.
PROBING_SECONDS = 0.5
# A probe whose caller was lost without a word gives its place back.
PROBE_SECONDS_MAX = 60.0


class State(enum.StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


class Ended(enum.StrEnum):
    """How a call ended, as far as its host's health is concerned."""

    WELL = "well"
    FAILED = "failed"
    UNCOUNTED = "uncounted"  # a permanent error, or a caller that gave up: it says nothing of the host


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """What a breaker stands before."""

    host: str
    operation: str

    def __str__(self) -> str:
        return f"{self.operation} on {self.host}"


@dataclasses.dataclass(frozen=True, slots=True)
class Transition:
    """A change of state, for listeners: metrics, logs, and the store that other processes read.

    Attributes:
        openings: how often in a row it has opened; its next open time doubles with it.
        seconds: how long it will be open; 0 for other states.
        counts: of the window that made it open.
        adopted: another process opened or closed it, and this one follows.
    """

    name: Name
    before: State
    after: State
    openings: int
    seconds: float
    counts: Counts
    adopted: bool = False


Listener = Callable[[Transition], None]
"""Told of each transition, in the thread that made it and outside the lock. It must not raise, and not wait long."""


@dataclasses.dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call; to be given back with how it ended.

    Attributes:
        era: changes with each transition: what was admitted before says nothing about what is now.
    """

    era: int
    admitted_at: float


class Breaker:
    """The breaker of one kind of operation on one host."""

    def __init__(
        self,
        name: Name,
        policy: CircuitBreaker,
        clock: Clock,
        chance: random.Random,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.name = name
        self.policy = policy
        self._clock = clock
        self._chance = chance
        self._listeners = listeners
        self._lock = threading.Lock()
        self._state = State.CLOSED
        self._era = 0
        self._openings = 0
        self._since = clock.monotonic()
        self._open_until = 0.0
        self._window = Window(policy.window_seconds)
        self._probes: list[Permit] = []  # under way
        self._probed = Counts()

    @property
    def state(self) -> State:
        """Where it stands; `open` although its time is over until the next call comes."""
        with self._lock:
            return self._state

    def admit(self) -> Permit:
        """Leave to make a call. Raises CircuitOpenError if there is none now."""
        with self._lock:
            permit, told = self._admit(self._clock.monotonic())
        self._tell(told)
        return permit

    def _admit(self, now: float) -> tuple[Permit, Transition | None]:
        told = None
        if self._state is State.OPEN:
            if now < self._open_until:
                raise self._refusal(self._open_until - now)
            told = self._turn(State.HALF_OPEN, now)
        permit = Permit(self._era, now)
        if self._state is State.HALF_OPEN:
            self._probes = [each for each in self._probes if now - each.admitted_at < PROBE_SECONDS_MAX]
            if len(self._probes) + self._probed.calls >= self.policy.probes:
                raise self._refusal(PROBING_SECONDS)
            self._probes.append(permit)
        return permit, told

    def ended(self, permit: Permit, how: Ended) -> None:
        """Takes back a permit. A call that took longer than `slow_seconds` counts as slow, however it ended."""
        with self._lock:
            told = self._ended(permit, how, self._clock.monotonic())
        self._tell(told)

    def _ended(self, permit: Permit, how: Ended, now: float) -> Transition | None:
        if permit.era != self._era:
            return None
        if self._state is State.HALF_OPEN:
            if permit not in self._probes:
                return None  # it was late, and its place was given to another
            self._probes.remove(permit)
        if how is Ended.UNCOUNTED:
            return None
        slow_seconds = self.policy.slow_seconds
        is_slow = slow_seconds is not None and now - permit.admitted_at > slow_seconds
        call = Counts(1, int(how is Ended.FAILED), int(is_slow))
        if self._state is State.HALF_OPEN:
            return self._probe_ended(call, now)
        counts = self._window.add(now, call)
        if counts.calls >= self.policy.calls_min and self._bad(counts, counts.calls):
            if now - self._since >= self.policy.window_seconds:
                self._openings = 0  # it was well for a whole window: this is a new trouble
            return self._open(now, counts)
        return None

    def _probe_ended(self, call: Counts, now: float) -> Transition | None:
        """Decides when all probes have answered, or as soon as the answers that are still out cannot change it."""
        self._probed += call
        if self._bad(self._probed, self.policy.probes):
            return self._open(now, self._probed)
        if self._probed.calls < self.policy.probes:
            return None
        return self._turn(State.CLOSED, now)

    def _bad(self, counts: Counts, calls: int) -> bool:
        return counts.failed >= self.policy.failure_rate * calls or counts.slow >= self.policy.slow_rate * calls

    def _open(self, now: float, counts: Counts) -> Transition:
        policy = self.policy
        seconds = min(policy.open_seconds_max, policy.open_seconds * 2**self._openings)
        seconds *= self._chance.uniform(1 - policy.jitter, 1 + policy.jitter)
        # Beyond a thousand doublings a float would overflow, long after the longest time was reached.
        self._openings = min(self._openings + 1, 64)
        self._open_until = now + seconds
        return self._turn(State.OPEN, now, seconds, counts)

    def follow_open(self, seconds: float, openings: int) -> None:
        """Another process has opened its breaker for this host, for so long from now."""
        with self._lock:
            now = self._clock.monotonic()
            # Each process comes back at a time of its own: the first one's probes decide for all.
            seconds = min(seconds, self.policy.open_seconds_max) * self._chance.uniform(1, 1 + self.policy.jitter)
            self._openings = min(max(openings, 1), 64)
            self._open_until = now + seconds
            told = self._turn(State.OPEN, now, seconds, adopted=True)
        self._tell(told)

    def follow_closed(self) -> None:
        """Another process has found the host well again."""
        with self._lock:
            told = None
            if self._state is not State.CLOSED:
                told = self._turn(State.CLOSED, self._clock.monotonic(), adopted=True)
        self._tell(told)

    def _turn(
        self, after: State, now: float, seconds: float = 0.0, counts: Counts | None = None, *, adopted: bool = False
    ) -> Transition:
        before, self._state = self._state, after
        self._era += 1
        self._since = now
        self._window.clear()
        self._probes.clear()
        self._probed = Counts()
        return Transition(self.name, before, after, self._openings, seconds, counts or Counts(), adopted)

    def _refusal(self, seconds: float) -> CircuitOpenError:
        return CircuitOpenError(
            f"{self.name} failed too often, so it is left alone for {seconds:.1f} s more",
            retry_after_seconds=seconds,
            hint="see to the host; rowkeeper doctor lists what is left alone",
        )

    def _tell(self, told: Transition | None) -> None:
        if told is not None:
            for listener in self._listeners:
                listener(told)

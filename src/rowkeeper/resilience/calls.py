"""Calls to other machines, the way all of Rowkeeper makes them.

    orders = calls.to("api.example.com", "orders", rk.Resilience(deadline_seconds=30))
    page = orders.call(lambda: fetch(url), effect=Effect.READ)
    receipt = orders.call(post, effect=Effect.WRITE, happened=lambda: find_receipt(key))

Why not stamina (26.1 was looked at), whose retries are good: its clock, sleep and randomness cannot be brought along (a
simulation needs that), one `stamina.set_active(False)` anywhere in the process switches all of it off, and its hook,
being synchronous and without a result, cannot look whether an ambiguous call happened and end the call with what it
found.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from rowkeeper.resilience.breaker import Breaker, Listener, Name
from rowkeeper.resilience.budget import Budget
from rowkeeper.resilience.classifying import DEFAULT, Classifier
from rowkeeper.resilience.clock import SYSTEM_CLOCK, Clock
from rowkeeper.resilience.course import Course, Kit, Observer
from rowkeeper.resilience.deadline import deadline, seconds_left
from rowkeeper.resilience.hedging import hedged, hedged_async
from rowkeeper.resilience.outcomes import Effect, Happened
from rowkeeper.resilience.policy import CircuitBreaker, Resilience, RetryBudget
from rowkeeper.resilience.sharing import BreakerStore, Sharing

T = TypeVar("T")


class Calls:
    """The breakers and budgets of a process: made once, handed to whoever calls out.

    Args:
        store: where processes share what their breakers know.
        listeners: told of each change of a breaker's state.
        observers: told of each try.
    """

    def __init__(
        self,
        *,
        store: BreakerStore | None = None,
        clock: Clock = SYSTEM_CLOCK,
        chance: random.Random | None = None,
        listeners: Sequence[Listener] = (),
        observers: Sequence[Observer] = (),
    ) -> None:
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 - for jitter
        self._sharing = Sharing(store, clock)
        self._listeners = (self._sharing.heard, *listeners)
        self._observers = tuple(observers)
        self._lock = threading.Lock()
        self._breakers: dict[tuple[Name, CircuitBreaker], Breaker] = {}
        self._budgets: dict[tuple[str, RetryBudget], Budget] = {}

    def to(self, host: str, operation: str, policy: Resilience | None = None, classifier: Classifier = DEFAULT) -> Line:
        """The way to one kind of operation on one host.

        Whoever names the same host and operation with the same settings shares its breaker, and its host's budget.
        """
        policy = policy or Resilience()
        name = Name(host, operation)
        with self._lock:
            budget = self._budgets.get((host, policy.budget))
            if budget is None:
                budget = self._budgets[host, policy.budget] = Budget(policy.budget, self._clock)
            settings = policy.breaker_in_full
            breaker = None if settings is None else self._breaker(name, settings)
        kit = Kit(name, policy, classifier, breaker, budget, self._clock, self._chance, self._observers)
        return Line(kit, self._sharing)

    def _breaker(self, name: Name, policy: CircuitBreaker) -> Breaker:
        found = self._breakers.get((name, policy))
        if found is None:
            found = Breaker(name, policy, self._clock, self._chance, self._listeners)
            self._breakers[name, policy] = found
            self._sharing.join(found)
        return found

    def breakers(self) -> list[Breaker]:
        """Every breaker of this process, for metrics."""
        with self._lock:
            return list(self._breakers.values())


class Line:
    """The way to one kind of operation on one host; for any number of threads and tasks."""

    def __init__(self, kit: Kit, sharing: Sharing) -> None:
        self._kit = kit
        self._sharing = sharing

    def call(
        self, function: Callable[[], T], *, effect: Effect, happened: Callable[[], Happened[T] | None] | None = None
    ) -> T:
        """Calls, and again if that is right.

        The function is told nothing of deadlines: what it waits for must ask (`seconds_left`, bounded sockets,
        `run_within`), as a thread cannot be stopped from outside.

        Args:
            effect: what the call does; only a READ is repeated without looking when its outcome is not known.
            happened: looks whether the call took effect: `Happened(result)`, or None if it certainly did not and
                cannot any more.

        Raises:
            RetryError: trying again did not help, or the host's budget is spent.
            CircuitOpenError: the host is left alone at present; nothing was called.
            DeadlineExceeded: no time is left.
            AmbiguousError: it may have happened, and that could not be found out.
            Exception: a permanent error, as the function raised it.
        """
        return self._call(function, Course(self._kit, effect, can_look=happened is not None), happened)

    def _call(self, function: Callable[[], T], course: Course, happened: Callable[[], Happened[T] | None] | None) -> T:
        with deadline(self._kit.policy.deadline_seconds, self._kit.clock):
            while True:
                self._sharing.exchange()
                while wait := course.admission():
                    self._kit.clock.sleep(wait)
                    self._sharing.exchange()
                try:
                    with course.attempt():
                        return self._asked(function, course)
                finally:
                    if self._sharing.has_news:
                        self._sharing.exchange()
                self._kit.clock.sleep(course.wait_seconds())
                if course.unsure and happened is not None:
                    found = self._looked(happened, course)
                    if found is not None:
                        return found.value
                    course.did_not_happen()

    def _asked(self, function: Callable[[], T], course: Course) -> T:
        after = self._kit.policy.hedge_after_seconds
        if after is None or course.effect is not Effect.READ:
            return function()
        return hedged(function, after, lambda: self._second(function, course))

    def _second(self, function: Callable[[], T], course: Course) -> Callable[[], T] | None:
        request = course.second()
        if request is None:
            return None

        def ask() -> T:
            with request:
                return function()
            raise AssertionError("a second request swallows nothing")

        return ask

    def _looked(self, happened: Callable[[], Happened[T] | None], course: Course) -> Happened[T] | None:
        try:
            return self._call(happened, Course(self._kit, Effect.READ, look_up=True), None)
        except Exception as error:
            raise course.look_failed() from error

    # ------------------------------------------------------------------------------------------ asynchronous

    async def call_async(
        self,
        function: Callable[[], Awaitable[T]],
        *,
        effect: Effect,
        happened: Callable[[], Awaitable[Happened[T] | None]] | None = None,
    ) -> T:
        """The same for coroutines. An attempt that meets the deadline is cancelled, wherever it waits."""
        return await self._call_async(function, Course(self._kit, effect, can_look=happened is not None), happened)

    async def _call_async(
        self,
        function: Callable[[], Awaitable[T]],
        course: Course,
        happened: Callable[[], Awaitable[Happened[T] | None]] | None,
    ) -> T:
        with deadline(self._kit.policy.deadline_seconds, self._kit.clock):
            while True:
                await self._exchange()
                while wait := course.admission():
                    await self._kit.clock.sleep_async(wait)
                    await self._exchange()
                try:
                    with course.attempt():
                        async with asyncio.timeout(seconds_left()):
                            return await self._asked_async(function, course)
                finally:
                    if self._sharing.has_news:
                        await self._exchange()
                await self._kit.clock.sleep_async(course.wait_seconds())
                if course.unsure and happened is not None:
                    found = await self._looked_async(happened, course)
                    if found is not None:
                        return found.value
                    course.did_not_happen()

    async def _exchange(self) -> None:
        if self._sharing.due:
            await asyncio.to_thread(self._sharing.exchange)

    async def _asked_async(self, function: Callable[[], Awaitable[T]], course: Course) -> T:
        after = self._kit.policy.hedge_after_seconds
        if after is None or course.effect is not Effect.READ:
            return await function()
        return await hedged_async(function, after, lambda: self._second_async(function, course))

    def _second_async(self, function: Callable[[], Awaitable[T]], course: Course) -> Callable[[], Awaitable[T]] | None:
        request = course.second()
        if request is None:
            return None

        async def ask() -> T:
            with request:
                return await function()
            raise AssertionError("a second request swallows nothing")

        return ask

    async def _looked_async(
        self, happened: Callable[[], Awaitable[Happened[T] | None]], course: Course
    ) -> Happened[T] | None:
        try:
            return await self._call_async(happened, Course(self._kit, Effect.READ, look_up=True), None)
        except Exception as error:
            raise course.look_failed() from error

"""The course of one call: its tries, and what comes after each. The rules of this room, without any waiting.

`calls.py` walks it, synchronously or not: ask for admission, attempt, wait as long as it says, look if it must.
"""

from __future__ import annotations

import contextvars
import dataclasses
import random
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType

from rowkeeper.errors import AmbiguousError, CircuitOpenError, DeadlineExceeded, RetryError
from rowkeeper.logs import about
from rowkeeper.resilience.breaker import Breaker, Ended, Name, Permit
from rowkeeper.resilience.budget import Budget
from rowkeeper.resilience.classifying import Classifier
from rowkeeper.resilience.clock import Clock
from rowkeeper.resilience.deadline import deadline, remaining, seconds_left
from rowkeeper.resilience.outcomes import Effect, Judgement, Outcome
from rowkeeper.resilience.policy import Resilience

# A call inside an attempt of another is tried once: retries of retries multiply.
_inside_an_attempt: contextvars.ContextVar[bool] = contextvars.ContextVar("rowkeeper_attempt", default=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One try, for metrics and logs.

    Attributes:
        number: from 1.
        outcome: None if it went well.
        error: the name of the exception's class; never its words.
    """

    name: Name
    number: int
    seconds: float
    outcome: Outcome | None
    error: str | None


Observer = Callable[[Attempt], None]
"""Told of each try. It must not raise, and not wait long."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kit:
    """What all calls to one kind of operation on one host have in common."""

    name: Name
    policy: Resilience
    classifier: Classifier
    breaker: Breaker | None
    budget: Budget
    clock: Clock
    chance: random.Random
    observers: tuple[Observer, ...] = ()


class Course:
    """One call on its way.

    Attributes:
        effect: what the call does to the other side.
        unsure: the last attempt may have happened, and a look must come before anything else.
    """

    def __init__(self, kit: Kit, effect: Effect, *, can_look: bool = False, look_up: bool = False) -> None:
        self._kit = kit
        self.effect = effect
        self._can_look = can_look
        self._paid = look_up  # a look-up is paid for by whoever needed it, and earns nothing
        self._nested = _inside_an_attempt.get()
        self._tries_max = 1 if self._nested else kit.policy.retry.attempts
        self._tries = 0
        self._permit: Permit | None = None
        self._error: Exception | None = None
        self._retry_after: float | None = None
        self.unsure = False

    # ------------------------------------------------------------------------------------------ before

    def admission(self) -> float:
        """0 if the call may be made now, else seconds to wait before asking again.

        Raises:
            CircuitOpenError: it may not be made, and waiting for it was not asked for or would take too long.
            DeadlineExceeded: no time is left.
        """
        seconds_left()
        breaker = self._kit.breaker
        if breaker is None:
            return 0.0
        try:
            self._permit = breaker.admit()
        except CircuitOpenError as refusal:
            left = remaining()
            in_time = left is None or refusal.retry_after_seconds < left
            if breaker.policy.when_open == "wait" and in_time:
                return refusal.retry_after_seconds
            raise refusal from self._error
        return 0.0

    def attempt(self) -> _Try:
        """A context for one try: it swallows an error after which the call goes on, and lets any other through."""
        self._tries += 1
        self.unsure = False
        permit, self._permit = self._permit, None
        return _Try(self, self._kit, permit, self._tries)

    # ------------------------------------------------------------------------------------------ after

    def failed(self, error: Exception, judgement: Judgement) -> bool:
        """Whether the call goes on after this error. Raises AmbiguousError if nobody can say what happened."""
        self._error = error
        self._retry_after = judgement.retry_after_seconds
        if judgement.retry_at is not None:
            self._retry_after = max(0.0, (judgement.retry_at - self._kit.clock.now()).total_seconds())
        match judgement.outcome:
            case Outcome.PERMANENT:
                return False
            case Outcome.AMBIGUOUS:
                if not self._can_look:
                    raise self._unknown("there is no look-up that could tell") from error
                self.unsure = True
                return True
            case Outcome.TRANSIENT | Outcome.THROTTLED:
                return not (self._nested and self._tries >= self._tries_max)

    def wait_seconds(self) -> float:
        """How long to wait before what comes next.

        Raises RetryError, DeadlineExceeded or AmbiguousError if nothing does.
        """
        if self._tries >= self._tries_max and not self.unsure:
            raise self._gave_up() from self._error
        retry = self._kit.policy.retry
        wait = self._kit.chance.uniform(
            0, min(retry.wait_seconds_max, retry.wait_seconds_initial * 2.0 ** min(self._tries - 1, 64))
        )
        if self._retry_after is not None:
            # The date that it names is the same for everybody: a little later each, and never sooner.
            wait = self._retry_after + min(wait, retry.wait_seconds_initial)
        left = remaining()
        if left is not None and wait >= left:
            if self.unsure:
                raise self._unknown("no time is left to look") from self._error
            raise self._too_late(wait, left) from self._error
        self._pay()
        return wait

    def went_well(self) -> None:
        """A try was answered, which earns the host's budget a share of a retry, once for each call."""
        if not self._paid:
            self._paid = True
            self._kit.budget.went_well()

    def did_not_happen(self) -> None:
        """The look-up says that it may be repeated. Raises RetryError if that was the last try."""
        self.unsure = False
        if self._tries >= self._tries_max:
            raise self._gave_up() from self._error
        self._pay()

    def look_failed(self) -> AmbiguousError:
        """What to raise if the look-up did not answer."""
        return self._unknown("the look-up failed as well")

    def second(self) -> _Try | None:
        """A context for a second request beside a slow one; None if there may be none."""
        if not self._kit.budget.retry():
            return None
        permit = None
        if self._kit.breaker is not None:
            try:
                permit = self._kit.breaker.admit()
            except CircuitOpenError:
                return None
        return _Try(self, self._kit, permit, self._tries, decides=False)

    def _pay(self) -> None:
        if not self._kit.budget.retry():
            if self.unsure:
                raise self._unknown("the host's retry budget is spent") from self._error
            raise RetryError(
                f"{self._kit.name} failed ({self._what()}), and the retry budget of {self._kit.name.host} is spent",
                hint="too many of its calls fail to try each of them again; see to the host, then run again",
                context=self._context(),
            ) from self._error

    def _gave_up(self) -> RetryError:
        tries = f"{self._tries} tries" if self._tries > 1 else "one try"
        return RetryError(
            f"{self._kit.name} failed after {tries}: {self._what()}",
            hint="see to the host, then run again",
            context=self._context(),
        )

    def _too_late(self, wait: float, left: float) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"{self._kit.name} failed ({self._what()}); the next try would be in {wait:.1f} s, "
            f"and {max(left, 0):.1f} s are left",
            hint="allow more time (deadline_seconds), or see what was slow",
            context=self._context(),
        )

    def _unknown(self, why: str) -> AmbiguousError:
        return AmbiguousError(
            f"{self._kit.name} broke off ({self._what()}); whether it took effect is not known, and {why}",
            hint="look at the other side before this is repeated",
            context=self._context(),
        )

    def _what(self) -> str:
        return type(self._error).__name__

    def _context(self) -> dict[str, object]:
        name = self._kit.name
        return {"host": name.host, "operation": name.operation, "attempts": self._tries, "error": self._what()}


class _Try:
    """The context of one try: its deadline, its time, its outcome told to the breaker and to observers.

    Args:
        decides: whether its error decides how the call goes on; a second request's does not.
    """

    def __init__(self, course: Course, kit: Kit, permit: Permit | None, number: int, *, decides: bool = True) -> None:
        self._course = course
        self._kit = kit
        self._permit = permit
        self._number = number
        self._decides = decides
        self._scope = ExitStack()
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = self._kit.clock.monotonic()
        self._scope.enter_context(deadline(self._kit.policy.retry.attempt_seconds_max, self._kit.clock))
        token = _inside_an_attempt.set(True)
        self._scope.callback(_inside_an_attempt.reset, token)
        name = self._kit.name
        self._scope.enter_context(about(host=name.host, operation=name.operation, attempt=self._number))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._scope.close()
        seconds = self._kit.clock.monotonic() - self._began
        if error is None:
            self._course.went_well()
            self._told(Ended.WELL, seconds, None, None)
            return False
        if not isinstance(error, Exception):  # cancelled, interrupted: nobody's failure
            self._told(Ended.UNCOUNTED, seconds, None, error)
            return False
        judgement = self._kit.classifier.judge(error, self._course.effect)
        counted = Ended.UNCOUNTED if judgement.outcome is Outcome.PERMANENT else Ended.FAILED
        self._told(counted, seconds, judgement.outcome, error)
        return self._decides and self._course.failed(error, judgement)

    def _told(self, ended: Ended, seconds: float, outcome: Outcome | None, error: BaseException | None) -> None:
        if self._kit.breaker is not None and self._permit is not None:
            self._kit.breaker.ended(self._permit, ended)
        told = Attempt(self._kit.name, self._number, seconds, outcome, type(error).__name__ if error else None)
        for observer in self._kit.observers:
            observer(told)

"""Calls to a broker: again if that is right, and drivers' errors in our words.

What a driver raises is told by its kind alone: drivers quote servers, and servers quote what they were sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rowkeeper.brokers.declaring import Broker
from rowkeeper.errors import (
    AmbiguousError,
    BrokerRefused,
    BrokerUnauthorised,
    BrokerUnavailable,
    CircuitOpenError,
    DeclarationError,
    FrameworkError,
    RetryError,
)
from rowkeeper.protocols import Site
from rowkeeper.resilience.outcomes import Effect, Happened
from rowkeeper.resilience.policy import CircuitBreaker, Resilience, Retry

T = TypeVar("T")
R = TypeVar("R")
STEP_SECONDS_MAX = 30.0  # to connect, and to wait for one answer
BROKER = Resilience(
    retry=Retry(attempts=6, wait_seconds_initial=0.2, wait_seconds_max=20.0, attempt_seconds_max=60.0),
    breaker=CircuitBreaker(when_open="wait"),
    deadline_seconds=300.0,
)
EXTRAS = {"kafka": "confluent-kafka", "nats": "nats-py", "valkey": "valkey"}


class Caller:
    """Calls of one kind to one broker.

    Args:
        operation: `read`, `write` or what else has a breaker of its own.
        in_our_words: turns what the driver raises into a FrameworkError, or gives None for what is not the driver's.
    """

    def __init__(
        self, broker: Broker, site: Site, operation: str, in_our_words: Callable[[Exception], FrameworkError | None]
    ) -> None:
        self._place = broker.place
        self._in_our_words = in_our_words
        policy = broker.resilience or BROKER
        self.step_seconds_max = min(STEP_SECONDS_MAX, policy.retry.attempt_seconds_max or STEP_SECONDS_MAX)
        self._line = site.calls.to(broker.hosts[0][0], operation, policy)

    def call(
        self,
        function: Callable[[], T],
        *,
        effect: Effect = Effect.READ,
        happened: Callable[[], Happened[T] | None] | None = None,
    ) -> T:
        """Calls, and again if that is right (`rowkeeper.resilience.calls.Line.call`).

        Raises:
            BrokerUnavailable: it could not be reached, however often it was tried.
            BrokerUnauthorised, BrokerRefused: it will not.
            AmbiguousError: a write may have happened, and that could not be found out.
            DeadlineExceeded, TLSError, EgressRefused: as they are.
        """

        try:
            return self._line.call(
                self._told(function), effect=effect, happened=None if happened is None else self._told(happened)
            )
        except CircuitOpenError as error:
            raise BrokerUnavailable(f"{self._place}: {error.what}", hint=error.hint) from error
        except AmbiguousError:
            raise
        except RetryError as error:
            raise self._given_up(error) from error

    def _told(self, function: Callable[[], R]) -> Callable[[], R]:
        """The function, which raises what the driver raises in our words."""

        def once() -> R:
            try:
                return function()
            except FrameworkError:
                raise
            except Exception as error:
                told = self._in_our_words(error)
                if told is None:
                    raise
                raise told from None

        return once

    def _given_up(self, error: RetryError) -> FrameworkError:
        cause = error.__cause__
        if isinstance(cause, BrokerUnavailable):
            return BrokerUnavailable(f"{cause.what}, however often it is tried", hint=cause.hint)
        if isinstance(cause, FrameworkError):
            return cause
        return BrokerUnavailable(
            f"{self._place} does not answer as a whole ({type(cause or error).__name__})",
            hint="see whether it is up, then run again",
        )


def unavailable(broker: Broker, kind: str) -> BrokerUnavailable:
    """The broker cannot be reached, or broke off.

    Args:
        kind: of the error, by the driver's own name of it.
    """
    return BrokerUnavailable(
        f"{broker.place} does not answer ({kind})", hint="see whether it is up, then run again: it goes on here"
    )


def unauthorised(broker: Broker, kind: str) -> BrokerUnauthorised:
    """The broker does not let us."""
    said = "our credentials" if broker.auth is not None else "us, and no credentials were declared"
    return BrokerUnauthorised(
        f"{broker.place} does not take {said} ({kind})",
        hint="see to what auth= refers to, and to what its owner may do there",
    )


def refused(broker: Broker, kind: str) -> BrokerRefused:
    """The broker will not, whoever asks."""
    return BrokerRefused(f"{broker.place} refuses what it was asked ({kind})", hint="see its own log for why")


def missing(broker: Broker) -> DeclarationError:
    """The driver's library is not installed."""
    kind = broker.kind.value
    return DeclarationError(
        f"{broker.place} needs {EXTRAS[kind]}, which is not installed", hint=f"pip install 'rowkeeper[{kind}]'"
    )

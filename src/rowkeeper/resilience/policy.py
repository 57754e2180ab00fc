"""What can be set about how calls survive, per source and destination; the defaults are right for most servers.

rk.Resilience(retry=rk.Retry(attempts=3), deadline_seconds=30)
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from rowkeeper.errors import DeclarationError

SLOW_SHARE = 0.5  # of the time that a try may take


def _positive(policy: Any, *names: str) -> None:
    for name in names:
        value = getattr(policy, name)
        if value is not None and not value > 0:
            raise _wrong(policy, name, "must be more than 0")


def _share(policy: Any, name: str, *, least: float) -> None:
    if not least <= getattr(policy, name) <= 1:
        raise _wrong(policy, name, f"must be between {least:g} and 1")


def _wrong(policy: Any, name: str, rule: str) -> DeclarationError:
    return DeclarationError(
        f"{type(policy).__name__}({name}={getattr(policy, name)!r}): it {rule}",
        hint="docs/resilience.md says what each setting does",
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When and how often a call is tried again.

    The wait before retry n is a random part of `min(wait_seconds_max, wait_seconds_initial * 2 ** (n - 1))`: full
    jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter). A `Retry-After` is a least wait.

    Attributes:
        attempts: tries in all; 1 is no retry.
        attempt_seconds_max: how long one try may take; None is until the deadline.
    """

    attempts: int = 5
    wait_seconds_initial: float = 0.2
    wait_seconds_max: float = 20.0
    attempt_seconds_max: float | None = 60.0

    def __post_init__(self) -> None:
        _positive(self, "attempts", "wait_seconds_initial", "wait_seconds_max", "attempt_seconds_max")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudget:
    """How many retries a host can be burdened with: a share of what it answers, however many callers retry.

    Attributes:
        share: retries per call that went well, in the long run.
        reserve: retries that may come at once; a quiet host has this many.
        per_second: what comes back to the reserve at least, where traffic is too low for a share to mean anything, or
            nothing goes well.
    """

    share: float = 0.2
    reserve: float = 10.0
    per_second: float = 0.1

    def __post_init__(self) -> None:
        _positive(self, "reserve")
        _share(self, "share", least=0.0)
        if self.per_second < 0:
            raise _wrong(self, "per_second", "must not be negative")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreaker:
    """When calls to a host are given up before they are made, and when they are tried again.

    Attributes:
        window_seconds: how far back the rates look.
        calls_min: fewer calls in the window than this never open it.
        failure_rate: it opens when this share of the calls failed (permanent errors are not counted at all).
        slow_rate: it opens when this share of the calls took longer than `slow_seconds`.
        slow_seconds: None is half of what a try may take (`Retry.attempt_seconds_max`); where that is None as well, no
            call is slow.
        open_seconds, open_seconds_max: how long it stays open the first time; doubled each time, up to the latter.
        jitter: each open time is longer or shorter by a random part of this share of it.
        probes: calls let through half open, which decide whether it closes.
        when_open: `fail` raises CircuitOpenError at once; `wait` waits until it lets calls through, if the deadline
            allows.
    """

    window_seconds: float = 30.0
    calls_min: int = 10
    failure_rate: float = 0.5
    slow_rate: float = 0.5
    slow_seconds: float | None = None
    open_seconds: float = 5.0
    open_seconds_max: float = 60.0
    jitter: float = 0.1
    probes: int = 3
    when_open: Literal["fail", "wait"] = "fail"

    def __post_init__(self) -> None:
        _positive(self, "window_seconds", "calls_min", "slow_seconds", "open_seconds", "open_seconds_max", "probes")
        _share(self, "failure_rate", least=0.01)
        _share(self, "slow_rate", least=0.01)
        _share(self, "jitter", least=0.0)
        if self.open_seconds > self.open_seconds_max:
            raise _wrong(self, "open_seconds", "must not be more than open_seconds_max")
        if self.when_open not in ("fail", "wait"):
            raise _wrong(self, "when_open", 'must be "fail" or "wait"')


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resilience:
    """How the calls of one source or destination survive: each batch that is read, each statement.

    Attributes:
        retry: when and how often it is tried again.
        budget: how many retries its host can be burdened with.
        breaker: None never opens.
        deadline_seconds: for a call with all its tries and waits; less if the caller has less left. None: no limit.
        hedge_after_seconds: a read that takes longer is asked a second time, and the first answer counts; None: never.
            For connectors that have somebody else to ask: files and the embedded engine refuse it.
    """

    retry: Retry = Retry()
    budget: RetryBudget = RetryBudget()
    breaker: CircuitBreaker | None = CircuitBreaker()
    deadline_seconds: float | None = 120.0
    hedge_after_seconds: float | None = None

    def __post_init__(self) -> None:
        _positive(self, "deadline_seconds", "hedge_after_seconds")

    @property
    def breaker_in_full(self) -> CircuitBreaker | None:
        """The breaker's settings, with what is slow worked out from how long a try may take."""
        most = self.retry.attempt_seconds_max
        if self.breaker is None or self.breaker.slow_seconds is not None or most is None:
            return self.breaker
        return dataclasses.replace(self.breaker, slow_seconds=SLOW_SHARE * most)


def check_resilience(given: object, *, hedges: bool) -> None:
    """Refuses what a declaration cannot take as `resilience=`.

    Args:
        hedges: whether it has reads that a second request can help.

    Raises DeclarationError.
    """
    if given is None:
        return
    if not isinstance(given, Resilience):
        raise DeclarationError(
            f"resilience={given!r} is no policy for calls", hint="resilience=rk.Resilience(retry=rk.Retry(attempts=3))"
        )
    if given.hedge_after_seconds is not None and not hedges:
        raise DeclarationError(
            "hedge_after_seconds: this source or destination has nobody else to ask a second time",
            hint="leave it out",
        )

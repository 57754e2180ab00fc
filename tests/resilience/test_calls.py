"""A call is repeated when that is right, when the host can bear it, and never when nobody knows what happened."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import urllib.error
from collections.abc import Callable
from datetime import timedelta
from email.message import Message
from email.utils import format_datetime

import pytest

import rowkeeper as rk
from rowkeeper.errors import (
    AmbiguousError,
    CircuitOpenError,
    DeadlineExceeded,
    DeclarationError,
    RetryError,
)
from rowkeeper.resilience.budget import Budget
from rowkeeper.resilience.calls import Calls, Line
from rowkeeper.resilience.course import Attempt
from rowkeeper.resilience.deadline import deadline, remaining
from rowkeeper.resilience.outcomes import Effect, Happened, Outcome
from tests.resilience.clocks import FakeClock

REFUSED = ConnectionRefusedError(111, "refused")
RESET = ConnectionResetError(104, "reset")


class Host:
    """Answers or raises what it is told to, in turn, the last thing for ever; counts."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self) -> object:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def later(self) -> object:
        return self()


class Rig:
    """Calls with a clock of their own."""

    def __init__(self, policy: rk.Resilience | None = None, seed: int = 1) -> None:
        self.clock = FakeClock()
        self.attempts: list[Attempt] = []
        self.calls = Calls(clock=self.clock, chance=random.Random(seed), observers=[self.attempts.append])
        self.line: Line = self.calls.to("host", "op", policy)


def answers(way: str, line: Line, host: Host, effect: Effect, look: Host | None = None) -> object:
    """The same call, synchronous or not."""
    if way == "sync":
        return line.call(host, effect=effect, happened=look)  # type: ignore[arg-type]
    return asyncio.run(line.call_async(host.later, effect=effect, happened=look.later if look else None))  # type: ignore[arg-type]


both_ways = pytest.mark.parametrize("way", ["sync", "async"])


@both_ways
def test_transient_errors_are_tried_again(way: str):
    """A write that was refused did not happen, so it is repeated, with waits that grow."""
    rig, host = Rig(), Host(REFUSED, REFUSED, "done")
    assert answers(way, rig.line, host, Effect.WRITE) == "done"
    assert host.asked == 3
    assert [each.outcome for each in rig.attempts] == [Outcome.TRANSIENT, Outcome.TRANSIENT, None]


@both_ways
def test_permanent_errors_are_raised_as_they_are(way: str):
    """One try, and the function's own exception."""
    rig, host = Rig(), Host(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        answers(way, rig.line, host, Effect.READ)
    assert host.asked == 1


@both_ways
def test_at_last_it_gives_up(way: str):
    """RetryError after the last try, with its error as the cause, and without its words."""
    rig, host = Rig(), Host(ConnectionRefusedError(111, "secret"))
    with pytest.raises(RetryError) as caught:
        answers(way, rig.line, host, Effect.READ)
    assert host.asked == 5
    assert caught.value.__cause__ is host.answers[0]
    assert "op on host failed after 5 tries: ConnectionRefusedError" in str(caught.value)
    assert "secret" not in str(caught.value) + str(caught.value.context)


def test_full_jitter():
    """The wait before retry n is anything up to 0.2 s doubled n - 1 times, and no more than the longest."""
    policy = rk.Resilience(
        retry=rk.Retry(attempts=12, wait_seconds_max=5),
        budget=rk.RetryBudget(reserve=100),
        breaker=None,
        deadline_seconds=None,
    )
    waits: list[list[float]] = []
    for seed in range(300):
        rig = Rig(policy, seed)
        with pytest.raises(RetryError):
            rig.line.call(Host(REFUSED), effect=Effect.READ)
        waits.append(rig.clock.slept)
    for number, column in enumerate(zip(*waits, strict=True)):
        most = min(5.0, 0.2 * 2**number)
        assert 0 <= min(column) < 0.05 * most
        assert 0.95 * most < max(column) <= most


@both_ways
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed(way: str, form: str):
    """Never sooner than the host says, and not much later."""
    rig = Rig()
    headers = Message()
    headers["Retry-After"] = "7"
    if form == "date":
        headers.replace_header("Retry-After", format_datetime(rig.clock.now() + timedelta(seconds=7), usegmt=True))
    host = Host(urllib.error.HTTPError("http://x", 429, "", headers, None), "done")
    assert answers(way, rig.line, host, Effect.WRITE) == "done"
    (waited,) = rig.clock.slept[:1]
    assert 7 <= waited <= 7.2


@both_ways
def test_no_retry_after_the_deadline(way: str):
    """A host that asks to stay away for longer than is left is not waited for: the error comes at once."""
    rig = Rig(rk.Resilience(deadline_seconds=5))
    headers = Message()
    headers["Retry-After"] = "60"
    host = Host(urllib.error.HTTPError("http://x", 429, "", headers, None))
    with pytest.raises(DeadlineExceeded):
        answers(way, rig.line, host, Effect.WRITE)
    assert rig.clock.slept == []


def test_a_call_has_no_more_time_than_its_caller():
    """The policy's deadline shrinks to what the caller has left, and each try to its own limit."""
    rig = Rig(rk.Resilience(retry=rk.Retry(attempt_seconds_max=10), deadline_seconds=100))
    seen: list[float | None] = []
    rig.line.call(lambda: seen.append(remaining()), effect=Effect.READ)
    with deadline(4, rig.clock):
        rig.line.call(lambda: seen.append(remaining()), effect=Effect.READ)
    assert seen == [10, 4]
    assert remaining() is None


# ------------------------------------------------------------------------------------------------ ambiguous


@both_ways
def test_an_ambiguous_write_is_not_repeated(way: str):
    """Without a look-up, what may have happened is raised as such, after one try."""
    rig, host = Rig(), Host(RESET, "done")
    with pytest.raises(AmbiguousError) as caught:
        answers(way, rig.line, host, Effect.WRITE)
    assert host.asked == 1
    assert caught.value.__cause__ is RESET
    assert not caught.value.retryable


@both_ways
def test_an_ambiguous_write_that_happened_is_done(way: str):
    """The look-up's answer is the call's; nothing is repeated."""
    rig, host, look = Rig(), Host(RESET, "twice!"), Host(Happened("receipt"))
    assert answers(way, rig.line, host, Effect.WRITE, look) == "receipt"
    assert (host.asked, look.asked) == (1, 1)


@both_ways
def test_an_ambiguous_write_that_did_not_happen_is_repeated(way: str):
    """Look, then repeat; look again if it is ambiguous again."""
    rig, host, look = Rig(), Host(RESET, RESET, "done"), Host(None)
    assert answers(way, rig.line, host, Effect.WRITE, look) == "done"
    assert (host.asked, look.asked) == (3, 2)


@both_ways
def test_a_look_up_that_fails_leaves_it_ambiguous(way: str):
    """It is tried again like any read; when it gives up, nobody knows, and nothing is repeated."""
    rig, host, look = Rig(), Host(RESET, "twice!"), Host(REFUSED)
    with pytest.raises(AmbiguousError):
        answers(way, rig.line, host, Effect.WRITE, look)
    assert host.asked == 1
    assert look.asked == 5


@both_ways
def test_the_last_try_is_looked_at_too(way: str):
    """A last try that happened is a success, and one that did not is a failure that says so."""
    policy = rk.Resilience(retry=rk.Retry(attempts=1))
    host, look = Host(RESET), Host(Happened("receipt"))
    assert answers(way, Rig(policy).line, host, Effect.WRITE, look) == "receipt"
    with pytest.raises(RetryError) as caught:
        answers(way, Rig(policy).line, Host(RESET), Effect.WRITE, Host(None))
    assert not isinstance(caught.value, AmbiguousError)


def test_no_write_ever_happens_twice():
    """A host that does some writes and loses some of its answers: with an honest look-up each is there once."""
    chance = random.Random(7)
    for number in range(300):
        rig = Rig(rk.Resilience(breaker=None), seed=number)
        done: list[int] = []

        def write(done: list[int] = done, number: int = number) -> int:
            fate = chance.random()
            if fate < 0.3:
                raise REFUSED
            if fate < 0.5:
                raise RESET
            done.append(number)
            if fate < 0.7:
                raise TimeoutError
            return number

        def look(done: list[int] = done) -> Happened[int] | None:
            if chance.random() < 0.2:
                raise TimeoutError
            return Happened(done[0]) if done else None

        try:
            rig.line.call(write, effect=Effect.WRITE, happened=look)
            assert done == [number]
        except AmbiguousError:
            assert len(done) <= 1
        except RetryError:
            assert done == []


# ------------------------------------------------------------------------------------------------ budget


def test_the_budget_bounds_the_retries_of_a_host():
    """However many callers: ten retries, and one for every ten seconds, but none for calls that go wrong."""
    rig = Rig(rk.Resilience(breaker=None))
    host = Host(REFUSED)
    began = rig.clock.time
    for _ in range(1000):
        with pytest.raises(RetryError):
            rig.line.call(host, effect=Effect.READ)
    assert 1010 <= host.asked <= 1011 + (rig.clock.time - began) / 10


def test_calls_that_go_well_earn_retries():
    """With the reserve spent, five calls that go well pay for one retry, at whatever try they do."""
    rig = Rig(rk.Resilience(breaker=None, budget=rk.RetryBudget(reserve=2, per_second=0)))
    failing = Host(REFUSED)
    with pytest.raises(RetryError):
        rig.line.call(failing, effect=Effect.READ)
    assert failing.asked == 3
    for _ in range(5):
        rig.line.call(Host(None), effect=Effect.READ)
    rig.line.call(Host(REFUSED, None), effect=Effect.READ)
    again = Host(REFUSED)
    with pytest.raises(RetryError):
        rig.line.call(again, effect=Effect.READ)
    assert again.asked == 1


def test_the_budget_is_the_host_s():
    """Two kinds of operation on one host share it; another host has its own."""
    policy = rk.Resilience(breaker=None, budget=rk.RetryBudget(share=0, per_second=0))
    rig = Rig(policy)
    other_operation = rig.calls.to("host", "other", policy)
    other_host = rig.calls.to("elsewhere", "op", policy)
    for _ in range(20):
        with pytest.raises(RetryError):
            rig.line.call(Host(REFUSED), effect=Effect.READ)
    for line, tries in ((other_operation, 1), (other_host, 5)):
        host = Host(REFUSED)
        with pytest.raises(RetryError):
            line.call(host, effect=Effect.READ)
        assert host.asked == tries


def test_a_quiet_host_earns_retries_with_time():
    """A call every 100 seconds has its reserve again; the bucket holds no more than that."""
    clock = FakeClock()
    budget = Budget(rk.RetryBudget(), clock)
    while budget.retry():
        pass
    clock.time += 100
    budget.went_well()
    assert budget.tokens == 10
    clock.time += 1000
    budget.went_well()
    assert budget.tokens == 10


# ------------------------------------------------------------------------------------------------ one layer


@both_ways
def test_retries_do_not_multiply(way: str):
    """A call inside a call is tried once: five tries in all, not twenty-five."""
    rig, host = Rig(), Host(REFUSED)
    inner = rig.calls.to("host", "inner")

    class Outer(Host):
        def __call__(self) -> object:
            return inner.call(host, effect=Effect.READ)

        async def later(self) -> object:
            return await inner.call_async(host.later, effect=Effect.READ)

    with pytest.raises(RetryError):
        answers(way, rig.line, Outer(), Effect.READ)
    assert host.asked == 5


def test_an_inner_call_raises_what_its_function_raised():
    """Around it somebody may want to catch that: the words of giving up are the outer call's."""
    rig = Rig()
    inner = rig.calls.to("host", "inner")

    def outer() -> str:
        try:
            inner.call(Host(REFUSED), effect=Effect.READ)
        except ConnectionRefusedError:
            return "caught"
        return "answered"

    assert rig.line.call(outer, effect=Effect.READ) == "caught"


# ------------------------------------------------------------------------------------------------ breaker


@both_ways
def test_an_open_breaker_calls_nobody(way: str):
    """CircuitOpenError at once, with the time to come again; and other operations go on."""
    rig, host = Rig(rk.Resilience(retry=rk.Retry(attempts=1))), Host(REFUSED)
    for _ in range(10):
        with pytest.raises(RetryError):
            answers(way, rig.line, host, Effect.READ)
    with pytest.raises(CircuitOpenError) as caught:
        answers(way, rig.line, host, Effect.READ)
    assert host.asked == 10
    assert 4 < caught.value.retry_after_seconds <= 5.5
    assert answers(way, rig.calls.to("host", "other"), Host("well"), Effect.READ) == "well"


@both_ways
def test_waiting_for_the_breaker(way: str):
    """`when_open="wait"` waits until it lets calls through, if that is before the deadline."""
    breaker = rk.CircuitBreaker(when_open="wait")
    rig = Rig(rk.Resilience(retry=rk.Retry(attempts=1), breaker=breaker))
    for _ in range(10):
        with pytest.raises(RetryError):
            answers(way, rig.line, Host(REFUSED), Effect.READ)
    with deadline(1, rig.clock), pytest.raises(CircuitOpenError):
        answers(way, rig.line, Host("done"), Effect.READ)
    before = rig.clock.time
    assert answers(way, rig.line, Host("done"), Effect.READ) == "done"
    assert 3 < rig.clock.time - before < 5.6


@both_ways
def test_permanent_errors_open_nothing(way: str):
    """A thousand wrong requests are the caller's fault."""
    rig = Rig()
    for _ in range(50):
        with pytest.raises(ValueError, match="no"):
            answers(way, rig.line, Host(ValueError("no")), Effect.READ)
    assert answers(way, rig.line, Host("done"), Effect.READ) == "done"


def test_an_interrupt_gives_the_probe_back():
    """Ctrl-C in a probe does not keep its place."""
    rig = Rig(rk.Resilience(retry=rk.Retry(attempts=1), breaker=rk.CircuitBreaker(probes=1)))
    for _ in range(10):
        with pytest.raises(RetryError):
            rig.line.call(Host(REFUSED), effect=Effect.READ)
    rig.clock.time += 10

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rig.line.call(interrupted, effect=Effect.READ)
    assert rig.line.call(Host("done"), effect=Effect.READ) == "done"


# ------------------------------------------------------------------------------------------------ asynchronous


def test_an_attempt_that_hangs_is_cancelled():
    """A coroutine that would wait for ever is cancelled at the deadline, wherever it waits."""

    async def hang() -> None:
        await asyncio.sleep(3600)

    policy = rk.Resilience(retry=rk.Retry(attempt_seconds_max=0.1, attempts=2), deadline_seconds=5)
    line = Calls().to("host", "op", policy)
    began = time.monotonic()
    with pytest.raises(RetryError):
        asyncio.run(line.call_async(hang, effect=Effect.READ))
    assert time.monotonic() - began < 1


# ------------------------------------------------------------------------------------------------ hedging

HEDGED = rk.Resilience(hedge_after_seconds=0.05)


class SlowFirst:
    """The first request takes two seconds, the others none."""

    def __init__(self) -> None:
        self.asked = 0
        self.cancelled = 0
        self._lock = threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            self.asked += 1
            number = self.asked
        time.sleep(2.0 if number == 1 else 0.0)
        return number

    async def later(self) -> int:
        self.asked += 1
        number = self.asked
        try:
            await asyncio.sleep(2.0 if number == 1 else 0.0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return number


def hedge(way: str, line: Line, host: SlowFirst, effect: Effect) -> tuple[int, float]:
    began = time.monotonic()
    if way == "sync":
        answer = line.call(host, effect=effect)
    else:
        answer = asyncio.run(line.call_async(host.later, effect=effect))
    return answer, time.monotonic() - began


@both_ways
def test_a_late_read_is_asked_again(way: str):
    """The second request's answer counts, and the first is not waited for."""
    host = SlowFirst()
    answer, seconds = hedge(way, Calls().to("host", "op", HEDGED), host, Effect.READ)
    assert (answer, host.asked) == (2, 2)
    assert seconds < 1
    assert host.cancelled == (way == "async")


@both_ways
def test_a_write_is_never_hedged(way: str):
    """However slow it is."""
    host = SlowFirst()
    answer, _ = hedge(way, Calls().to("host", "op", HEDGED), host, Effect.WRITE)
    assert (answer, host.asked) == (1, 1)


@both_ways
def test_hedges_are_paid_from_the_budget(way: str):
    """With the budget spent, a late read is waited for."""
    policy = rk.Resilience(hedge_after_seconds=0.05, budget=rk.RetryBudget(reserve=0.5, per_second=0))
    host = SlowFirst()
    answer, _ = hedge(way, Calls().to("host", "op", policy), host, Effect.READ)
    assert (answer, host.asked) == (1, 1)


@both_ways
def test_a_hedge_that_fails_does_not_spoil_the_first(way: str):
    """One answer is enough; and where neither has one, it is tried again."""

    class Both(Host):
        def __call__(self) -> object:
            self.asked += 1
            if self.asked == 2:
                raise REFUSED
            time.sleep(0.3)
            return "first"

        async def later(self) -> object:
            self.asked += 1
            if self.asked == 2:
                raise REFUSED
            await asyncio.sleep(0.3)
            return "first"

    host = Both()
    assert answers(way, Calls().to("host", "op", HEDGED), host, Effect.READ) == "first"
    assert host.asked == 2
    failing = Host(REFUSED, "done")
    assert answers(way, Calls().to("host", "op", HEDGED), failing, Effect.READ) == "done"


def test_two_answers_at_once():
    """If one of them is an error, the other counts, in whichever order they are looked at."""

    async def at_once(fails: int) -> None:
        both = asyncio.Event()
        asked = [0]

        async def answer() -> str:
            asked[0] += 1
            number = asked[0]
            if number == 2:
                asyncio.get_running_loop().call_later(0.02, both.set)
            await both.wait()
            if number == fails:
                raise REFUSED
            return "well"

        policy = rk.Resilience(hedge_after_seconds=0.01, retry=rk.Retry(attempts=1))
        assert await Calls().to("host", "op", policy).call_async(answer, effect=Effect.READ) == "well"

    for fails in [1, 2] * 20:
        asyncio.run(at_once(fails))


def test_the_deadline_crosses_into_hedges():
    """Requests run in threads, with the deadline of their caller."""
    seen: list[float | None] = []
    with deadline(50):
        Calls().to("host", "op", HEDGED).call(lambda: seen.append(remaining()), effect=Effect.READ)
    assert seen[0] is not None
    assert 49 < seen[0] <= 50


# ------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: rk.Retry(attempts=0),
        lambda: rk.Retry(wait_seconds_max=-1),
        lambda: rk.Resilience(deadline_seconds=0),
        lambda: rk.CircuitBreaker(failure_rate=1.5),
        lambda: rk.CircuitBreaker(open_seconds=61),
        lambda: rk.CircuitBreaker(when_open="maybe"),  # type: ignore[arg-type]
        lambda: rk.RetryBudget(share=-0.1),
        lambda: rk.RetryBudget(per_second=-1),
        lambda: rk.Retry(wait_seconds_initial=float("nan")),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: Callable[[], object]):
    """When they are written, not in the night when they are needed."""
    with pytest.raises(DeclarationError):
        wrong()

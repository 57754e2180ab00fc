"""Rate limits: kept as declared, and learnt in whatever words a host has for them."""

from __future__ import annotations

import pytest

from rowkeeper.errors import DeadlineExceeded, DeclarationError
from rowkeeper.resilience.rates import Limiter, RateLimit
from tests.resilience.clocks import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def seconds_waited(limiter: Limiter, clock: FakeClock) -> float:
    before = clock.monotonic()
    limiter.wait()
    return clock.monotonic() - before


def test_a_declared_limit_holds_in_any_stretch(clock: FakeClock):
    """Three at once, then one for each that is a minute ago."""
    limiter = Limiter(RateLimit(3, seconds=60), clock)
    waits = [round(seconds_waited(limiter, clock)) for _ in range(7)]
    assert waits == [0, 0, 0, 60, 0, 0, 60]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit": '"default";r=0;t=30'}, 30),
        ({"ratelimit": '"burst";r=5;t=1, "day";r=0;t=90'}, 90),
        ({"ratelimit": "limit=100, remaining=0, reset=20"}, 20),
        ({"ratelimit-limit": "100", "ratelimit-remaining": "0", "ratelimit-reset": "10"}, 10),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "7"}, 7),
        ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": "7.5"}, 7),
        ({"ratelimit": '"default";r=1;t=30'}, 0),
        ({"x-ratelimit-remaining": "0"}, 0),
        ({"x-ratelimit-remaining": "soon", "x-ratelimit-reset": "-3"}, 0),
        ({"ratelimit": "", "ratelimit-policy": ";;=,"}, 0),
        ({}, 0),
    ],
)
def test_what_a_host_says_is_kept_to(headers, seconds, clock: FakeClock):
    """Nothing is sent before what is used up comes back; what is no limit is none."""
    limiter = Limiter(None, clock)
    limiter.learn(headers)
    assert round(seconds_waited(limiter, clock)) == seconds


@pytest.mark.parametrize("factor", [1, 1000])
def test_a_reset_can_be_a_time(factor, clock: FakeClock):
    """In seconds since 1970, or in milliseconds."""
    limiter = Limiter(None, clock)
    at = int((clock.now().timestamp() + 40) * factor)
    limiter.learn({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(at)})
    assert seconds_waited(limiter, clock) == pytest.approx(40, abs=1.1)


def test_a_policy_is_learnt(clock: FakeClock):
    """Two in ten seconds, from when it is known; the slowest of several."""
    limiter = Limiter(None, clock)
    limiter.learn({"ratelimit-policy": '"burst";q=100;w=1, "sustained";q=2;w=10'})
    assert [round(seconds_waited(limiter, clock)) for _ in range(4)] == [0, 0, 10, 0]


def test_a_wait_that_is_too_long_is_told_at_once(clock: FakeClock):
    """Nobody waits to be told afterwards that it was too long."""
    limiter = Limiter(None, clock)
    limiter.learn({"ratelimit": '"default";r=0;t=3600'})
    before = clock.monotonic()
    with pytest.raises(DeadlineExceeded, match="3,600 s"):
        limiter.wait(seconds_max=60)
    assert clock.monotonic() == before


@pytest.mark.parametrize("wrong", [(0, 1), (-1, 1), (1, 0), (1.5, 1), (10**9, 1)])
def test_what_is_no_limit_is_refused(wrong):
    """When it is declared."""
    with pytest.raises(DeclarationError):
        RateLimit(wrong[0], seconds=wrong[1])

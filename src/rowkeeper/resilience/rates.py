"""How often a host may be asked: what was declared, and what the host says itself.

    limiter = Limiter(RateLimit(100, seconds=60))
    limiter.wait(seconds_max=600)      # before each request
    limiter.learn(headers)             # after each answer

Hosts say it in many ways: `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers, in its present form
`"default";r=50;t=30` and `"default";q=100;w=60`, and in former ones), `X-RateLimit-Remaining` and `-Reset`, where the
reset is a time or a number of seconds. `Retry-After` is the retries' own business (`rules/http.py`).
"""

from __future__ import annotations

import dataclasses
import re
import threading
from collections import deque
from collections.abc import Mapping

from rowkeeper.errors import DeadlineExceeded, DeclarationError
from rowkeeper.resilience.clock import SYSTEM_CLOCK, Clock
from rowkeeper.resilience.deadline import remaining, seconds_left

SLICE_SECONDS = 0.5  # a process that is told to stop does not wait longer than this
QUOTA_MAX = 100_000  # a larger one is none
MILLISECONDS_FROM = 10**11  # the year 5138 in seconds, 1973 in milliseconds
TIMES_FROM = 10**9  # 2001 in seconds; nobody is sent away for 31 years
ITEM = re.compile(r"(?:^|[;,\s])(?P<name>[a-z]+)\s*=\s*\"?(?P<number>\d+)")
LIMIT_NAMES = {"r": "remaining", "t": "reset", "q": "limit", "w": "window"}


@dataclasses.dataclass(frozen=True, slots=True)
class RateLimit:
    """How many requests a host may be sent in any stretch of so many seconds.

    Args:
        requests: how many.
        seconds: the stretch.

    Raises DeclarationError.
    """

    requests: int
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if type(self.requests) is not int or not 0 < self.requests <= QUOTA_MAX or not self.seconds > 0:
            raise DeclarationError(
                f"RateLimit({self.requests!r}, seconds={self.seconds!r}) is no limit",
                hint=f"RateLimit(100, seconds=60): from 1 to {QUOTA_MAX:,} requests in more than 0 seconds",
            )


class Limiter:
    """Keeps to the limits of one host, for any number of threads.

    Args:
        declared: the limit that is known beforehand.
    """

    def __init__(self, declared: RateLimit | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._declared = declared
        self._limits: tuple[RateLimit, ...] = (declared,) if declared else ()
        self._sent: deque[float] = deque()
        self._closed_until = float("-inf")
        self._lock = threading.Lock()

    def wait(self, seconds_max: float | None = None) -> None:
        """Waits until a request may be sent, and counts it as sent.

        Raises DeadlineExceeded at once if that would be too late, or later than `seconds_max`.
        """
        waited = 0.0
        while (wait := self._take()) > 0:
            left = remaining()
            most = min((each for each in (left, seconds_max) if each is not None), default=None)
            if most is not None and waited + wait > most:
                raise DeadlineExceeded(
                    f"the host's rate limit lets the next request through in {wait:,.0f} s, and {most:,.0f} s are left",
                    hint="run again later: it goes on where it stopped; or allow more time (deadline_seconds)",
                )
            slice_seconds = min(wait, SLICE_SECONDS)
            self._clock.sleep(slice_seconds)
            waited += slice_seconds
            seconds_left()

    def learn(self, headers: Mapping[str, str]) -> None:
        """Takes in what an answer says of the limits. Header names in lower case."""
        stated = _stated(headers)
        with self._lock:
            quota, window = stated.get("limit"), stated.get("window")
            if quota and window and quota <= QUOTA_MAX:
                learned = RateLimit(quota, float(window))
                self._limits = (learned,) if self._declared is None else (self._declared, learned)
            reset = stated.get("reset")
            if stated.get("remaining") == 0 and reset is not None:
                self._closed_until = max(self._closed_until, self._clock.monotonic() + self._seconds_to(reset))

    def _take(self) -> float:
        """0 if a request may be sent now, which then counts; else in how many seconds to ask again."""
        with self._lock:
            now = self._clock.monotonic()
            wait = self._closed_until - now
            for limit in self._limits:
                if len(self._sent) >= limit.requests:
                    wait = max(wait, self._sent[-limit.requests] + limit.seconds - now)
            if wait <= 0:
                self._sent.append(now)
                most = max((limit.requests for limit in self._limits), default=0)
                while len(self._sent) > most:
                    self._sent.popleft()
            return wait

    def _seconds_to(self, reset: int) -> float:
        if reset >= MILLISECONDS_FROM:
            return max(0.0, reset / 1000 - self._clock.now().timestamp())
        if reset >= TIMES_FROM:
            return max(0.0, reset - self._clock.now().timestamp())
        return float(reset)


def _stated(headers: Mapping[str, str]) -> dict[str, int]:
    """`limit`, `window`, `remaining` and `reset` as the headers have them; of several limits the tightest."""
    found: dict[str, int] = {}
    for prefix in ("x-ratelimit-", "x-rate-limit-", "ratelimit-"):
        for name in ("limit", "remaining", "reset"):
            number = _number(headers.get(prefix + name))
            if number is not None:
                found[name] = number
    items = [_item(each) for each in headers.get("ratelimit", "").split(",")]
    if not any({"remaining", "reset"} <= each.keys() for each in items):  # a former form has one limit with commas
        items = [_item(headers.get("ratelimit", ""))]
    tightest = min((each for each in items if "remaining" in each), key=lambda each: each["remaining"], default={})
    policies = [_item(each) for each in headers.get("ratelimit-policy", "").split(",")]
    whole = [each for each in policies if each.get("limit") and each.get("window")]
    slowest = min(whole, key=lambda each: each["limit"] / each["window"], default={})
    return {**found, **tightest, **slowest}


def _item(text: str) -> dict[str, int]:
    """`"default";r=50;t=30`, and `limit=100, remaining=50, reset=30`, and `100;w=60`."""
    found = {}
    leading = re.match(r"\s*(\d+)", text)
    if leading:
        found["limit"] = int(leading[1])
    for match in ITEM.finditer(text.lower()):
        found[LIMIT_NAMES.get(match["name"], match["name"])] = int(match["number"])
    return found


def _number(text: str | None) -> int | None:
    match = re.match(r"\s*(\d{1,18})(?:\.\d+)?\s*(?:[,;]|$)", text or "")
    return int(match[1]) if match else None

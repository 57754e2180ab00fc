"""Hosts in trouble, in virtual time: `python -m tests.resilience.simulation`.

Twenty calls a second for ten minutes, from callers that arrive at random (Poisson) and do not wait for each other.
From minute 2 to minute 6 the host is in trouble. Every call is the product's own `Line.call_async`, with the default
settings but for the time: a try may take 5 seconds and a call 30, unless the line says otherwise. Only the host, the
clock and the chance are made up, from one seed.

    tries/admitted   requests in the trouble, per call that the breaker let through: what retries alone add
    tries/calls      the same, per call made in that time: what reaches the host, as the breaker spares it the others
    open after       seconds from the beginning of the trouble to the first opening
    well after       seconds from its end to the last closing
    served           share of calls with an answer: before and after the trouble, and in it
    overrun          by how much calls went beyond their deadline, 99th percentile

Then the deadline in real time, with real sockets: calls in eight threads, each with retries, to a TCP server of this
machine that is silent, that sends a byte at a time, or that does not accept.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable

from rowkeeper.errors import RetryError
from rowkeeper.resilience.breaker import State, Transition
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.outcomes import Effect
from rowkeeper.resilience.policy import Resilience, Retry
from tests.resilience.clocks import LoopClock, VirtualLoop
from tests.resilience.stalling import KINDS, overruns, p99

SECONDS, BEGINS, ENDS = 600.0, 120.0, 360.0
CALLS_PER_SECOND = 20.0
DEADLINE_SECONDS = 30.0
REAL_CALLS, REAL_SECONDS = 100, 0.5
USUAL = Resilience(retry=Retry(attempt_seconds_max=5.0), deadline_seconds=DEADLINE_SECONDS)

Trouble = Callable[[float, random.Random], Awaitable[None]]
"""What the host does in its trouble, so many seconds into it: return, wait, or raise."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    trouble: Trouble
    policy: Resilience = USUAL


@dataclasses.dataclass
class Outcome:
    """What came of a scenario; times in seconds, None for what did not happen."""

    name: str
    calls: int = 0
    attempts: int = 0
    admitted: int = 0
    served_in: int = 0
    calls_outside: int = 0
    served_outside: int = 0
    openings: int = 0
    opened_after: float | None = None
    well_after: float | None = None
    overruns: list[float] = dataclasses.field(default_factory=list)

    @property
    def amplification(self) -> float:
        """Requests per admitted call."""
        return self.attempts / max(1, self.admitted)

    @property
    def load(self) -> float:
        """Requests per call made."""
        return self.attempts / self.calls

    @property
    def overrun_p99(self) -> float:
        return sorted(self.overruns)[int(len(self.overruns) * 0.99)]


async def refused(_into: float, _chance: random.Random) -> None:
    raise ConnectionRefusedError(111, "refused")


async def silent(_into: float, _chance: random.Random) -> None:
    await asyncio.sleep(3600)


async def brown_out(_into: float, chance: random.Random) -> None:
    await asyncio.sleep(0.05)
    if chance.random() < 0.2:
        raise ConnectionResetError(104, "reset")


async def slow(_into: float, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(2.0, 4.0))


async def flapping(into: float, chance: random.Random) -> None:
    """Well and unwell by turns, 20 seconds each."""
    if int(into / 20) % 2 == 0:
        await refused(into, chance)
    await asyncio.sleep(0.05)


async def crawling(_into: float, chance: random.Random) -> None:
    """For whoever allows 60 seconds, as the defaults do."""
    await asyncio.sleep(chance.uniform(25.0, 50.0))


PLAIN = Resilience()
NO_BREAKER = dataclasses.replace(USUAL, breaker=None)
SCENARIOS = [
    Scenario("total outage, refusing", refused),
    Scenario("total outage, silent", silent),
    Scenario("total outage, budget alone", refused, NO_BREAKER),
    Scenario("brown-out, 20% fail", brown_out),
    Scenario("slow host, 2 to 4 s of 5 allowed", slow),
    Scenario("slow host, 25 to 50 s of 60", crawling, PLAIN),
    Scenario("flapping, 20 s each", flapping),
]


class Simulation:
    """One scenario, from one seed."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._chance = random.Random(seed)
        self._loop = VirtualLoop()
        self._outcome = Outcome(scenario.name)
        self._calls = Calls(clock=LoopClock(self._loop), chance=random.Random(seed + 1), listeners=[self._turned])
        self._line = self._calls.to("host", "read", scenario.policy)

    def run(self) -> Outcome:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._arrivals())
        return self._outcome

    async def _arrivals(self) -> None:
        async with asyncio.TaskGroup() as callers:
            while self._loop.time() < SECONDS:
                callers.create_task(self._caller())
                await asyncio.sleep(self._chance.expovariate(CALLS_PER_SECOND))

    async def _caller(self) -> None:
        began = self._loop.time()
        in_trouble = self._in_trouble()
        tries: list[float] = []
        served = True
        try:
            await self._line.call_async(lambda: self._host(tries), effect=Effect.READ)
        except RetryError:
            served = False
        allowed = self._scenario.policy.deadline_seconds
        assert allowed is not None, "every scenario has a deadline to overrun"
        self._outcome.overruns.append(max(0.0, self._loop.time() - began - allowed))
        if in_trouble:
            self._outcome.calls += 1
            self._outcome.admitted += bool(tries)
            self._outcome.served_in += served
        else:
            self._outcome.calls_outside += 1
            self._outcome.served_outside += served

    async def _host(self, tries: list[float]) -> None:
        now = self._loop.time()
        tries.append(now)
        if self._in_trouble():
            self._outcome.attempts += 1
            await self._scenario.trouble(now - BEGINS, self._chance)
        else:
            await asyncio.sleep(0.05)

    def _in_trouble(self) -> bool:
        return BEGINS <= self._loop.time() < ENDS

    def _turned(self, transition: Transition) -> None:
        now = self._loop.time()
        if transition.after is State.OPEN:
            self._outcome.openings += 1
            if self._outcome.opened_after is None:
                self._outcome.opened_after = now - BEGINS
        if transition.after is State.CLOSED and now >= ENDS:
            self._outcome.well_after = now - ENDS


def simulate(scenario: Scenario, seed: int = 1) -> Outcome:
    return Simulation(scenario, seed).run()


def main() -> None:
    print(
        f"{'':34} {'calls':>6} {'tries/admitted':>14} {'tries/calls':>11} {'opened':>7} {'open after':>10} "
        f"{'well after':>10} {'served':>14} {'overrun p99':>11}"
    )
    for scenario in SCENARIOS:
        it = simulate(scenario)
        opened = "-" if it.opened_after is None else f"{it.opened_after:.1f} s"
        well = "-" if it.well_after is None else f"{it.well_after:.1f} s"
        served = f"{it.served_outside / it.calls_outside:.1%} {it.served_in / it.calls:.0%}"
        print(
            f"{it.name:34} {it.calls:6,} {it.amplification:14.3f} {it.load:11.3f} {it.openings:7} {opened:>10} "
            f"{well:>10} {served:>14} {it.overrun_p99 * 1000:8.0f} ms"
        )
    for kind in KINDS:
        late = overruns(kind, calls=REAL_CALLS, seconds=REAL_SECONDS)
        print(
            f"real sockets, {kind}: {len(late)} calls with {REAL_SECONDS} s each; "
            f"overrun median {late[len(late) // 2] * 1000:.0f} ms, p99 {p99(late) * 1000:.0f} ms"
        )


if __name__ == "__main__":
    main()

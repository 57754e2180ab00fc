"""What one process learns of a host, the others know within a second; and no call ever waits or fails for it."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import rowkeeper as rk
from rowkeeper.errors import CircuitOpenError, DatabaseError, RetryError
from rowkeeper.ledger import Ledger
from rowkeeper.operations.doctor import examine
from rowkeeper.resilience.breaker import Name, State
from rowkeeper.resilience.calls import Calls, Line
from rowkeeper.resilience.outcomes import Effect
from rowkeeper.resilience.sharing import READ_EVERY_SECONDS
from tests.auditing import AUDITING
from tests.ledgers import place
from tests.resilience.clocks import FakeClock

ONE_TRY = rk.Resilience(retry=rk.Retry(attempts=1))
LONG_OPEN = dataclasses.replace(ONE_TRY, breaker=rk.CircuitBreaker(open_seconds=60))
NAME = Name("host", "op")


class Wall:
    """The ledger's clock, moved with the process's own."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock

    def __call__(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.clock.time)


class Process:
    """What a process has of it all: breakers, and the ledger that it opened for itself."""

    def __init__(self, ledger: Ledger, clock: FakeClock) -> None:
        self.calls = Calls(store=ledger.breakers, clock=clock, chance=random.Random(1))
        self.line = self.calls.to("host", "op", ONE_TRY)

    @property
    def state(self) -> State:
        return self.calls.breakers()[0].state


def refuse() -> None:
    raise ConnectionRefusedError(111, "refused")


def fail(line: Line, times: int = 10) -> None:
    for _ in range(times):
        with pytest.raises(RetryError):
            line.call(refuse, effect=Effect.READ)


def well(line: Line) -> None:
    line.call(lambda: None, effect=Effect.READ)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def two(tmp_path: Path, clock: FakeClock) -> Iterator[tuple[Process, Process]]:
    """Two processes with a ledger in common."""
    with (
        Ledger.open(None, tmp_path, Wall(clock), auditing=AUDITING) as one,
        Ledger.open(None, tmp_path, Wall(clock), auditing=AUDITING) as other,
    ):
        yield Process(one, clock), Process(other, clock)


def test_an_opening_is_followed_and_so_is_a_closing(two: tuple[Process, Process], clock: FakeClock):
    """One process sees the failures; the other calls no more within a second; one probes, both go on."""
    one, other = two
    well(other.line)
    fail(one.line)
    clock.time += 1
    with pytest.raises(CircuitOpenError):
        well(other.line)
    assert (one.state, other.state) == (State.OPEN, State.OPEN)
    clock.time += 4.6
    for _ in range(3):
        well(one.line)
    assert (one.state, other.state) == (State.CLOSED, State.OPEN)
    clock.time += 1
    well(other.line)
    assert other.state is State.CLOSED


def test_a_process_that_starts_later_knows_already(two: tuple[Process, Process], tmp_path: Path, clock: FakeClock):
    """Its first call is not made."""
    one, _ = two
    fail(one.line)
    with Ledger.open(None, tmp_path, Wall(clock), auditing=AUDITING) as ledger:
        late = Process(ledger, clock)
        with pytest.raises(CircuitOpenError):
            well(late.line)


def test_an_opening_whose_time_is_over_keeps_nobody_away(two: tuple[Process, Process], clock: FakeClock):
    """The process that opened it may be dead: the others probe by themselves."""
    one, other = two
    fail(one.line)
    clock.time += 10
    well(other.line)
    assert other.state is State.CLOSED


def test_a_real_process_is_followed(tmp_path: Path):
    """Two operating system processes, real clocks, one SQLite ledger."""
    script = f"""
from pathlib import Path
from rowkeeper.ledger import Ledger
from rowkeeper.resilience.calls import Calls
from tests.auditing import AUDITING
from tests.ledgers import place
from tests.resilience.test_sharing import LONG_OPEN, fail
with Ledger.open({place(tmp_path)!r}, Path({str(tmp_path)!r}), auditing=AUDITING) as ledger:
    fail(Calls(store=ledger.breakers).to("host", "op", LONG_OPEN))
"""
    with Ledger.open(None, tmp_path, auditing=AUDITING) as ledger:
        line = Calls(store=ledger.breakers).to("host", "op", LONG_OPEN)
        well(line)
        looked = time.monotonic()
        subprocess.run([sys.executable, "-c", script], check=True)
        while time.monotonic() < looked + READ_EVERY_SECONDS:  # hardly ever: a process takes longer to start
            pass
        with pytest.raises(CircuitOpenError):
            well(line)
        with pytest.raises(CircuitOpenError):
            asyncio.run(line.call_async(lambda: asyncio.sleep(0), effect=Effect.READ))


def test_it_reads_once_a_second_and_writes_transitions_only(two: tuple[Process, Process], clock: FakeClock):
    """A thousand calls in a second ask the ledger once."""
    one, _ = two
    asked = {"read": 0, "write": 0}

    class Counting:
        def read(self):
            asked["read"] += 1
            return store.read()

        def write(self, *args):
            asked["write"] += 1
            return store.write(*args)

    store = one.calls._sharing._store
    line = Calls(store=Counting(), clock=clock).to("host", "op", ONE_TRY)
    for _ in range(1000):
        well(line)
        clock.time += 0.001
    assert asked == {"read": 1, "write": 0}
    clock.time += 31
    fail(line)
    for _ in range(10):
        with pytest.raises(CircuitOpenError):
            well(line)
    assert asked == {"read": 2, "write": 1}


@pytest.mark.of_sqlite("looks into its file")
def test_a_busy_ledger_delays_no_call(tmp_path: Path):
    """Another process holds the ledger's lock: calls go on with what they see themselves, and write later."""
    with Ledger.open(None, tmp_path, auditing=AUDITING) as ledger:
        calls = Calls(store=ledger.breakers)
        line = calls.to("host", "op", ONE_TRY)
        well(line)
        holder = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        fail(line)
        for _ in range(100):
            with pytest.raises(CircuitOpenError):
                well(line)
        assert time.monotonic() - began < 1
        with pytest.raises(DatabaseError):
            ledger.breakers.write(NAME, 5.0, 1)
        holder.close()
        assert ledger.breakers.read() == []


@pytest.mark.of_sqlite("looks into its file")
def test_what_could_not_be_written_is_written_later(two: tuple[Process, Process], tmp_path: Path, clock: FakeClock):
    """The ledger comes back, and the others learn of it."""
    one, other = two
    well(other.line)
    holder = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    fail(one.line)
    holder.close()
    clock.time += 31
    for _ in range(2):
        with pytest.raises(RetryError):
            one.line.call(refuse, effect=Effect.READ)
    clock.time += 1
    with pytest.raises(CircuitOpenError):
        well(other.line)


def test_doctor_lists_what_is_left_alone(tmp_path: Path):
    """By host and operation, as long as it lasts."""
    settings = rk.Settings(home=tmp_path / "home", key_file=tmp_path / "the.key")
    with rk.Workspace.open(settings) as workspace:
        before = {each.name: each for each in examine(workspace)}["breakers"]
        assert before.ok
        fail(workspace.calls.to("host", "op", ONE_TRY))
        found = {each.name: each for each in examine(workspace)}["breakers"]
        assert not found.ok
        assert "op on host" in found.found
        workspace.ledger.breakers.write(NAME, None, 1)
        assert {each.name: each for each in examine(workspace)}["breakers"].ok

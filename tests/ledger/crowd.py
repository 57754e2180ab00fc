"""Processes that work on one ledger at the same time.

Each loads into a target of its own and into one that all want, adds to the trail, and answers a schedule that all of
them see to. When the ledger fails it begins its next round, as the next command would. What it was told, it writes down
at the end: by that the ledger is judged (`judge`).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from rowkeeper.errors import CommitUnknown, DatabaseError, LeaseError, LedgerLost, RetryError
from rowkeeper.ledger import Ledger, RunStatus, SlotState
from rowkeeper.ledger.audit import Event, verifying
from rowkeeper.ledger.schedules import Started
from rowkeeper.schedule import Timing
from tests.arena import FORKSERVER
from tests.auditing import AUDITING
from tests.ledger.steps import TARGET, publish

SHARED = "everybody"
BEGUN = datetime(2026, 11, 26, tzinfo=UTC)
LEASE_SECONDS = 30
MARKS = itertools.count()


@dataclasses.dataclass
class Told:
    """What the ledger told a process.

    Attributes:
        published: runs that it said were published, with the target of each.
        slots: numbers of the schedule's slots that it said this process has answered.
        entries: marks of audit entries that it said are written.
        lost: marks of those of which it said that they are not.
        unknown: how often it could not say.
        failures: by error.
    """

    published: list[tuple[str, int]] = dataclasses.field(default_factory=list)
    slots: list[int] = dataclasses.field(default_factory=list)
    entries: list[str] = dataclasses.field(default_factory=list)
    lost: list[str] = dataclasses.field(default_factory=list)
    unknown: int = 0
    failures: Counter[str] = dataclasses.field(default_factory=Counter)


class Member:
    """One of them."""

    def __init__(self, ledger: Ledger, chance: random.Random, told: Told) -> None:
        self.ledger = ledger
        self.chance = chance
        self.told = told

    def round(self) -> bool:
        """Something; whether the ledger answered, whatever it said."""
        work = self.chance.choice([self.load, self.load, self.note, self.answer])
        try:
            work()
        except LeaseError:
            self.told.failures["somebody else has it"] += 1
        except (DatabaseError, RetryError) as error:
            self.told.unknown += isinstance(error, CommitUnknown)
            self.told.failures[type(error).__name__] += 1
            return False
        return True

    def load(self) -> None:
        """A run from its start to its end; what a dead one left of the target is closed first."""
        target = self.chance.choice([f"{TARGET}{os.getpid()}", SHARED])
        lease = self.ledger.acquire_lease(target, LEASE_SECONDS)
        try:
            for left in self.ledger.unfinished(target):
                self.ledger.fail_run(lease, left.run, {"code": "RK-0000"})
            self.told.published.append((target, publish(self.ledger, lease, 3, target=target)))
        finally:
            self.ledger.release_lease(lease)

    def note(self) -> None:
        """An entry of the trail by itself."""
        mark = f"{os.getpid()}-{next(MARKS)}"
        try:
            self.ledger.audit.record(Event("data.query", {"mark": mark}))
        except LedgerLost:
            self.told.lost.append(mark)
            raise
        self.told.entries.append(mark)

    def answer(self) -> None:
        """The schedule's next slot, as a worker answers it."""
        schedules = self.ledger.schedules
        lease = self.ledger.acquire_lease("schedule:p", LEASE_SECONDS)
        try:
            slot = schedules.come_due(lease, "p")
            assert slot is not None
            schedules.begin(lease, "p", Started.of(os.getpid()), slot.number)
            schedules.end(lease, "p", "published", slot=slot.number, state=SlotState.DONE)
            self.told.slots.append(slot.number)
        finally:
            self.ledger.release_lease(lease)


def found(url: str | None, home: Path) -> None:
    """The ledger, with the schedule that all see to."""
    with Ledger.open(url, home, lambda: BEGUN, auditing=AUDITING) as ledger:
        ledger.schedules.declare("p", "p.py", Timing("every 1s", catch_up="all"))


@dataclasses.dataclass(frozen=True)
class Crowd:
    """Members under way, and where each writes down what it was told."""

    members: Sequence[tuple[ForkServerProcess, Path]]

    @classmethod
    def of(cls, url: str, home: Path, count: int, rounds: int) -> Crowd:
        """So many of them, each for so many rounds."""
        members = []
        for number in range(count):
            told = home / f"told-{number}.json"
            process = FORKSERVER.Process(target=work, args=(url, home, number, rounds, told))
            process.start()
            members.append((process, told))
        return cls(members)

    def at_work(self) -> bool:
        """Whether one of them is."""
        return any(process.exitcode is None for process, _ in self.members)

    def told(self, seconds_max: float = 900) -> list[Told]:
        """What they were told, when all have ended."""
        for process, _ in self.members:
            process.join(seconds_max)
            assert process.exitcode == 0, process
        written = [json.loads(path.read_text()) for _, path in self.members]
        return [Told(**{**each, "failures": Counter(each["failures"])}) for each in written]


def judge(url: str, home: Path, told: Sequence[Told]) -> list[str]:
    """What in the ledger is not as it told them; empty if all is."""
    with Ledger.open(url, home, auditing=AUDITING) as ledger:
        verdict = verifying.verify(ledger.audit, {})
        runs = {each.run: each for each in ledger.runs(limit=1_000_000)}
        done = {each.number for each in ledger.schedules.slots("p", limit=1_000_000) if each.state is SlotState.DONE}
        marks = Counter(
            each.event.on["mark"] for each in ledger.audit.newest(1_000_000, "data.query") if "mark" in each.event.on
        )
    published = {number for number, run in runs.items() if run.status is RunStatus.PUBLISHED}
    faults = list(verdict.findings)
    said = [number for each in told for _, number in each.published]
    faults += [f"run {each} was told to be published, and is not" for each in set(said) - published]
    faults += [f"run {each} was told to be published twice" for each in said if said.count(each) > 1]
    unknown = sum(each.unknown for each in told) + sum(each.failures.get("DeadlineExceeded", 0) for each in told)
    entries = Counter(mark for each in told for mark in each.entries)
    lost = {mark for each in told for mark in each.lost}
    faults += [
        f"entry {mark} was told to be written, and is there {marks[mark]} times" for mark in entries if marks[mark] != 1
    ]
    faults += [f"entry {mark} was told not to be written, and is there" for mark in lost if marks[mark]]
    slots = sorted(slot for each in told for slot in each.slots)
    faults += [f"slot {each} was answered twice" for each in set(slots) if slots.count(each) > 1]
    faults += [f"slot {each} was told to be answered, and is not" for each in set(slots) - done]
    if not 0 <= len(done) - len(slots) <= unknown:
        faults.append(f"{len(done)} slots are answered, says the ledger; {len(slots)} were, say they who answered")
    return faults


def work(url: str, home: Path, number: int, rounds: int, path: Path) -> None:
    """Works for so many rounds, then writes down what it was told. After a failure it opens the ledger anew."""
    told, chance = Told(), random.Random(number)
    while rounds > 0:
        try:
            with Ledger.open(url, home, auditing=AUDITING) as ledger:
                member = Member(ledger, chance, told)
                answered = True
                while rounds > 0 and answered:
                    answered = member.round()
                    rounds -= 1
        except (DatabaseError, RetryError) as error:  # it was away when it was to be opened
            told.failures[type(error).__name__] += 1
    path.write_text(json.dumps(vars(told)))

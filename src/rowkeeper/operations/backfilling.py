"""`rowkeeper schedule backfill`: the slots of a range, answered in order, each by a run in a process of its own.

Which slots there are, and which are answered, stands in the ledger. So a backfill that died is gone on with by giving
the command again, and a slot is answered once, whoever answers it: the worker, this command, or its successor.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from rowkeeper.access import of_pipeline
from rowkeeper.errors import BackfillStopped, BackfillUnfit, RunInterrupted, UnknownSchedule
from rowkeeper.ledger import Lease, SlotRecord, SlotState
from rowkeeper.ledger.backfills import backfill_lease
from rowkeeper.operations.worker.attempt import Child, Ended
from rowkeeper.operations.worker.duty import slot_words
from rowkeeper.operations.worker.pausing import Judgement, judge
from rowkeeper.pipeline import Pipeline
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.workspace import Workspace
from rowkeeper.schedule import Due, Timing

SLOTS_MAX = 10_000
EARLIEST = datetime(1800, 1, 1, tzinfo=UTC)  # before that, times overflow where schedules look back
TRIES_MAX = 5
LOOK_SECONDS = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class Filling:
    """How a backfill stands.

    Attributes:
        slots: how many the range has.
        before: of these, those that were answered before the command was given.
        done: those that it has answered.
        left: those that are the worker's to answer, as they are due by themselves.
        now: the slot that is being answered, or was last.
        waits: why it is not begun yet; empty: it is.
    """

    pipeline: str
    slots: int
    before: int
    done: int = 0
    left: int = 0
    now: SlotRecord | None = None
    waits: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        counts = {"slots": self.slots, "answered_before": self.before, "done": self.done, "left_to_worker": self.left}
        return {"status": "filled", "pipeline": self.pipeline, **counts}


Watcher = Callable[[Filling], None]
Pause = Callable[[float], bool]
"""Waits so many seconds; False if it is to end."""


def backfill(
    pipeline: Pipeline,
    workspace: Workspace,
    since: datetime,
    until: datetime,
    *,
    observe: Watcher,
    pause: Pause,
    chance: random.Random,
) -> Filling:
    """Answers the slots that lie within a range and have not been answered.

    Raises:
        AccessDenied: the caller may not have slots filled.
        BackfillUnfit: the pipeline has no slots, or the range has none that can be filled.
        LeaseHeld: another backfill of the pipeline is under way.
        BackfillStopped: the run of a slot failed; those before it are answered.
        RunInterrupted: it was told to stop.
    """
    workspace.access.require("schedule.change", of_pipeline(pipeline.name))
    timing, dues = slots_within(pipeline, workspace, since, until)
    with _held(workspace, pipeline.name) as hold:
        asked = workspace.ledger.backfills.ask(hold.lease, pipeline.name, dues)
        due = [each for each in asked if each.state is SlotState.DUE]
        ours = [each for each in due if each.cause == "backfill"]
        stands = Filling(pipeline.name, len(dues), len(dues) - len(due), left=len(due) - len(ours))
        observe(stands)
        for each in ours:
            stands = dataclasses.replace(stands, now=each)
            filler = _Filler(pipeline, timing, workspace, hold, pause, chance)
            filler.fill(each, _waiting(observe, stands))
            failpoint("backfill.after_slot")
            stands = dataclasses.replace(stands, done=stands.done + 1)
            observe(stands)
    return stands


def _waiting(observe: Watcher, stands: Filling) -> Callable[[str], None]:
    """Tells why the slot that is next is not begun yet."""

    def waits(why: str) -> None:
        observe(dataclasses.replace(stands, waits=why))

    return waits


def slots_within(
    pipeline: Pipeline, workspace: Workspace, since: datetime, until: datetime
) -> tuple[Timing, Sequence[Due]]:
    """What a range holds: the slots that begin and end within it. Raises BackfillUnfit."""
    timing = pipeline.timing
    instants = None if timing is None else timing.instants
    if timing is None or instants is None:
        raise BackfillUnfit(
            f"pipeline {pipeline.name} has no schedule with instants, so there are no slots to fill",
            hint='such as schedule="0 6 * * *"; without one, rowkeeper run FILE --slot SINCE/UNTIL runs an interval',
        )
    now = datetime.now(UTC)
    _check_range(pipeline.name, since, until, min(now, _kept_until(pipeline.name, timing, workspace) or now))
    first = instants.latest_until(since)
    begin = first if first == since else instants.next_after(since)
    ends = list(islice(instants.between(begin, until), SLOTS_MAX + 1))
    if not ends:
        raise BackfillUnfit(
            f"no slot of {pipeline.name} begins and ends within this range",
            hint="rowkeeper schedule list FILE shows when it is due",
        )
    if len(ends) > SLOTS_MAX:
        raise BackfillUnfit(
            f"the range has more than {SLOTS_MAX:,} slots of {pipeline.name}", hint="fill it in several pieces"
        )
    return timing, [Due(before, end, now) for before, end in zip([begin, *ends], ends, strict=False)]


def _check_range(name: str, since: datetime, until: datetime, last: datetime) -> None:
    """Whether slots of this range can be asked for at all. Raises BackfillUnfit."""
    if until <= since or since < EARLIEST:
        raise BackfillUnfit(
            "the range ends before it begins"
            if until <= since
            else f"the range begins before the year {EARLIEST.year}",
            hint="its beginning comes first, then its end: 2025-11-01 2025-12-01",
        )
    if until > last:
        raise BackfillUnfit(
            f"the slots of {name} after {last.isoformat(timespec='seconds')} are still to come by themselves",
            hint=f"fill up to {last.isoformat(timespec='seconds')} at the latest",
        )


def _kept_until(name: str, timing: Timing, workspace: Workspace) -> datetime | None:
    """Up to where a worker has taken the slots down, if it was given this schedule."""
    try:
        record = workspace.ledger.schedules.find(name)
    except UnknownSchedule:
        return None
    return record.kept_until if record.timing.has_instants_of(timing) else None


@dataclasses.dataclass
class _Hold:
    """The lease under which slots are filled, held on to."""

    workspace: Workspace
    lease: Lease
    _renew_at: float = 0.0

    def keep(self) -> None:
        """Renews it in time. Raises LeaseLost."""
        seconds = self.workspace.settings.lease_seconds
        if time.monotonic() >= self._renew_at:
            self._renew_at = time.monotonic() + seconds / 3
            self.lease = self.workspace.ledger.renew_lease(self.lease, seconds)


@contextmanager
def _held(workspace: Workspace, pipeline: str) -> Iterator[_Hold]:
    seconds = workspace.settings.lease_seconds
    hold = _Hold(workspace, workspace.ledger.acquire_lease(backfill_lease(pipeline), seconds))
    try:
        yield hold
    finally:
        workspace.ledger.release_lease(hold.lease)


@dataclasses.dataclass
class _Filler:
    """Answers one slot, however many attempts that takes."""

    pipeline: Pipeline
    timing: Timing
    workspace: Workspace
    hold: _Hold
    pause: Pause
    chance: random.Random

    def fill(self, slot: SlotRecord, waits: Callable[[str], None]) -> None:
        """Raises BackfillStopped, RunInterrupted."""
        failures = 0
        while True:
            waits("")
            found = self._attempt(slot, failures)
            if found.answered and not found.failures:
                self._note(slot, SlotState.DONE, found)
                return
            if found.answered or found.failures >= TRIES_MAX:
                self._note(slot, SlotState.FAILED, found)
                raise BackfillStopped(
                    f"the slot of {slot.pipeline} until {slot.until:%Y-%m-%d %H:%M:%S} UTC: {found.told}",
                    hint="mend that, and give the command again: it goes on with this slot",
                    context={"slot": slot.number, "outcome": found.outcome, "code": found.code},
                )
            failures = found.failures
            waits(found.told or found.outcome)
            self._wait(found.pause_seconds)

    def _attempt(self, slot: SlotRecord, failures: int) -> Judgement:
        self.hold.keep()
        self.workspace.ledger.backfills.begin(self.hold.lease, slot.number)
        words = ["run", f"{self.pipeline.file}:{self.pipeline.name}", *slot_words(slot, self.timing)]
        child = Child(words, self.workspace.settings.worker_run_seconds_max, quiet=True)
        found = judge(self._ended(child), failures, stopping=False, source=self.chance)
        if not found.answered and self.workspace.ledger.backfills.slot(slot.number).state is SlotState.DONE:
            return Judgement("published")  # its process died after the publish
        return found

    def _ended(self, child: Child) -> Ended:
        """Waits for it. What is told to stop passes that on, and waits until it has stopped."""
        stopping = False
        try:
            while (ended := child.ended()) is None:
                if not stopping and not self.pause(LOOK_SECONDS):
                    stopping = True
                    child.stop()
                elif stopping:
                    time.sleep(LOOK_SECONDS)
                self.hold.keep()
        finally:
            child.kill()
        if stopping:
            raise self._stopped()
        return ended

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not self.pause(LOOK_SECONDS):
                raise self._stopped()
            self.hold.keep()

    def _stopped(self) -> RunInterrupted:
        return RunInterrupted(
            f"the backfill of {self.pipeline.name} was stopped", hint="give the command again: it goes on from here"
        )

    def _note(self, slot: SlotRecord, state: SlotState, found: Judgement) -> None:
        self.workspace.ledger.backfills.end(self.hold.lease, slot.number, state, found.outcome, found.told)

"""One pipeline in a worker's care: when it is due, the run that answers, and what is noted of it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
import time
from datetime import UTC, datetime, timedelta

from rowkeeper.errors import LeaseHeld, LeaseLost
from rowkeeper.ledger import Lease, Ledger, ScheduleRecord, SlotRecord, SlotState, Started, lease_name
from rowkeeper.operations.worker.attempt import Attempt, Child, Ended, Orphan
from rowkeeper.operations.worker.files import Declared, State, Tell
from rowkeeper.operations.worker.pausing import Judgement, judge, judge_following
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.schedule import Slot, Timing, delay_of

STAND_BY_SECONDS = 5.0
QUIET_SECONDS = 5.0


def next_at(record: ScheduleRecord, now: datetime) -> datetime | None:
    """When it is tried next; not later than `now`: it is due. None while only others' publishes can make it due."""
    found = _made_due_at(record, now)
    return found if found is None or record.try_after is None else max(found, record.try_after)


def _made_due_at(record: ScheduleRecord, now: datetime) -> datetime | None:
    if record.due is not None:
        return record.due.not_before
    if record.timing.follows or record.follows_a_publish:
        return now
    instants = record.timing.instants
    if instants is None:
        return None
    instant = instants.next_after(record.kept_until)
    return instant + delay_of(record.pipeline, instant, record.timing.jitter_seconds)


def slot_words(slot: SlotRecord, timing: Timing) -> list[str]:
    """The options of `run` by which it is for a slot, whose times are told in the schedule's own zone."""
    zone = UTC if timing.instants is None else timing.instants.zone
    seen = Slot(slot.since.astimezone(zone), slot.until.astimezone(zone))
    return ["--slot", seen.text, "--answers", str(slot.number)]


@dataclasses.dataclass
class Duty:
    """A pipeline in this worker's care, as long as it holds the lease on its schedule.

    Attributes:
        attempt: the run under way.
        urgent: a run of it died; it is gone on with, whatever the schedule.
    """

    declared: Declared
    ledger: Ledger
    tell: Tell
    lease_seconds: float
    run_seconds_max: float
    source: random.Random
    attempt: Attempt | None = None
    urgent: bool = False
    _lease: Lease | None = None
    _lease_next: float = 0.0
    _slot: SlotRecord | None = None
    _failures: int = 0
    _begun: float = 0.0
    _quiet_until: float = 0.0
    _asked_to_stop: bool = False
    _following: bool = False
    _version: State = None

    @property
    def name(self) -> str:
        """Of the pipeline."""
        return self.declared.pipeline

    @property
    def follows(self) -> bool:
        """Whether it follows a stream: its attempt has no end, and is none of those that are counted."""
        return self.declared.timing.follows if self.attempt is None else self._following

    def hold(self) -> None:
        """Takes the lease and holds on to it; while another worker has it, this one stands by.

        Raises FrameworkError if the ledger refused, LeaseLost if another worker took over.
        """
        if time.monotonic() < self._lease_next:
            return
        name = lease_name(self.name)
        if self._lease is not None:
            self._lease_next = time.monotonic() + self.lease_seconds / 3
            try:
                self._lease = self.ledger.renew_lease(self._lease, self.lease_seconds)
            except LeaseLost:
                self._lease = None
                if self.follows:
                    self.stop()  # the other follows
                raise
            return
        self._lease_next = time.monotonic() + min(STAND_BY_SECONDS, self.lease_seconds / 3)
        if not self.ledger.lease_alive(name):
            with contextlib.suppress(LeaseHeld):  # another was faster
                self._lease = self.ledger.acquire_lease(name, self.lease_seconds)
            failpoint("worker.after_lease")

    def let_go(self) -> None:
        """Gives the lease back, for another worker. Raises FrameworkError if the ledger refused."""
        lease, self._lease = self._lease, None
        if lease is not None:
            self.ledger.release_lease(lease)

    def heed(self, record: ScheduleRecord) -> None:
        """A stream is not followed any more if its schedule is paused, and followed anew if its file changed."""
        changed = self._version is not None and self._version != self.declared.version
        if self.follows and self.attempt is not None and not self._asked_to_stop and (record.paused or changed):
            self.stop()

    def wants(self, record: ScheduleRecord, now: datetime) -> bool:
        """Whether it should be started now."""
        if self.attempt is not None or self._lease is None or time.monotonic() < self._quiet_until:
            return False
        if record.under_way is not None:
            return True  # a worker died over it
        if record.paused is not None or (record.try_after is not None and record.try_after > now):
            return False
        due = next_at(record, now)
        return self.urgent or (due is not None and due <= now)

    def start(self, record: ScheduleRecord) -> None:
        """Starts to answer the next slot; what a dead worker's child does, or has done, is seen to first.

        Raises FrameworkError or OSError if it could not.
        """
        self._quiet_until = time.monotonic() + QUIET_SECONDS  # whatever goes wrong, the next try is not at once
        self._failures = record.failures
        self._asked_to_stop = False
        self._following = self.declared.timing.follows
        if record.under_way is not None:
            self._slot = None if record.slot is None else self.ledger.schedules.slot(record.slot)
            self.attempt = Orphan(record.under_way, self._seconds_max)
            self._begun = time.monotonic()
            if record.under_way.process() is not None:
                self.tell("adopted", pipeline=self.name, pid=self.attempt.pid)
            if self.follows:
                self.stop()  # by which file it follows is not known: it is begun anew
            return
        if self._lease is None:
            return
        self._slot = None if self.follows else self.ledger.schedules.come_due(self._lease, self.name)
        if self._slot is not None and self._slot.not_before > datetime.now(UTC) and not self.urgent:
            self._quiet_until = 0.0
            return
        if self._slot is None and not self.follows and not self.urgent:
            self._quiet_until = 0.0
            return  # all that came due was passed over
        failpoint("worker.before_start")
        self._begun, self._version = time.monotonic(), self.declared.version
        self.attempt = Child(self._words(), self._seconds_max, answers=not self.follows)
        failpoint("worker.after_start")
        told = {} if self._slot is None else {"slot": self._slot.until.isoformat()}
        self.tell("started", pipeline=self.name, pid=self.attempt.pid, **told)
        number = None if self._slot is None else self._slot.number
        self.ledger.schedules.begin(self._lease, self.name, Started.of(self.attempt.pid), number)

    @property
    def _seconds_max(self) -> float:
        return math.inf if self.follows else self.run_seconds_max

    def _words(self) -> list[str]:
        words = ["run", f"{self.declared.file}:{self.name}"]
        if self.follows:
            return [*words, "--follow"]
        return words if self._slot is None else [*words, *slot_words(self._slot, self.declared.timing)]

    def look(self) -> None:
        """Notes the end of the run, if it has come. Raises FrameworkError if it could not be noted: it is due again."""
        attempt = self.attempt
        ended = attempt.ended() if attempt is not None else None
        if attempt is None or ended is None:
            return
        found = self._judged(ended)
        self.attempt = None
        self._quiet_until = time.monotonic() + QUIET_SECONDS
        self.urgent = self.urgent and found.outcome == "busy"
        why = {name: word for name, word in (("error", found.told), ("code", found.code)) if word}
        self.tell("ended", pipeline=self.name, pid=attempt.pid, outcome=found.outcome, **why)
        failpoint("worker.before_note")
        if self._lease is None:
            return  # another worker has taken over, and finds out
        answered = SlotState.FAILED if found.failures else SlotState.DONE
        self.ledger.schedules.end(
            self._lease,
            self.name,
            found.outcome,
            slot=None if self._slot is None else self._slot.number,
            state=answered if found.answered else SlotState.DUE,
            told=found.told,
            failures=found.failures,
            try_after=datetime.now(UTC) + timedelta(seconds=found.pause_seconds) if found.pause_seconds else None,
        )
        self._quiet_until = 0.0

    def _judged(self, ended: Ended) -> Judgement:
        """What the end means. What nobody heard of it, and what was lost after the publish, stands at the slot.

        Raises FrameworkError if the ledger refused.
        """
        stopping = self._asked_to_stop
        if self.follows:
            seconds = time.monotonic() - self._begun
            return judge_following(ended, self._failures, stopping=stopping, seconds=seconds, source=self.source)
        found = judge(ended, self._failures, stopping=stopping, source=self.source)
        if found.answered or self._slot is None:
            return found
        slot = self.ledger.schedules.slot(self._slot.number)
        return Judgement(slot.outcome) if slot is not None and slot.state is SlotState.DONE else found

    def stop(self) -> None:
        """Tells the run to stop."""
        if self.attempt is not None:
            self._asked_to_stop = True
            self.attempt.stop()

    def kill(self) -> None:
        """Ends the run at once."""
        if self.attempt is not None:
            self.attempt.kill()

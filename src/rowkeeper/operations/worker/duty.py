"""One scheduled pipeline: when it is due, the run that answers, and what is noted of it."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import time
from datetime import UTC, datetime, timedelta

from rowkeeper.errors import LeaseHeld, LeaseLost
from rowkeeper.ledger import Lease, Ledger, ScheduleRecord, Started, lease_name
from rowkeeper.operations.worker.attempt import Attempt, Child, Orphan
from rowkeeper.operations.worker.files import Declared, Tell
from rowkeeper.operations.worker.pausing import judge
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.schedule import Schedule

STAND_BY_SECONDS = 5.0
QUIET_SECONDS = 5.0


def next_at(record: ScheduleRecord) -> datetime:
    """When it is tried next. In the past: it is due."""
    due = Schedule.parse(record.schedule).next_after(record.kept_until)
    return max(due, record.try_after) if record.try_after else due


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
    _begun: datetime | None = None
    _failures: int = 0
    _quiet_until: float = 0.0
    _asked_to_stop: bool = False

    @property
    def name(self) -> str:
        """Of the pipeline."""
        return self.declared.pipeline

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

    def wants(self, record: ScheduleRecord, now: datetime) -> bool:
        """Whether it should be started now."""
        if self.attempt is not None or self._lease is None or time.monotonic() < self._quiet_until:
            return False
        if record.try_after is not None and record.try_after > now:
            return False
        return self.urgent or next_at(record) <= now

    def start(self, record: ScheduleRecord) -> None:
        """Starts to answer; goes on with what a dead worker's child does, if that is alive.

        Raises FrameworkError or OSError if it could not.
        """
        self._quiet_until = time.monotonic() + QUIET_SECONDS  # whatever goes wrong, the next try is not at once
        self._failures = record.failures
        self._asked_to_stop = False
        if record.under_way is not None and record.under_way.process() is not None:
            self.attempt = Orphan(record.under_way, self.run_seconds_max)
            self.tell("adopted", pipeline=self.name, pid=self.attempt.pid)
            return
        self._begun = datetime.now(UTC)
        self.attempt = Child(["run", f"{self.declared.file}:{self.name}"], self.run_seconds_max)
        failpoint("worker.after_start")
        self.tell("started", pipeline=self.name, pid=self.attempt.pid)
        if self._lease is not None:
            self.ledger.schedules.begin(self._lease, self.name, Started.of(self.attempt.pid))

    def look(self) -> None:
        """Notes the end of the run, if it has come. Raises FrameworkError if it could not be noted: it is due again."""
        attempt = self.attempt
        ended = attempt.ended() if attempt is not None else None
        if attempt is None or ended is None:
            return
        self.attempt = None
        self._quiet_until = time.monotonic() + QUIET_SECONDS
        found = judge(ended, self._failures, stopping=self._asked_to_stop, source=self.source)
        self.urgent = self.urgent and found.outcome == "busy"
        why = {name: word for name, word in (("error", found.told), ("code", found.code)) if word}
        self.tell("ended", pipeline=self.name, pid=attempt.pid, outcome=found.outcome, **why)
        failpoint("worker.before_note")
        if self._lease is None:
            return  # another worker has taken over, and finds out
        self.ledger.schedules.end(
            self._lease,
            self.name,
            found.outcome,
            told=found.told,
            kept_until=self._begun if found.answered else None,
            failures=found.failures,
            try_after=datetime.now(UTC) + timedelta(seconds=found.pause_seconds) if found.pause_seconds else None,
        )
        self._quiet_until = 0.0

    def stop(self) -> None:
        """Tells the run to stop."""
        if self.attempt is not None:
            self._asked_to_stop = True
            self.attempt.stop()

    def kill(self) -> None:
        """Ends the run at once."""
        if self.attempt is not None:
            self.attempt.kill()

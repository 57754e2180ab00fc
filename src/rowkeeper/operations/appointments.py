"""What the installation does at times of its own: kept once for each time, however many workers ask for it.

The command that does the work keeps the appointment, not the worker that starts it: it holds the lease from before it
looks whether there is anything to do until it has noted how that ended. So a worker that dies leaves a command that
ends what it began, and nobody begins it a second time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from rowkeeper.errors import FrameworkError
from rowkeeper.ledger import Lease, Ledger
from rowkeeper.ledger.appointments import Appointment, appointment_lease
from rowkeeper.logs import failure, logger
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.hold import leased
from rowkeeper.settings import OFF, Settings

log = logger("appointments")
T = TypeVar("T")
PAUSE_SECONDS_FIRST, PAUSE_SECONDS_MAX = 60.0, 3600.0


def keep(
    ledger: Ledger,
    settings: Settings,
    name: str,
    work: Callable[[], T],
    failed: Callable[[T], str],
    *,
    due: Callable[[Appointment], bool] | None = None,
) -> T | None:
    """Does the work, under the appointment's lease, and notes how it ended.

    Args:
        failed: what went wrong, by what the work returned; empty for nothing.
        due: whether there is anything to do, asked under the lease; None for whoever asks for it.

    Returns None if it is not due. Raises LeaseHeld if it is being kept now, and whatever the work raises.
    """
    with leased(ledger, appointment_lease(name), settings.lease_seconds) as lease:
        found = ledger.appointments.of(name)
        if due is not None and not due(found):
            return None
        begun, published = datetime.now(UTC), ledger.appointments.newest_publish()
        ledger.appointments.begin(lease, name)
        failpoint("appointment.after_begin")
        try:
            result = work()
            told = failed(result)
        except FrameworkError as error:
            with noting():
                _note_failure(ledger, lease, found, error.what)
            raise
        failpoint("appointment.before_end")
        if told:
            _note_failure(ledger, lease, found, told)
        else:
            ledger.appointments.end(lease, name, "done", kept_until=begun, publish_order=published)
        return result


@contextmanager
def noting() -> Iterator[None]:
    """For what is noted of a failure, which may be that of the ledger itself: the first error is the one to be told."""
    try:
        yield
    except FrameworkError as error:
        log.warning("failure not noted", **failure(error))


def _note_failure(ledger: Ledger, lease: Lease, found: Appointment, told: str) -> None:
    """It is tried again after a pause: a minute, then twice as long each time, up to an hour."""
    failures = found.failures + 1
    longest = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_FIRST * 2.0 ** min(found.failures, 16))
    pause = timedelta(seconds=longest * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
    after = datetime.now(UTC) + pause
    ledger.appointments.end(lease, found.name, "failed", told=told, failures=failures, try_after=after)


def is_paused(found: Appointment, now: datetime) -> bool:
    """Whether an attempt failed not long ago."""
    return found.try_after is not None and found.try_after > now


def is_due(schedule: str, found: Appointment, *, now: datetime) -> bool:
    """Whether a time of the schedule has come since it was kept last, and no pause after a failure goes on."""
    if schedule == OFF or is_paused(found, now):
        return False
    from rowkeeper.schedule import Schedule  # noqa: PLC0415 - whoever is not asked whether it is due needs none

    return Schedule.parse(schedule).next_after(found.kept_until) <= now

"""Which slots have come due, and which are passed over: the policies of a schedule, as a function of times alone.

The slots of a pipeline's schedule lie side by side: each begins where the one before it ended, and every instant of the
schedule is in one of them. A slot that answers several instants (`catch_up="once"`) is as long as they are together.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from rowkeeper.schedule.instants import TICK, Schedule
from rowkeeper.schedule.timing import LATE_SECONDS, Timing

SLOTS_MAX = 1_000  # at once; what is beyond comes next time
MISSED = "it was missed"
TOO_OLD = "it was missed, and is too old to be caught up with"
OVERLAPPED = "it came due while the one before it was under way"


@dataclasses.dataclass(frozen=True, slots=True)
class Due:
    """A slot that has come due, or that is passed over.

    Attributes:
        since, until: its interval; `until` is an instant of the schedule, `since` the one before its first.
        not_before: when it may be begun: after its jitter.
        why_skipped: why it is passed over; empty: it is to be answered.
    """

    since: datetime
    until: datetime
    not_before: datetime
    why_skipped: str = ""


def delay_of(pipeline: str, until: datetime, jitter_seconds: float) -> timedelta:
    """A slot's share of the jitter, from 0 up to it: the same for every worker that asks."""
    said = hashlib.sha256(f"{pipeline} {until.timestamp():.6f}".encode()).digest()
    return timedelta(seconds=jitter_seconds * int.from_bytes(said[:8]) / 2**64)


def come_due(
    pipeline: str,
    timing: Timing,
    kept_until: datetime,
    now: datetime,
    *,
    busy: tuple[datetime, datetime] | None = None,
) -> list[Due]:
    """The slots of the instants after `kept_until` and up to `now`, in order.

    Args:
        busy: from when to when the last run was under way, where that is over.
    """
    instants = timing.instants
    if instants is None or instants.next_after(kept_until) > now:
        return []
    since = instants.latest_until(instants.next_after(kept_until) - TICK) or kept_until
    found: list[Due] = []
    for until, why in islice(_judged(timing, instants, kept_until, now, busy), SLOTS_MAX):
        delay = delay_of(pipeline, until, timing.jitter_seconds)
        found.append(Due(since, until, until + delay, why))
        since = until
    return found


def _judged(
    timing: Timing, instants: Schedule, kept_until: datetime, now: datetime, busy: tuple[datetime, datetime] | None
) -> Iterator[tuple[datetime, str]]:
    """The last instant of each slot, and why it is passed over; empty: it is not."""
    start = kept_until
    if timing.catch_up == "none":
        start = max(start, _not_missed_since(timing, instants, now, busy))
        yield from _together(instants, kept_until, start, MISSED)
    elif timing.within_seconds is not None:
        start = max(start, now - timedelta(seconds=timing.within_seconds) - TICK)
        yield from _together(instants, kept_until, start, TOO_OLD)
    if timing.overlap == "skip" and busy is not None and busy[1] > start:
        begun, ended = max(busy[0], start), min(busy[1], now)
        yield from _each(timing, instants, start, begun)
        yield from _together(instants, begun, ended, OVERLAPPED)
        start = ended
    yield from _each(timing, instants, start, now)


def _not_missed_since(
    timing: Timing, instants: Schedule, now: datetime, busy: tuple[datetime, datetime] | None
) -> datetime:
    """Up to when instants were missed, where those that were are not answered."""
    newest = instants.latest_until(now)
    if newest is None:
        return now
    if busy is not None and busy[0] < newest <= busy[1]:
        return busy[0]  # nobody missed what came since: it waited for a run
    late = LATE_SECONDS if timing.within_seconds is None else timing.within_seconds
    return newest - TICK if (now - newest).total_seconds() <= late else now


def _each(timing: Timing, instants: Schedule, after: datetime, until: datetime) -> Iterator[tuple[datetime, str]]:
    """One slot for each instant, or one for all of them."""
    if timing.catch_up == "all":
        return ((each, "") for each in instants.between(after, until))
    return _together(instants, after, until, "")


def _together(instants: Schedule, after: datetime, until: datetime, why: str) -> Iterator[tuple[datetime, str]]:
    """One slot for all instants after one moment and up to another; none if there are none."""
    last = instants.latest_until(until) if until > after else None
    if last is not None and last > after:
        yield last, why

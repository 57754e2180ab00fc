"""Maintenance windows, that come again, and silences, that somebody set: alerts in them are not told to anybody."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from rowkeeper.ledger.alerts import SilenceRecord
from rowkeeper.operations.alerts.matching import Matcher, all_hold
from rowkeeper.schedule import Schedule


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """A maintenance window.

    Attributes:
        begins: the instants at which it begins, with a time zone of its own.
        lasts: how long it is, in time that passes: an hour that a clock repeats counts twice.
        matchers: of the alerts that it is for.
    """

    name: str
    begins: Schedule
    lasts: timedelta
    matchers: tuple[Matcher, ...] = ()

    def is_open(self, now: datetime) -> bool:
        """Whether it has begun, and not ended: the first beginning after `now - lasts` is not later than now."""
        return self.begins.next_after(now - self.lasts) <= now


def silenced_by(
    labels: Mapping[str, str], windows: Sequence[Window], silences: Sequence[SilenceRecord], now: datetime
) -> str:
    """The first silence or window that an alert falls under, for people; empty if there is none."""
    for silence in silences:
        holds = silence.ended_at is None and silence.made_at <= now < silence.until
        if holds and all_hold([Matcher.parse(each) for each in silence.matchers], labels):
            return f"silence {silence.number}"
    for window in windows:
        if all_hold(window.matchers, labels) and window.is_open(now):
            return f"window {window.name}"
    return ""

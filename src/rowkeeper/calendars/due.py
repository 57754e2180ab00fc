"""The hour by which a table has to be there, day by day.

Local times: one that a change to summer time skips is an hour later on that day; one that is said twice on the day of
the change back is the first.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from rowkeeper.calendars.calendar import EVERY_DAY, WEEKDAYS, Calendar, calendar_of, weekdays_of
from rowkeeper.calendars.zones import zone_of
from rowkeeper.errors import DeclarationError

CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
DAYS = re.compile(rf"(?:{'|'.join(WEEKDAYS)})[a-z,-]*")  # three letters more or less: UTC is a zone
HINT = 'such as due="06:00 Europe/Berlin", due="06:00 mon-fri Europe/Berlin" or rk.Due("06:00", calendar="DE")'
SEEN_DAYS = 400  # a calendar without an open day in so long has none


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """One day's deadline.

    Attributes:
        opens: what is published from then on is this day's.
        due: by when; both in UTC.
    """

    opens: datetime
    due: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class _Rule:
    """What a deadline's text and arguments say."""

    by: time
    weekdays: frozenset[int]
    zone: ZoneInfo
    after: time
    calendar: Calendar | None


@dataclasses.dataclass(frozen=True)
class Due:
    """By when a pipeline has to have published, on each day on which it is expected.

    Args:
        text: `HH:MM`, then weekdays and a time zone if wanted: `06:00 mon-fri Europe/Berlin`. Without a zone it is UTC.
        calendar: days without a deadline are left out: a code of holidays such as `DE-BY`, or an `rk.Calendar`.
        after: what is published from this local time on counts for the day; if it is later than the deadline, it is one
            of the day before.

    Raises DeclarationError if it is none.
    """

    text: str
    _: dataclasses.KW_ONLY
    calendar: str | Calendar | None = None
    after: str = "00:00"
    _rule: _Rule = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rule", _read(self))

    def next(self, now: datetime) -> Window | None:
        """The first deadline that is not over; None of a calendar without days."""
        return next((each for each in self._windows(now, 1) if each.due >= now), None)

    def last(self, now: datetime) -> Window | None:
        """The deadline that was over last; None of a calendar without days."""
        return next((each for each in self._windows(now, -1) if each.due < now), None)

    def _windows(self, now: datetime, step: int) -> Iterator[Window]:
        """Those of the days about now and onwards, in one direction."""
        day = now.astimezone(self._rule.zone).date() - step * timedelta(days=1)
        for _ in range(SEEN_DAYS):
            if self._is_expected(day):
                yield self._window(day)
            day += step * timedelta(days=1)

    def _is_expected(self, day: date) -> bool:
        calendar = self._rule.calendar
        return day.weekday() in self._rule.weekdays and (calendar is None or calendar.is_open(day))

    def _window(self, day: date) -> Window:
        before = day - timedelta(days=1) if self._rule.after >= self._rule.by else day
        return Window(self._instant(before, self._rule.after), self._instant(day, self._rule.by))

    def _instant(self, day: date, clock: time) -> datetime:
        return datetime.combine(day, clock, self._rule.zone).astimezone(UTC)


def _read(due: Due) -> _Rule:
    """What the text says. Raises DeclarationError."""
    words = due.text.split() if isinstance(due.text, str) else []
    whose = f"due {due.text!r}"
    if not words:
        raise DeclarationError(f"{due.text!r} is no deadline", hint=HINT)
    by = _clock(words.pop(0), whose)
    weekdays = words.pop(0) if words and DAYS.fullmatch(words[0].lower()) else EVERY_DAY
    if len(words) > 1:
        raise DeclarationError(f"{due.text!r} is no deadline", hint=HINT)
    zone = zone_of(words[0] if words else "UTC", whose)
    after = _clock(due.after, f"due: after={due.after!r}")
    return _Rule(by, weekdays_of(weekdays, whose), zone, after, calendar_of(due.calendar, "due"))


def _clock(text: str, whose: str) -> time:
    match = CLOCK.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise DeclarationError(f"{whose}: {text!r} is no time of day", hint=HINT)
    return time(int(match[1]), int(match[2]))

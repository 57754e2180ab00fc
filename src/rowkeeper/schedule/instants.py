"""When a pipeline is due: `every 15m`, or the five fields of cron with a time zone of its own if wanted.

A schedule is a row of instants, the same wherever and whenever it is asked: whether one was missed can be told from the
last one that was kept, without having been there.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta, tzinfo

from cronsim import CronSim, CronSimError

from rowkeeper.calendars import Calendar, zone_of
from rowkeeper.errors import DeclarationError

EVERY = re.compile(r"every\s+(\d{1,6})\s*(s|m|h|d)")
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
LOOK_BACK, LOOK_BACK_MAX = timedelta(minutes=1), timedelta(days=3_660)  # 29 February comes every 8 years at the least
SOME_YEAR, EVER = datetime(2000, 1, 1, tzinfo=UTC), timedelta(days=366 * 28)  # in 28 years dates have had all weekdays
LAST = datetime(9000, 1, 1, tzinfo=UTC)
FIELDS = 5
HINT = 'such as schedule="every 15m" (s, m, h, d), "30 6 * * 1-5" (cron, UTC) or "30 6 * * * Europe/Oslo"'


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """The instants at which a pipeline is due.

    Attributes:
        text: as it was declared.
        next_after: the first of them that is later than a given one; both aware.
        calendar: instants on other days than its own are none; None: all days count.
    """

    text: str
    next_after: Callable[[datetime], datetime] = dataclasses.field(compare=False, repr=False)
    calendar: Calendar | None = None

    @property
    def zone(self) -> tzinfo:
        """In which its days are."""
        return self.next_after.zone if isinstance(self.next_after, (_Cron, _OnDays)) else UTC

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Reads `every 15m`, or cron text.

        Intervals are counted from midnight UTC of 1970-01-01, so `every 15m` is due at :00, :15, :30 and :45. Cron text
        is in UTC unless a time zone follows it. Hours that a change to or from summer time skips or repeats are
        treated as Debian's cron treats them: a fixed time is due once that day.

        Raises DeclarationError if it is neither.
        """
        if not isinstance(text, str):
            raise DeclarationError(f"{text!r} is no schedule", hint=HINT)
        if every := EVERY.fullmatch(text.strip().lower()):
            seconds = int(every[1]) * UNIT_SECONDS[every[2]]
            if seconds == 0:
                raise DeclarationError(f"schedule {text!r}: the interval is nothing", hint=HINT)
            return cls(text, _Every(timedelta(seconds=seconds)))
        words = text.split()
        if len(words) not in (FIELDS, FIELDS + 1):
            raise DeclarationError(f"{text!r} is no schedule", hint=HINT)
        zone = zone_of(words[FIELDS], f"schedule {text!r}") if len(words) > FIELDS else UTC
        cron = _Cron(" ".join(words[:FIELDS]), zone)
        try:
            cron(EPOCH)
        except (CronSimError, StopIteration) as error:
            raise DeclarationError(f"schedule {text!r}: {error or 'it is never due'}", hint=HINT) from error
        return cls(text, cron)

    def on_days_of(self, calendar: Calendar | None) -> Schedule:
        """Those of the instants that are on days of a calendar, as the schedule's time zone has the day.

        Raises DeclarationError if its days are in no time zone, or none of them is ever such a day.
        """
        if calendar is None:
            return self
        if not isinstance(self.next_after, _Cron):
            raise DeclarationError(
                f"schedule {self.text!r} counts from 1970 and has no days of a place, so it can have no calendar",
                hint='cron text has: such as schedule="*/15 * * * * Europe/Berlin", or schedule="0 6 * * *" in UTC',
            )
        usual = dataclasses.replace(calendar, closed=(), open=())
        if _OnDays(self.next_after, usual).first(SOME_YEAR, SOME_YEAR + EVER) is None:
            raise DeclarationError(
                f"schedule {self.text!r} is never due on days of its calendar: {usual.told}", hint="change one of them"
            )
        return Schedule(self.text, _OnDays(self.next_after, calendar), calendar)

    def latest_until(self, moment: datetime) -> datetime | None:
        """The last of them that is not later than a given one; None if there was none in the ten years before it."""
        back = LOOK_BACK
        while (found := self.next_after(moment - back)) > moment:
            if back > LOOK_BACK_MAX:
                return None
            back *= 2
        if isinstance(self.next_after, _Every):
            return self.next_after.latest_until(moment)
        for each in self.between(found, moment):
            found = each
        return found

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Those that are later than the first moment and not later than the second, in order."""
        moment = self.next_after(after)
        while moment <= until:
            yield moment
            moment = self.next_after(moment)


@dataclasses.dataclass(frozen=True, slots=True)
class _Every:
    interval: timedelta

    def __call__(self, moment: datetime) -> datetime:
        return EPOCH + ((moment - EPOCH) // self.interval + 1) * self.interval

    def latest_until(self, moment: datetime) -> datetime:
        return EPOCH + ((moment - EPOCH) // self.interval) * self.interval


@dataclasses.dataclass(frozen=True, slots=True)
class _Cron:
    fields: str
    zone: tzinfo

    def __call__(self, moment: datetime) -> datetime:
        return next(CronSim(self.fields, moment.astimezone(self.zone))).astimezone(UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class _OnDays:
    cron: _Cron
    calendar: Calendar

    @property
    def zone(self) -> tzinfo:
        return self.cron.zone

    def __call__(self, moment: datetime) -> datetime:
        found = self.first(moment, LAST)
        assert found is not None, "it was asked at the declaration whether there is one"
        return found

    def first(self, after: datetime, until: datetime) -> datetime | None:
        """The first instant on a day that counts; None if there is none up to then. Days off are left out whole."""
        while (found := self.cron(after)) <= until:
            day = found.astimezone(self.zone).date()
            if self.calendar.is_open(day):
                return found
            after = datetime.combine(day + timedelta(days=1), time(), self.zone).astimezone(UTC) - TICK
        return None

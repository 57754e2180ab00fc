"""Freshness: how old a table, or one partition or key of it, may be.

`rk.fresh` stands in two places. Among the `gates` of a pipeline it judges a load: what is staged is not published if it
is old. In its `freshness` it judges the table over time, run or no run: that is what finds a pipeline that silently
stopped, or a key that is sent no more.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rowkeeper.calendars import Calendar, calendar_of, zone_of
from rowkeeper.errors import DeclarationError
from rowkeeper.measures import Figure
from rowkeeper.quality.gate import Dimension, Finding, Past, Severity, SeverityName, Verdict, column_of, severity_of
from rowkeeper.schedule import Schedule

SPAN = re.compile(r"(\d{1,6})\s*(s|m|h|d|w)")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
AHEAD = timedelta(minutes=5)
"""How far an event may be ahead of our clock: others' clocks are not ours. What is further ahead does not count."""
SEEN = timedelta(days=400)  # a schedule that is not due for so long is over


@dataclasses.dataclass(frozen=True)
class FreshRule:
    """The newest event, or the last publish, is not old. A quality gate, too, where it names a column alone.

    Attributes:
        column: of the events' times; None: the last publish counts.
        within: how old it may be; with `expected`, how long after each instant it may come.
        by: the column whose values are judged each for itself.
        expected: at which instants something new is to come.
        calendar: the days of these instants that count.
    """

    name: str
    severity: Severity
    column: str | None
    within: timedelta
    by: str | None = None
    expected: Schedule | None = None
    calendar: Calendar | None = None
    dimension: Dimension = Dimension.FRESHNESS
    of_whole_loads: bool = True

    @property
    def limit(self) -> str:
        """By what it is judged, in words."""
        if self.expected is None:
            return f"not older than {told_span(self.within)}"
        days = "" if self.calendar is None else " on days that count"
        return f"{told_span(self.within)} after each instant of {self.expected.text}{days}"

    # ------------------------------------------------------------------------------------------ over time

    def stale_since(self, newest: datetime, now: datetime) -> datetime | None:
        """From when on it is old, by what is newest; None while it is not."""
        if self.expected is None:
            return newest + self.within if newest + self.within < now else None
        missed = self._first_after(newest)
        return missed + self.within if missed is not None and missed + self.within < now else None

    def _first_after(self, newest: datetime) -> datetime | None:
        """The first instant that what is newest does not answer."""
        assert self.expected is not None
        moment = newest  # what comes at the very instant answers it
        while moment < newest + SEEN:
            moment = self.expected.next_after(moment)
            if self._counts(moment):
                return moment
        return None

    def _counts(self, moment: datetime) -> bool:
        assert self.expected is not None
        return self.calendar is None or self.calendar.is_open(moment.astimezone(self.expected.zone).date())

    # ------------------------------------------------------------------------------------------ as a gate

    @property
    def gates(self) -> bool:
        """Whether it can judge a load, of which nothing is known but its rows."""
        return self.column is not None and self.by is None and self.expected is None

    def columns(self) -> tuple[str, ...]:
        """That of the events' times, and that of the keys."""
        return tuple(each for each in (self.column, self.by) if each is not None)

    def questions(self) -> tuple[Figure]:
        """The newest event."""
        return (Figure("newest", self.column or ""),)

    def judge(self, answers: Sequence[Any], past: Past) -> Finding:
        """By its age at the time of judging. Unknown without events; an event of the future is fresh."""
        newest, threshold = answers[0], f"not older than {self.within}"
        if newest is None:
            return Finding(Verdict.UNKNOWN, threshold, "there is no event")
        age = past.now - _moment(newest)
        verdict = Verdict.GOOD if age <= self.within else Verdict.BAD
        told = f"the newest event is {timedelta(seconds=round(age.total_seconds()))} old, asked for is {threshold}"
        return Finding(verdict, threshold, told, measured=age.total_seconds())

    def offenders(self) -> None:
        """No single row is to blame."""


def fresh(
    column: str | None = None,
    *,
    within: timedelta | str,
    by: str | None = None,
    expected: str | None = None,
    calendar: str | Calendar | None = None,
    severity: SeverityName = "error",
) -> FreshRule:
    """Freshness: what is newest is not old. In `gates=` it judges a load, in `freshness=` the table over time.

    Args:
        column: a date or datetime of the contract, the events' time; without a zone it is taken as UTC, a date as its
            first instant. Without a column, what counts is when the last run was published.
        within: how old it may be: `2h`, `90m`, `1d`, or a `timedelta`.
        by: a column: each of its values is judged for itself, also one of which nothing comes any more.
        expected: instead of an age, the instants after which something new is to be there within `within`: a schedule
            such as `0 6 * * 1-5 Europe/Berlin`.
        calendar: days of the schedule on which nothing is expected are left out: a code of holidays such as `DE-BY`, or
            an `rk.Calendar`.
        severity: as a gate: `warn`, `error` or `critical`. Over time, `warn` is a warning, the others are bad.

    Raises DeclarationError for what makes no rule.
    """
    over = f" by {column_of('fresh', by)}" if by is not None else ""
    text = "" if column is None else column_of("fresh", column)
    at = f", {expected}" if expected is not None else ""
    name = f"fresh({f'{text}{over}{at}'.strip(', ')})"
    if calendar is not None and expected is None:
        raise DeclarationError(
            f"{name}: a calendar without a schedule says nothing", hint='give expected="0 6 * * *" as well'
        )
    schedule = None if expected is None else Schedule.parse(expected)
    known, span = calendar_of(calendar, name), span_of(name, within)
    return FreshRule(name, severity_of(name, severity), column, span, by, schedule, known)


@dataclasses.dataclass(frozen=True)
class CompleteDays:
    """Every day that counts has rows.

    Attributes:
        since: the first day.
        within: how long after its end a day's rows may come.
    """

    name: str
    severity: Severity
    column: str
    since: date
    zone: ZoneInfo
    within: timedelta
    calendar: Calendar | None

    @property
    def limit(self) -> str:
        """By what it is judged, in words."""
        days = "each day" if self.calendar is None else "each day that counts"
        return f"{days} since {self.since}, {told_span(self.within)} after its end"

    def columns(self) -> tuple[str, ...]:
        """That of the days."""
        return (self.column,)

    def missing(self, there: Collection[date], now: datetime) -> list[date]:
        """The days that are over, should be there and are not."""
        last = (now - self.within).astimezone(self.zone).date() - timedelta(days=1)
        days = (self.since + timedelta(days=number) for number in range((last - self.since).days + 1))
        return [each for each in days if each not in there and (self.calendar is None or self.calendar.is_open(each))]


def complete_days(
    column: str,
    *,
    since: date,
    within: timedelta | str = "1d",
    zone: str = "UTC",
    calendar: str | Calendar | None = None,
    severity: SeverityName = "error",
) -> CompleteDays:
    """Completeness over time: each day has rows in the table. For `freshness=`.

    Args:
        column: a date or datetime of the contract.
        since: the first day that is looked at.
        within: how long after the end of a day its rows may come.
        zone: in which a datetime's day is counted, such as `Europe/Berlin`.
        calendar: days on which nothing is expected are left out: a code of holidays such as `DE-BY`, or an
            `rk.Calendar`, which knows weekdays.
        severity: `warn` is a warning, `error` and `critical` are bad.

    Raises DeclarationError for what makes no rule.
    """
    name = f"complete_days({column_of('complete_days', column)})"
    if not isinstance(since, date) or isinstance(since, datetime):
        raise DeclarationError(f"{name}: since={since!r} is no date", hint="since=datetime.date(2026, 1, 1)")
    known, span = calendar_of(calendar, name), span_of(name, within)
    return CompleteDays(name, severity_of(name, severity), column, since, zone_of(zone, name), span, known)


Freshness = FreshRule | CompleteDays


def span_of(name: str, given: timedelta | str) -> timedelta:
    """A span of time that was declared. Raises DeclarationError."""
    match = SPAN.fullmatch(given.strip()) if isinstance(given, str) else None
    span = timedelta(**{UNITS[match[2]]: int(match[1])}) if match else given
    if not isinstance(span, timedelta) or span <= timedelta():
        raise DeclarationError(
            f"{name}: within={given!r} is no age", hint='such as within="2h" (s, m, h, d, w), or a timedelta(hours=2)'
        )
    return span


def told_span(span: timedelta) -> str:
    """A span in its two greatest units: `2 h`, `1 d 3 h`."""
    left = max(0, round(span.total_seconds()))
    pieces = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            pieces.append(f"{count:,} {unit}")
    return " ".join(pieces[:2]) or "0 s"


def _moment(event: date) -> datetime:
    if isinstance(event, datetime):
        return event if event.tzinfo else event.replace(tzinfo=UTC)
    return datetime(event.year, event.month, event.day, tzinfo=UTC)

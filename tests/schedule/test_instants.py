"""Schedules: the instants at which a pipeline is due."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowkeeper.calendars import Calendar
from rowkeeper.errors import DeclarationError
from rowkeeper.schedule import Schedule, instants
from tests.extent import examples

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("every 15m", datetime(2026, 11, 23, 12, 15, tzinfo=UTC)),
        ("every 40s", datetime(2026, 11, 23, 12, 0, 40, tzinfo=UTC)),
        ("every 1d", datetime(2026, 11, 24, tzinfo=UTC)),
        ("30 6 * * 1-5", datetime(2026, 11, 24, 6, 30, tzinfo=UTC)),
        ("30 6 * * * Europe/Oslo", datetime(2026, 11, 24, 5, 30, tzinfo=UTC)),
        ("0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_the_next_instant(text: str, due: datetime):
    """Intervals are counted from 1970, cron text is in UTC or in the time zone that follows it."""
    assert Schedule.parse(text).next_after(NOON) == due


def test_a_time_that_summer_time_skips_comes_once():
    """02:30 does not exist in Oslo on 2026-03-29: it is due at 03:00 summer time, and not twice in autumn."""
    schedule = Schedule.parse("30 2 * * * Europe/Oslo")
    spring = schedule.next_after(datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert spring == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    autumn = schedule.next_after(datetime(2026, 10, 24, 12, tzinfo=UTC))
    assert schedule.next_after(autumn) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@given(
    st.sampled_from(["every 90s", "every 3h", "*/7 3 * * *", "0 12 * * 0 America/New_York"]),
    st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1), timezones=st.just(UTC)),
)
def test_instants_only_go_forward(text: str, moment: datetime):
    """The next instant is later, and nothing lies between it and the one before."""
    schedule = Schedule.parse(text)
    first = schedule.next_after(moment)
    assert moment < first < schedule.next_after(first)
    assert schedule.next_after(moment + (first - moment) / 2) == first


@pytest.mark.parametrize(
    "text",
    ["", "every", "every 0m", "every 5 years", "61 * * * *", "* * * *", "0 0 30 2 *", "@daily", 5],
)
def test_what_is_no_schedule_is_refused(text: str):
    """With a hint that shows what one looks like."""
    with pytest.raises(DeclarationError) as refused:
        Schedule.parse(text)
    assert "every 15m" in refused.value.hint


@pytest.mark.parametrize(
    ("zone", "hint"), [("Berlin", "Europe/Berlin"), ("europe/oslo", "Europe/Oslo"), ("Nowhere/At/All", "IANA")]
)
def test_a_time_zone_that_is_none_is_refused_with_what_was_meant(zone: str, hint: str):
    """A city, a name in small letters; or where names are from."""
    with pytest.raises(DeclarationError, match=f"no time zone {zone}") as refused:
        Schedule.parse(f"0 6 * * * {zone}")
    assert hint in refused.value.hint


ZONES = st.sampled_from(
    ["Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca", "Asia/Tehran"]
)
DAYS = st.dates(min_value=date(2010, 1, 1), max_value=date(2030, 1, 1))


@settings(max_examples=examples(12, 500), deadline=None)
@given(ZONES, DAYS, st.integers(0, 23), st.integers(0, 59))
def test_a_fixed_time_comes_once_each_day_whatever_the_clocks_do(zone: str, first: date, hour: int, minute: int):
    """Also on the days that skip it, and on those that have it twice: never twice and never not."""
    begin = datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    schedule = Schedule.parse(f"{minute} {hour} * * * {zone}")
    days = [each.astimezone(ZoneInfo(zone)).date() for each in schedule.between(begin, begin + timedelta(days=400))]
    assert days == [days[0] + timedelta(days=number) for number in range(len(days))]
    assert len(days) >= 399


CHANGES = st.sampled_from([(3, 10), (3, 25), (10, 25), (11, 1)])  # the weeks in which clocks change


@settings(max_examples=examples(12, 500), deadline=None)
@given(
    st.sampled_from(["Europe/Oslo", "America/New_York", "Asia/Tehran"]),
    st.integers(2010, 2030),
    CHANGES,
    st.sampled_from([10, 20, 60]),
)
def test_every_hour_is_every_hour_whatever_the_clocks_do(zone: str, year: int, change: tuple[int, int], minutes: int):
    """Cron text that names no hour goes by real time: an hour that comes twice is served twice, none is missed."""
    begin = datetime(year, *change, tzinfo=UTC)
    text = "0 * * * *" if minutes == 60 else f"*/{minutes} * * * *"
    found = list(Schedule.parse(f"{text} {zone}").between(begin, begin + timedelta(days=8)))
    assert {later - earlier for earlier, later in itertools.pairwise(found)} == {timedelta(minutes=minutes)}


@settings(max_examples=examples(40, 2_000), deadline=None)
@given(
    st.sampled_from(["every 90s", "*/7 3 * * *", "30 2 * * * Europe/Oslo", "0 * * * * Australia/Lord_Howe"]),
    st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1), timezones=st.just(UTC)),
)
def test_the_latest_instant_is_the_one_before_the_next(text: str, moment: datetime):
    """No instant lies between them, and an instant is its own latest."""
    schedule = Schedule.parse(text)
    latest = schedule.latest_until(moment)
    assert latest is not None
    assert latest <= moment < schedule.next_after(latest)
    assert schedule.latest_until(latest) == latest


def test_of_a_rare_schedule_the_latest_instant_is_found():
    """29 February comes after eight years at the most."""
    assert Schedule.parse("0 0 29 2 *").latest_until(datetime(2103, 1, 1, tzinfo=UTC)) == datetime(
        2096, 2, 29, tzinfo=UTC
    )


# ------------------------------------------------------------------------------------------------- calendars

WEEKS = {"mon-sun": range(7), "mon-fri": range(5), "tue,sat": (1, 5), "fri-mon": (4, 5, 6, 0)}
YEARS = range(2019, 2026)
HOLIDAYS: dict[str, Collection[date]] = {
    "": (),
    "DE-BY": holidays.country_holidays("DE", subdiv="BY", years=YEARS),
    "BR": holidays.country_holidays("BR", years=YEARS),
    "XNYS": holidays.financial_holidays("XNYS", years=YEARS),
}
OWN_DATES = st.frozensets(st.dates(date(2020, 1, 1), date(2023, 12, 31)), max_size=20)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2023, 6, 1), timezones=st.just(UTC))


@st.composite
def calendars(draw: st.DrawFn) -> tuple[Calendar, Callable[[date], bool]]:
    """One, and by plain words which days are open."""
    code, week = draw(st.sampled_from(sorted(HOLIDAYS))), draw(st.sampled_from(sorted(WEEKS)))
    closed, opened = draw(OWN_DATES), draw(OWN_DATES)

    def is_open(day: date) -> bool:
        usual = day.weekday() in WEEKS[week] and day not in HOLIDAYS[code]
        return day in opened or (usual and day not in closed)

    return Calendar(code, weekdays=week, closed=closed, open=opened), is_open


@settings(max_examples=examples(12, 400), deadline=None)
@given(calendars(), ZONES, st.integers(0, 23), st.integers(0, 59))
def test_a_fixed_time_comes_on_each_open_day_and_on_no_other(
    calendar: tuple[Calendar, Callable[[date], bool]], zone: str, hour: int, minute: int
):
    """Over three years with their changes of summer time, by the days of the schedule's own zone."""
    days, is_open = calendar
    begin = datetime(2020, 1, 1, tzinfo=ZoneInfo(zone)) - timedelta(microseconds=1)
    schedule = Schedule.parse(f"{minute} {hour} * * * {zone}").on_days_of(days)
    due = schedule.between(begin, datetime(2023, 1, 1, tzinfo=ZoneInfo(zone)) - timedelta(microseconds=1))
    every_day = (date(2020, 1, 1) + timedelta(days=number) for number in range(366 + 365 + 365))
    assert [each.astimezone(ZoneInfo(zone)).date() for each in due] == [day for day in every_day if is_open(day)]


@settings(max_examples=examples(15, 500), deadline=None)
@given(
    calendars(),
    ZONES,
    st.sampled_from(["*/20 * * * *", "0 * * * *", "30 2 * * *", "0 0,23 * * *", "0 6 * * 1-5", "15 0 1 * *"]),
    MOMENTS,
    st.integers(1, 40),
)
def test_days_off_take_instants_away_and_change_none(
    calendar: tuple[Calendar, Callable[[date], bool]], zone: str, text: str, moment: datetime, length: int
):
    """What is left is what a plain schedule has on open days; the next and the latest of any moment are among them."""
    days, is_open = calendar
    plain, until = Schedule.parse(f"{text} {zone}"), moment + timedelta(days=length)
    schedule = plain.on_days_of(days)
    naive = [each for each in plain.between(moment, until) if is_open(each.astimezone(ZoneInfo(zone)).date())]
    assert list(schedule.between(moment, until)) == naive
    if naive:
        assert schedule.next_after(moment) == naive[0]
        assert schedule.latest_until(until) == naive[-1]
        assert schedule.latest_until(naive[-1]) == naive[-1]
        if len(naive) > 1:
            assert schedule.latest_until(naive[-1] - timedelta(microseconds=1)) == naive[-2]
    assert schedule.zone == ZoneInfo(zone)


def test_a_long_time_off_is_left_out_whole():
    """A year of days off of a schedule of each minute is a step for each day, not for each minute."""
    year = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
    schedule = Schedule.parse("* * * * *").on_days_of(Calendar(closed=year))
    asked: list[datetime] = []
    with pytest.MonkeyPatch.context() as patch:
        plain = instants._Cron.__call__
        patch.setattr(instants._Cron, "__call__", lambda self, at: asked.append(at) or plain(self, at))
        assert schedule.next_after(datetime(2025, 12, 31, 23, 59, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)
    assert len(asked) == 366

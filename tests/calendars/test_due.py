"""By when a table has to be there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowkeeper.calendars import Calendar, Due
from rowkeeper.errors import DeclarationError

BERLIN = ZoneInfo("Europe/Berlin")
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1)).map(lambda each: each.replace(tzinfo=UTC))
CHANGES = [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)]
NEAR_CHANGES = st.builds(
    lambda change, minutes: change + timedelta(minutes=minutes), st.sampled_from(CHANGES), st.integers(-2000, 2000)
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"])
CLOCKS = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59))
WEEKDAYS = st.sampled_from(["", "mon-fri ", "sat,sun ", "fri-mon "])


@given(st.one_of(MOMENTS, NEAR_CHANGES), CLOCKS, CLOCKS, WEEKDAYS, ZONES)
def test_the_last_is_over_the_next_is_not_and_windows_hold_their_deadline(
    now: datetime, clock: str, after: str, weekdays: str, zone: str
):
    """Also on days of a change of time: no deadline lies between the two, and each opens at most a day before."""
    due = Due(f"{clock} {weekdays}{zone}", after=after)
    last, coming = due.last(now), due.next(now)
    assert last is not None
    assert coming is not None
    assert last.due < now <= coming.due
    assert due.next(last.due + timedelta(microseconds=1)) == coming
    assert due.last(coming.due) in (last, due.last(now))
    for window in (last, coming):
        assert timedelta() < window.due - window.opens <= timedelta(hours=25)


@given(MOMENTS)
def test_a_deadline_is_at_its_local_time(now: datetime):
    """In winter and in summer."""
    coming = Due("06:00 Europe/Berlin").next(now)
    assert coming is not None
    local = coming.due.astimezone(BERLIN)
    assert (local.hour, local.minute) == (6, 0)


def test_an_hour_that_is_skipped_is_an_hour_later_and_one_that_is_repeated_is_the_first():
    """2026-03-29 has no 02:30 in Berlin, and 2026-10-25 has two."""
    due = Due("02:30 Europe/Berlin")
    spring = due.next(datetime(2026, 3, 29, 0, tzinfo=UTC))
    autumn = due.next(datetime(2026, 10, 24, 22, tzinfo=UTC))
    assert spring is not None and spring.due == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # noqa: PT018
    assert autumn is not None and autumn.due == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # noqa: PT018


def test_holidays_and_weekends_have_no_deadline():
    """Before Christmas the next deadline is on the Monday after it."""
    due = Due("06:00 mon-fri Europe/Berlin", calendar="DE")
    coming = due.next(datetime(2026, 12, 24, 12, tzinfo=UTC))
    assert coming is not None
    assert coming.due.date() == date(2026, 12, 28)


def test_a_calendar_without_days_has_no_deadline():
    """Nothing hangs, nothing is due."""
    closed = Due(
        "06:00", calendar=Calendar(weekdays="mon", closed=[date(2026, 1, 5) + timedelta(weeks=n) for n in range(300)])
    )
    now = datetime(2027, 6, 1, tzinfo=UTC)
    assert closed.next(now) is None
    assert closed.last(now) is None


def test_a_day_may_begin_the_evening_before():
    """What is published from 22:00 on is of the next day, where `after` says so."""
    coming = Due("00:30 UTC", after="22:00").next(datetime(2026, 11, 26, 12, tzinfo=UTC))
    assert coming is not None
    assert coming.opens == datetime(2026, 11, 26, 22, tzinfo=UTC)
    assert coming.due == datetime(2026, 11, 27, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "bad", ["", "6", "24:00", "06:60", "06:00 mon-fry", "06:00 Europe/Nowhere", "06:00 UTC x", None, 6]
)
def test_what_is_no_deadline_is_refused(bad: str):
    """One clear error that shows how it is written."""
    with pytest.raises(DeclarationError) as refused:
        Due(bad)
    assert refused.value.hint

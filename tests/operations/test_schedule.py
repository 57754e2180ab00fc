"""Schedules: the instants at which a pipeline is due."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowkeeper.errors import DeclarationError
from rowkeeper.schedule import Schedule

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
    ["", "every", "every 0m", "every 5 years", "61 * * * *", "* * * *", "0 0 30 2 *", "* * * * * Nowhere/City", 5],
)
def test_what_is_no_schedule_is_refused(text: str):
    """With a hint that shows what one looks like."""
    with pytest.raises(DeclarationError) as refused:
        Schedule.parse(text)
    assert "every 15m" in refused.value.hint

"""Rules of freshness, as declarations and as judgements on times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import rowkeeper as rk
from rowkeeper.errors import DeclarationError
from rowkeeper.quality.freshness import told_span

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)  # a Thursday
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)).map(lambda each: each.replace(tzinfo=UTC))


class Flight(BaseModel):
    carrier: str
    time_hour: datetime
    day: date
    passenger: Annotated[str, rk.Classified("pii.name"), rk.Pseudonymise()]


def pipeline(**more: object) -> rk.Pipeline:
    return rk.Pipeline(
        "flights",
        source=rk.sources.files("*.csv"),
        contract=Flight,
        destination=rk.destinations.clickhouse("flights", order_by=["carrier"]),
        **more,  # type: ignore[arg-type]
    )


def test_by_age_a_table_is_stale_from_the_moment_it_is_too_old():
    """Neither before, nor at the very moment."""
    rule, newest = rk.fresh("time_hour", within="2h"), NOW - timedelta(hours=2)
    assert rule.stale_since(newest, NOW) is None
    assert rule.stale_since(newest, NOW + timedelta(seconds=1)) == NOW


def test_by_schedule_only_instants_of_days_that_count_are_missed():
    """What came on the day before Christmas is fresh until the Monday after, an hour and a half past six."""
    rule = rk.fresh("time_hour", expected="0 6 * * 1-5 Europe/Berlin", calendar="DE", within="90m")
    newest = datetime(2026, 12, 24, 5, 30, tzinfo=UTC)
    monday = datetime(2026, 12, 28, 6, 30, tzinfo=UTC)
    assert rule.stale_since(newest, monday) is None
    assert rule.stale_since(newest, monday + timedelta(minutes=1)) == monday
    without = rk.fresh("time_hour", expected="0 6 * * 1-5 Europe/Berlin", within="90m")
    assert without.stale_since(newest, monday) == datetime(2026, 12, 25, 6, 30, tzinfo=UTC)


def test_by_schedule_summer_time_moves_with_the_clock_on_the_wall():
    """06:00 in Berlin is an hour earlier in UTC after the change: 2026-03-29."""
    rule = rk.fresh(expected="0 6 * * * Europe/Berlin", within="1h")
    saturday = datetime(2026, 3, 28, 5, 10, tzinfo=UTC)
    assert rule.stale_since(saturday, datetime(2026, 3, 29, 4, 59, tzinfo=UTC)) is None
    assert rule.stale_since(saturday, datetime(2026, 3, 29, 5, 1, tzinfo=UTC)) == datetime(2026, 3, 29, 5, tzinfo=UTC)


@given(MOMENTS, MOMENTS, st.sampled_from([None, "30 6 * * 1-5 Europe/Berlin", "every 6h"]))
def test_what_is_newer_is_never_staler_and_what_is_stale_stays_so(one: datetime, other: datetime, expected: str | None):
    """Until something newer comes; and it was stale from the moment that is told, and not before."""
    rule = rk.fresh(within="5h", expected=expected)
    older, newer = sorted((one, other))
    now = newer + timedelta(days=3)
    stale, fresher = rule.stale_since(older, now), rule.stale_since(newer, now)
    if fresher is not None:
        assert stale is not None
        assert stale <= fresher
    if stale is not None:
        assert rule.stale_since(older, stale) is None
        assert rule.stale_since(older, stale + timedelta(microseconds=1)) == stale


def test_days_are_missing_once_they_are_over_and_their_time_is_up():
    """Weekends do not count here; today is not over; yesterday has until noon."""
    rule = rk.complete_days(
        "day", since=date(2026, 11, 19), within="12h", calendar=rk.Calendar(weekdays="mon-fri"), zone="UTC"
    )
    there = {date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 23)}
    assert rule.missing(there, NOW - timedelta(seconds=1)) == [date(2026, 11, 24)]
    assert rule.missing(there, NOW) == [date(2026, 11, 24), date(2026, 11, 25)]
    assert rule.missing(set(), datetime(2026, 11, 18, tzinfo=UTC)) == []


BAD: dict[str, Callable[[], object]] = {
    "no age": lambda: rk.fresh("time_hour", within="soon"),
    "nothing": lambda: rk.fresh("time_hour", within="0h"),
    "backwards": lambda: rk.fresh("time_hour", within=timedelta(hours=-1)),
    "no schedule": lambda: rk.fresh("time_hour", within="1h", expected="at six"),
    "a calendar alone": lambda: rk.fresh("time_hour", within="1h", calendar="DE"),
    "no calendar": lambda: rk.fresh("time_hour", within="1h", expected="0 6 * * *", calendar="ZZ"),
    "no column": lambda: rk.fresh("", within="1h"),
    "no zone": lambda: rk.complete_days("day", since=date(2026, 1, 1), zone="Mars/Phobos"),
    "a time as first day": lambda: rk.complete_days("day", since=NOW),
    "unknown column": lambda: pipeline(freshness=[rk.fresh("time_our", within="1h")]),
    "a classified key": lambda: pipeline(freshness=[rk.fresh("time_hour", within="1h", by="passenger")]),
    "a gate in its place": lambda: pipeline(freshness=[rk.complete("carrier")]),
    "text": lambda: pipeline(freshness="fresh"),
    "twice": lambda: pipeline(freshness=[rk.fresh(within="1h"), rk.fresh(within="2h")]),
    "over time as a gate": lambda: pipeline(gates=[rk.fresh("time_hour", within="1h", by="carrier")]),
    "no deadline": lambda: pipeline(due="six o'clock"),
    "a number as deadline": lambda: pipeline(due=6),
}


@pytest.mark.parametrize("what", BAD)
def test_what_makes_no_rule_is_refused_where_it_is_declared(what: str):
    """One clear error with the next step, before anything was read."""
    with pytest.raises(DeclarationError) as refused:
        BAD[what]()
    assert refused.value.hint


def test_a_rule_with_a_column_alone_is_a_gate_as_well():
    """The same declaration judges a load among the gates, and the table over time."""
    rule = rk.fresh("time_hour", within="2h")
    made = pipeline(gates=[rule], freshness=[rule], due="06:00 Europe/Berlin")
    assert made.due_by == rk.Due("06:00 Europe/Berlin")


@pytest.mark.parametrize(
    ("span", "told"),
    [
        (timedelta(), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(hours=2), "2 h"),
        (timedelta(days=3, hours=7, minutes=5), "3 d 7 h"),
        (timedelta(seconds=-5), "0 s"),
    ],
)
def test_spans_are_told_in_their_two_greatest_units(span: timedelta, told: str):
    """As somebody would say them."""
    assert told_span(span) == told

"""Which slots come due: the policies, as properties of times alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowkeeper.schedule import Due, Timing, come_due, delay_of
from rowkeeper.schedule.due import MISSED, OVERLAPPED, SLOTS_MAX, TOO_OLD
from tests.extent import examples

SIX = datetime(2026, 11, 26, 6, tzinfo=UTC)
MOMENTS = st.datetimes(min_value=datetime(2026, 3, 20), max_value=datetime(2026, 4, 10), timezones=st.just(UTC))
POLICIES: tuple[Literal["once", "all", "none"], ...] = ("once", "all", "none")
TIMINGS = st.builds(
    Timing,
    schedule=st.sampled_from(["every 7m", "every 3h", "*/20 * * * *", "30 2 * * * Europe/Oslo"]),
    catch_up=st.sampled_from(POLICIES),
    within_seconds=st.sampled_from([None, 600.0, 86_400.0]),
    jitter_seconds=st.sampled_from([0.0, 300.0]),
    overlap=st.sampled_from(["queue", "skip"]),
)


def hourly(**policy: Any) -> Timing:
    return Timing("every 1h", **policy)


def hours(dues: list[Due]) -> list[tuple[int, int, str]]:
    return [((each.since - SIX) // HOUR, (each.until - SIX) // HOUR, each.why_skipped) for each in dues]


HOUR = timedelta(hours=1)


@settings(max_examples=examples(40, 2_000), deadline=None)
@given(TIMINGS, MOMENTS, st.lists(st.integers(1, 200_000), min_size=1, max_size=6), st.data())
def test_slots_lie_side_by_side_and_hold_every_instant_once(
    timing: Timing, begun: datetime, steps: list[int], data: st.DataObject
):
    """Whatever the policies, whenever somebody looks, and whatever ran: no instant is lost, none is in two slots."""
    kept, now, found = begun, begun, list[Due]()
    for step in steps:
        busy = (now, now + timedelta(seconds=data.draw(st.integers(0, step)))) if data.draw(st.booleans()) else None
        now += timedelta(seconds=step)
        while dues := come_due("p", timing, kept, now, busy=busy):
            found += dues
            kept = dues[-1].until
    assert timing.instants is not None
    instants = list(timing.instants.between(begun, now))
    assert all(earlier.until == later.since for earlier, later in pairwise(found))
    held = [sum(each.since < instant <= each.until for each in found) for instant in instants]
    assert held == [1] * len(instants)
    assert {each.until for each in found} <= set(instants)


@settings(max_examples=examples(40, 2_000), deadline=None)
@given(TIMINGS, MOMENTS, st.integers(1, 500_000))
def test_with_all_each_instant_is_a_slot_and_with_once_they_are_one(timing: Timing, begun: datetime, seconds: int):
    """Those that are to be answered, where nothing was under way."""
    now = begun + timedelta(seconds=seconds)
    wanted = [each for each in come_due("p", timing, begun, now) if not each.why_skipped]
    assert timing.instants is not None
    if timing.catch_up == "all":
        assert all(each.since == timing.instants.latest_until(each.until - timedelta(seconds=1)) for each in wanted)
    else:
        assert len(wanted) <= 1


def test_what_was_missed_is_one_slot_for_all():
    """By default: from the first instant that was missed to the last."""
    assert hours(come_due("p", hourly(), SIX, SIX + 3.5 * HOUR)) == [(0, 3, "")]


def test_what_was_missed_is_a_slot_each():
    """With catch_up="all", in order."""
    dues = come_due("p", hourly(catch_up="all"), SIX, SIX + 3.5 * HOUR)
    assert hours(dues) == [(0, 1, ""), (1, 2, ""), (2, 3, "")]


def test_what_was_missed_is_passed_over():
    """With catch_up="none": the newest, too, if it is a minute old; not if it has just come."""
    timing = hourly(catch_up="none")
    assert hours(come_due("p", timing, SIX, SIX + 3.5 * HOUR)) == [(0, 3, MISSED)]
    assert hours(come_due("p", timing, SIX, SIX + 3 * HOUR + timedelta(seconds=59))) == [(0, 2, MISSED), (2, 3, "")]


@pytest.mark.parametrize("catch_up", ["once", "all"])
def test_what_is_too_old_is_passed_over(catch_up: Any):
    """The rest is caught up with."""
    dues = come_due("p", hourly(catch_up=catch_up, within_seconds=7_200), SIX, SIX + 5.5 * HOUR)
    assert hours(dues)[0] == (0, 3, TOO_OLD)
    assert {why for *_, why in hours(dues)[1:]} == {""}
    assert hours(dues)[-1][1] == 5


@pytest.mark.parametrize("catch_up", ["once", "all", "none"])
def test_what_comes_while_a_run_is_under_way_is_passed_over_where_so_declared(catch_up: Any):
    """With overlap="skip", and nothing else is."""
    busy = (SIX + 1.5 * HOUR, SIX + 3.5 * HOUR)
    timing = hourly(catch_up=catch_up, overlap="skip")
    before = (0, 1, MISSED if catch_up == "none" else "")
    assert hours(come_due("p", timing, SIX, SIX + 3.5 * HOUR, busy=busy)) == [before, (1, 3, OVERLAPPED)]


def test_what_comes_while_a_run_is_under_way_waits_for_its_end():
    """With overlap="queue" also where nothing is caught up with: nobody missed it."""
    busy = (SIX + 0.5 * HOUR, SIX + 1.9 * HOUR)
    dues = come_due("p", hourly(catch_up="none"), SIX, SIX + 1.9 * HOUR, busy=busy)
    assert hours(dues) == [(0, 1, "")]


def test_however_much_was_missed_so_many_slots_come_at_once():
    """The rest follows, and none is lost between."""
    timing = Timing("every 1s", catch_up="all")
    first = come_due("p", timing, SIX, SIX + HOUR)
    assert len(first) == SLOTS_MAX
    assert come_due("p", timing, first[-1].until, SIX + HOUR)[0].since == first[-1].until


@settings(max_examples=examples(40, 2_000), deadline=None)
@given(st.text(min_size=1, max_size=8), MOMENTS, st.floats(0.001, 86_400))
def test_jitter_is_the_same_for_every_worker_and_stays_within_its_bound(name: str, until: datetime, seconds: float):
    """It hangs on pipeline and instant alone."""
    delay = delay_of(name, until, seconds)
    assert delay == delay_of(name, until.astimezone(ZoneInfo("Asia/Tehran")), seconds)
    assert timedelta(0) <= delay <= timedelta(seconds=seconds)


def test_jitter_spreads_pipelines_of_one_instant():
    """Of a hundred pipelines of one schedule no two begin in the same second of an hour, but for a few."""
    delays = {delay_of(f"p{number}", SIX, 3_600).seconds for number in range(100)}
    assert len(delays) > 90

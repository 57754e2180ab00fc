"""Deadlines are judged by what is known of a pipeline's runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rowkeeper.calendars import Due
from rowkeeper.operations.health.check import State
from rowkeeper.operations.health.due import Known, judge, percentile

DUE = Due("06:00 Europe/Berlin")
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY = datetime(2026, 11, 26, tzinfo=UTC)  # 06:00 in Berlin is 05:00 UTC, and the day opens at 23:00 UTC
YESTERDAY = DAY - timedelta(hours=19)
HOUR = timedelta(hours=1)
MOMENTS = st.datetimes(datetime(2026, 3, 25), datetime(2026, 11, 5)).map(lambda each: each.replace(tzinfo=UTC))
SECONDS = st.lists(st.floats(1, 40_000), max_size=20).map(tuple)


def known(**given: object) -> Known:
    return Known(**{"first": FIRST, "published": YESTERDAY, "seconds": (600.0,) * 20, **given})  # type: ignore[arg-type]


def test_it_is_good_while_there_is_time_and_warns_before_it_is_missed():
    """Runs take 10 minutes: at 05:49 all is well, at 05:51 it is a warning, after 06:00 it is bad."""
    due = DAY + 5 * HOUR
    assert judge(DUE, known(), due - timedelta(minutes=11)).state is State.GOOD
    assert judge(DUE, known(), due - timedelta(minutes=9)).state is State.WARNING
    missed = judge(DUE, known(), due + timedelta(minutes=1))
    assert (missed.state, missed.since) == (State.BAD, due)


def test_a_publish_within_the_day_keeps_it():
    """Before the deadline and after it, until the next day's comes near."""
    published = known(published=DAY + 4 * HOUR)
    for hours in (4.5, 6, 12, 22):
        assert judge(DUE, published, DAY + hours * HOUR).state is State.GOOD


def test_one_that_was_missed_is_bad_until_something_is_published():
    """However long that takes; what is published late ends it."""
    assert judge(DUE, known(published=YESTERDAY - 48 * HOUR), DAY + 20 * HOUR).state is State.BAD
    assert judge(DUE, known(published=DAY + 7 * HOUR), DAY + 8 * HOUR).state is State.GOOD


def test_without_history_nothing_is_foretold():
    """It is said, and is no warning; that it was missed is seen all the same."""
    near = judge(DUE, known(seconds=()), DAY + 4.99 * HOUR)
    assert near.state is State.GOOD
    assert "nothing is known yet" in near.told
    assert judge(DUE, known(seconds=()), DAY + 5.01 * HOUR).state is State.BAD


def test_a_deadline_before_the_first_run_was_not_missed():
    """A pipeline that was begun today has not failed yesterday; one that never ran is a warning."""
    begun = known(first=DAY + 6 * HOUR, published=None)
    assert judge(DUE, begun, DAY + 7 * HOUR).state is State.GOOD
    assert judge(DUE, known(first=None, published=None), DAY + 7 * HOUR).state is State.WARNING


def test_a_run_under_way_is_reckoned_from_its_start():
    """It began in time, so that it will end in time; one that takes longer than usual warns once it is too late."""
    going = known(under_way=DAY + 4.8 * HOUR)
    assert judge(DUE, going, DAY + 4.9 * HOUR).state is State.GOOD
    late = known(under_way=DAY + 4.9 * HOUR)
    assert judge(DUE, late, DAY + 4.91 * HOUR).state is State.WARNING


def test_a_schedule_that_starts_too_late_warns_at_once():
    """Started at 05:55, ten minutes' work is not done by 06:00: that is known the evening before."""
    evening = DAY - timedelta(minutes=30)
    assert judge(DUE, known(starts=DAY + 4.9 * HOUR), evening).state is State.WARNING
    assert judge(DUE, known(starts=DAY + 4.5 * HOUR), evening).state is State.GOOD


@given(MOMENTS, SECONDS, st.integers(0, 200), st.integers(0, 3000))
def test_states_follow_from_their_definition(now: datetime, seconds: tuple[float, ...], hours: int, minutes: int):
    """On days of changes of time, too: bad iff the last deadline has no publish since its day began; a warning iff not
    bad, the next one has none, and nine of ten runs of this length would end after it.
    """
    published = now - timedelta(hours=hours, minutes=minutes)
    judged = judge(DUE, known(published=published, seconds=seconds), now)
    last, coming = DUE.last(now), DUE.next(now)
    assert last is not None
    assert coming is not None
    missed = published < last.opens
    usual = timedelta(seconds=percentile(seconds, 0.9)) if seconds else timedelta()
    will_miss = not missed and published < coming.opens and bool(seconds) and now + usual > coming.due
    expected = State.BAD if missed else State.WARNING if will_miss else State.GOOD
    assert judged.state is expected


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_percentile_is_one_of_the_values_and_enough_do_not_exceed_it(values: list[float], share: float):
    """And with the next smaller value fewer would."""
    found = percentile(values, share)
    assert found in values
    assert sum(each <= found for each in values) >= share * len(values) - 1e-9

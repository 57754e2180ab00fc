"""What pipelines declare of when they are run."""

from __future__ import annotations

import itertools
import json
from datetime import date, timedelta
from typing import Any

import pytest

from rowkeeper.calendars import Calendar
from rowkeeper.errors import DeclarationError
from rowkeeper.schedule import Timing, circle

NOTHING: dict[str, Any] = {
    "schedule": None,
    "every": None,
    "catch_up": "once",
    "catch_up_within": None,
    "jitter": None,
    "overlap": "queue",
    "after": (),
    "join": "any",
}


def declared(**given: Any) -> Timing | None:
    return Timing.declared("p", **{**NOTHING, **given})


@pytest.mark.parametrize("every", ["15m", "15 M", 900, timedelta(minutes=15)])
def test_every_is_a_schedule_in_other_words(every: Any):
    """Text, seconds and a timedelta name the same instants as `schedule="every 15m"`."""
    timing, usual = declared(every=every), declared(schedule="every 15m")
    assert timing is not None
    assert usual is not None
    assert timing.instants is not None
    assert timing.instants.next_after == usual.instants.next_after  # type: ignore[union-attr]


def test_a_pipeline_that_says_nothing_is_run_when_it_is_asked_for():
    """It has no timing."""
    assert declared() is None


def test_a_timing_comes_back_from_its_document():
    """The worker reads it from a process of its own, and keeps it in the ledger."""
    timing = declared(
        schedule="0 6 * * *", catch_up="all", catch_up_within="6h", jitter=90, overlap="skip", after=["a", "a", "b"]
    )
    assert timing is not None
    assert Timing.of_document(timing.as_dict()) == timing
    assert timing.after == ("a", "b")
    assert timing.told == "0 6 * * *, after a or b"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schedule": "every 1h", "every": "1h"}, "both schedule= and every="),
        ({"every": "soon"}, "no span of time"),
        ({"every": 0.5}, "no number of seconds"),
        ({"every": True}, "no span of time"),
        ({"every": "1h", "catch_up": "some"}, "no policy"),
        ({"every": "1h", "catch_up_within": "-6h"}, "no span of time"),
        ({"every": "1h", "overlap": "allow"}, "two runs would write to one table"),
        ({"every": "1h", "overlap": "wait"}, "no policy"),
        ({"every": "1h", "jitter": "1h"}, "as long as the time between two slots"),
        ({"schedule": "0,5 6 * * *", "jitter": "10m"}, "as long as the time between two slots"),
        ({"after": ["a"], "jitter": "5m"}, "it has none"),
        ({"after": "a"}, "no list of names"),
        ({"after": ["p"]}, "cannot come after itself"),
        ({"every": "1h", "join": "all"}, "about after="),
        ({"after": ["a"], "join": "both"}, "no policy"),
        ({"catch_up": "all"}, "and has none"),
        ({"schedule": "follow", "after": ["a"]}, "has no slots"),
        ({"schedule": "follow", "catch_up": "all"}, "has no slots"),
        ({"schedule": "61 * * * *"}, "61 * * * *"),
        ({"schedule": "0 6 * * *", "calendar": "ZZ"}, "no calendar of holidays 'ZZ'"),
        ({"schedule": "0 6 * * *", "calendar": "DE-XX"}, "no calendar of holidays 'DE-XX'"),
        ({"schedule": "0 6 * * *", "calendar": ["DE"]}, "is no calendar"),
        ({"every": "1d", "calendar": "DE"}, "it can have no calendar"),
        ({"schedule": "every 15m", "calendar": "DE"}, "it can have no calendar"),
        ({"schedule": "follow", "calendar": "DE"}, "has no slots"),
        ({"after": ["a"], "calendar": "DE"}, "it has none"),
        ({"calendar": "DE"}, "has none"),
        ({"schedule": "0 6 1 1 *", "calendar": "DE"}, "never due on days of its calendar"),
        ({"schedule": "0 6 * * 0", "calendar": Calendar(weekdays="mon-fri")}, "never due on days of its calendar"),
    ],
)
def test_what_cannot_be_is_refused_at_the_declaration(given: dict[str, Any], said: str):
    """With the argument, and a hint."""
    with pytest.raises(DeclarationError) as refused:
        declared(**given)
    assert said in refused.value.what
    assert refused.value.hint


def test_a_calendar_goes_with_its_schedule_into_the_ledger_and_back():
    """With dates of one's own; what was written before there were calendars has none."""
    days = Calendar("DE-BY", weekdays="mon-sat", closed=[date(2026, 12, 24)], open=[date(2026, 12, 25)])
    timing = declared(schedule="0 6 * * * Europe/Berlin", calendar=days)
    assert timing is not None
    document = json.loads(json.dumps(timing.as_dict()))
    assert Timing.of_document(document) == timing
    assert timing.told == "0 6 * * * Europe/Berlin (mon-sat, not on holidays of DE-BY, 1 dates closed, 1 dates open)"
    del document["calendar"]
    assert Timing.of_document(document).calendar is None


@pytest.mark.parametrize(
    ("after", "found"),
    [
        ({"a": ["b"], "b": ["c"]}, []),
        ({"a": ["b"], "b": ["a"]}, ["a", "b"]),
        ({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}, ["a", "b", "c"]),
    ],
)
def test_a_circle_is_found_whichever_way_round(after: dict[str, list[str]], found: list[str]):
    """Its pipelines, the first once more at the end."""
    around = circle(after)
    assert sorted(set(around)) == found
    assert all(later in after[earlier] for earlier, later in itertools.pairwise(around))

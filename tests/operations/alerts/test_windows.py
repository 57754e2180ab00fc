"""Maintenance windows and silences: when they hold, also on the days on which clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rowkeeper.ledger.alerts import SilenceRecord
from rowkeeper.operations.alerts.matching import Matcher, Unmatched, all_hold
from rowkeeper.operations.alerts.windows import Window, silenced_by
from rowkeeper.schedule import Schedule


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("begins", "opens", "closes"),
    [
        ("0 2 * * 0 Europe/Berlin", "2026-11-29T01:00", "2026-11-29T04:00"),  # winter: 02:00 is 01:00 UTC
        ("0 2 * * 0 Europe/Berlin", "2026-07-05T00:00", "2026-07-05T03:00"),
        ("30 2 * * 0 Europe/Berlin", "2026-03-29T01:00", "2026-03-29T04:00"),  # 02:30 is skipped: at 03:00, once
        ("0 2 * * 0 Europe/Berlin", "2026-10-25T00:00", "2026-10-25T03:00"),  # comes twice: the first, for three hours
    ],
)
def test_a_window_holds_for_as_long_as_it_lasts(begins: str, opens: str, closes: str):
    """From the instant of its cron text in its zone, in time that passes, whatever clocks show meanwhile."""
    window = Window("w", Schedule.parse(begins), timedelta(hours=3))
    second = timedelta(seconds=1)
    assert not window.is_open(at(opens) - second)
    assert window.is_open(at(opens))
    assert window.is_open(at(closes) - second)
    assert not window.is_open(at(closes))


def test_a_window_that_is_longer_than_its_interval_is_always_open():
    """Its next beginning comes before its end."""
    window = Window("w", Schedule.parse("every 1h"), timedelta(minutes=90))
    assert all(window.is_open(at("2026-11-26T00:00") + timedelta(minutes=7 * n)) for n in range(50))


def test_a_silence_is_for_what_matches_until_its_end():
    """Neither before nor after, and for nothing else; one that was taken back is for nothing."""
    made, until = at("2026-11-26T10:00"), at("2026-11-26T12:00")
    silence = SilenceRecord(3, ("pipeline=fl*", "severity!=critical"), "why", "ann", made, until)
    labels = {"pipeline": "flights", "severity": "warning"}
    inside = made + timedelta(hours=1)
    assert silenced_by(labels, [], [silence], inside) == "silence 3"
    assert silenced_by(labels, [], [silence], until) == ""
    assert silenced_by({**labels, "severity": "critical"}, [], [silence], inside) == ""
    assert silenced_by({"severity": "warning"}, [], [silence], inside) == ""
    assert silenced_by(labels, [], [SilenceRecord(3, (), "", "", made, until, ended_at=inside)], inside) == ""


def test_a_matcher_of_what_no_alert_is_known_by_is_refused():
    """With the nearest word: a silence that matches nothing would be found out at night."""
    with pytest.raises(Unmatched) as caught:
        Matcher.parse("pipelin=flights")
    assert "pipeline" in caught.value.hint
    assert not all_hold([Matcher.parse("rule=run-?low")], {"rule": "run-failed"})

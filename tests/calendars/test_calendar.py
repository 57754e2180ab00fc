"""Which days count."""

from __future__ import annotations

import sys
from datetime import date

import pytest

from rowkeeper.calendars import Calendar, calendar_of
from rowkeeper.calendars.calendar import holidays_of, weekdays_of
from rowkeeper.errors import ConfigurationError, DeclarationError

CHRISTMAS, EVE, MONDAY, SUNDAY = date(2026, 12, 25), date(2026, 12, 24), date(2026, 11, 23), date(2026, 11, 22)


def test_public_holidays_are_no_days_that_count():
    """Of a country, of a part of it, and of a market."""
    assert not Calendar("DE").is_open(CHRISTMAS)
    assert Calendar("DE").is_open(date(2026, 1, 6))
    assert not Calendar("DE-BY").is_open(date(2026, 1, 6)), "Epiphany, in Bavaria alone"
    assert not Calendar("XNYS").is_open(date(2026, 11, 26)), "Thanksgiving"


def test_own_dates_come_before_holidays_and_weekdays():
    """`open` beats `closed`, and both beat what the library and the weekdays say."""
    made = Calendar("DE", weekdays="mon-fri", closed=[EVE], open=[CHRISTMAS, SUNDAY])
    assert (made.is_open(EVE), made.is_open(CHRISTMAS), made.is_open(SUNDAY)) == (False, True, True)
    assert made.is_open(MONDAY)
    assert not made.is_open(date(2026, 11, 21)), "a Saturday"


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("sat,sun", {5, 6}),
        ("fri-mon", {4, 5, 6, 0}),
        ("wed", {2}),
        ("mon-sun", set(range(7))),
    ],
)
def test_weekdays_are_read(text: str, days: set[int]):
    """Ranges, which may go over the week's end, and lists."""
    assert weekdays_of(text, "test") == days


@pytest.mark.parametrize("bad", ["", "mon-fry", "1-5", "mon;tue", None])
def test_other_weekdays_are_refused(bad: str):
    """One clear error."""
    with pytest.raises(DeclarationError, match="weekdays"):
        Calendar(weekdays=bad)


@pytest.mark.parametrize("bad", ["ZZ", "DE-XX", "xnys", "XNYS-DE"])
def test_a_calendar_that_is_not_known_is_refused_where_it_is_declared(bad: str):
    """With what was probably meant; not at the first look."""
    with pytest.raises(DeclarationError, match="no calendar of holidays") as refused:
        Calendar(bad)
    assert refused.value.hint


@pytest.mark.parametrize("bad", ["2026-12-24", ["2026-12-24"], [3]])
def test_own_dates_are_dates(bad: object):
    """Text is not guessed at."""
    with pytest.raises(DeclarationError, match="no list of dates"):
        Calendar(closed=bad)  # type: ignore[arg-type]


def test_an_argument_is_a_calendar_or_a_code():
    """None is none; anything else is refused."""
    assert calendar_of(None, "x") is None
    assert calendar_of("DE", "x") == Calendar("DE")
    with pytest.raises(DeclarationError):
        calendar_of(7, "x")  # type: ignore[arg-type]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    """One error that says what to install; a calendar of one's own dates needs it not."""
    monkeypatch.setitem(sys.modules, "holidays", None)
    holidays_of.cache_clear()
    with pytest.raises(ConfigurationError) as missing:
        Calendar("DE")
    assert "rowkeeper[calendars]" in missing.value.hint
    assert not Calendar(closed=[EVE]).is_open(EVE)

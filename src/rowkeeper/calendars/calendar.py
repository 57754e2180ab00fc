"""Which days count: weekdays, public holidays of a country or a market, and dates of one's own.

Holidays are those of the library `holidays` (the extra `calendars`), which knows 250 countries, most with their
subdivisions, and some fifty markets by their market codes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from datetime import date, datetime
from functools import cached_property, lru_cache
from typing import Any

from rowkeeper.errors import DeclarationError
from rowkeeper.extras import library
from rowkeeper.nearest import did_you_mean

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY = "mon-sun"
HINT = "a country (DE), one with its subdivision (DE-BY), or a market (XNYS)"


@dataclasses.dataclass(frozen=True)
class Calendar:
    """The days on which something is expected.

    Args:
        holidays: whose public holidays are no such days: a country (`DE`), a part of it (`DE-BY`), a market (`XNYS`).
        weekdays: `mon-fri`, `mon,wed,sat`.
        closed: more days on which nothing is expected.
        open: days on which something is expected whatever the others say.

    Raises DeclarationError for what it does not know; ConfigurationError if `holidays` is not installed.
    """

    holidays: str = ""
    _: dataclasses.KW_ONLY
    weekdays: str = EVERY_DAY
    closed: Collection[date] = ()
    open: Collection[date] = ()

    def __post_init__(self) -> None:
        weekdays_of(self.weekdays, "Calendar")
        for name in ("closed", "open"):
            days = getattr(self, name)
            if isinstance(days, str) or not all(type(each) is date for each in days):
                raise DeclarationError(
                    f"Calendar: {name} is no list of dates", hint=f"{name}=[datetime.date(2026, 12, 24)]"
                )
            object.__setattr__(self, name, frozenset(days))
        if self.holidays:
            holidays_of(self.holidays, 2000)  # now, rather than at the first look

    def is_open(self, day: date) -> bool:
        """Whether something is expected on this day."""
        if day in self.open:
            return True
        if day in self.closed or day.weekday() not in self._weekdays:
            return False
        return not self.holidays or day not in holidays_of(self.holidays, day.year)

    @property
    def told(self) -> str:
        """In some words, for people: `mon-fri, not on holidays of DE, 2 dates closed`."""
        pieces = {
            self.weekdays: self.weekdays != EVERY_DAY,
            f"not on holidays of {self.holidays}": bool(self.holidays),
            f"{len(self.closed):,} dates closed": bool(self.closed),
            f"{len(self.open):,} dates open": bool(self.open),
        }
        return ", ".join(text for text, said in pieces.items() if said) or "every day"

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        days = {name: sorted(each.isoformat() for each in getattr(self, name)) for name in ("closed", "open")}
        return {"holidays": self.holidays, "weekdays": self.weekdays, **days}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Calendar:
        """From its JSON document. Raises as the declaration does."""
        days = {name: [date.fromisoformat(each) for each in document[name]] for name in ("closed", "open")}
        return cls(document["holidays"], weekdays=document["weekdays"], **days)

    @cached_property
    def _weekdays(self) -> frozenset[int]:
        return weekdays_of(self.weekdays, "Calendar")


@lru_cache(maxsize=1_000)
def holidays_of(code: str, year: int) -> frozenset[date]:
    """The public holidays of a year, by the library. Raises DeclarationError, or ConfigurationError without it.

    A year is worked out whole and on its own, so that several threads may ask.
    """
    found = library("holidays", "calendars", "a calendar of public holidays needs a library")
    country, _, part = code.partition("-")
    markets = found.list_supported_financial(include_aliases=True)
    try:
        if not part and country in markets:
            return frozenset(found.financial_holidays(country, years=year, expand=False))
        return frozenset(found.country_holidays(country, subdiv=part or None, years=year, expand=False))
    except NotImplementedError as error:
        countries = found.list_supported_countries(include_aliases=True)
        known = [f"{country}-{each}" for each in countries[country]] if country in countries else countries
        raise DeclarationError(
            f"there is no calendar of holidays {code!r}", hint=did_you_mean(code, [*known, *markets], HINT)
        ) from error


def calendar_of(given: str | Calendar | None, whose: str) -> Calendar | None:
    """What an argument `calendar=` means: one, or the code of its holidays. Raises DeclarationError."""
    if given is None or isinstance(given, Calendar):
        return given
    if not isinstance(given, str) or not given:
        raise DeclarationError(f"{whose}: calendar={given!r} is no calendar", hint=f"{HINT}, or rk.Calendar(...)")
    return Calendar(given)


def weekdays_of(text: str, whose: str) -> frozenset[int]:
    """Weekdays, Monday is 0: `mon-fri`, `sat,sun`, `fri-mon`. Raises DeclarationError."""
    found: set[int] = set()
    for piece in text.lower().split(",") if isinstance(text, str) else [""]:
        first, dash, last = piece.strip().partition("-")
        last = last if dash else first
        if first not in WEEKDAYS or last not in WEEKDAYS:
            raise DeclarationError(f"{whose}: {text!r} are no weekdays", hint="such as mon-fri, or mon,wed,sat")
        begins, ends = WEEKDAYS.index(first), WEEKDAYS.index(last)
        found |= {number % 7 for number in range(begins, ends + (1 if ends >= begins else 8))}
    return frozenset(found)


def is_expected(calendar: Calendar | None, moment: datetime) -> bool:
    """Whether something is expected on the day of a moment, as its own zone has the day."""
    return calendar is None or calendar.is_open(moment.date())

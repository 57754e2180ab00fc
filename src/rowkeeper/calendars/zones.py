"""Time zones by their names."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import did_you_mean

HINT = "a name of the IANA list, such as Europe/Berlin, or UTC"


def zone_of(name: str, whose: str) -> ZoneInfo:
    """The time zone of a name such as `Europe/Berlin`. Raises DeclarationError, which begins with whose it is."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise DeclarationError(f"{whose}: there is no time zone {name}", hint=_hint(name)) from error


def _hint(name: str) -> str:
    """What was probably meant: the zone of a city (`Berlin`), or the nearest name."""
    known = sorted(available_timezones())
    of_city = [each for each in known if each.lower().endswith(f"/{name.lower()}")]
    return did_you_mean(of_city[0] if of_city else name, known, HINT)

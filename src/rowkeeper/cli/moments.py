"""A moment, as it is typed: `2026-11-26`, `2026-11-26T08:30`, `90m` ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

from rowkeeper.schedule import Slot

AGO = re.compile(r"(\d{1,6})([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Moment(click.ParamType[datetime]):
    """An ISO date or time, of this machine's zone unless it says another; or how long ago."""

    name = "moment"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Reads it; the answer is aware."""
        if isinstance(value, datetime):
            return value
        ago = AGO.fullmatch(value.strip())
        try:
            if ago:
                return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * SECONDS[ago[2]])
            return datetime.fromisoformat(value.strip()).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no moment: 2026-11-26, 2026-11-26T08:30, or 90m, 12h, 7d", param, ctx)


class Interval(click.ParamType[Slot]):
    """Two ISO times with a slash between them."""

    name = "interval"

    def convert(self, value: str | Slot, param: click.Parameter | None, ctx: click.Context | None) -> Slot:
        """Reads it; both ends are aware."""
        if isinstance(value, Slot):
            return value
        try:
            return Slot.parse(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no interval: 2026-11-25/2026-11-26, 2026-11-26T08:00+01:00/2026-11-26T09:00+01:00")


MOMENT = Moment()
INTERVAL = Interval()

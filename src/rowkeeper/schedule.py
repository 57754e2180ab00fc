"""When a pipeline is due: `every 15m`, or the five fields of cron with a time zone of its own if wanted.

A schedule is a row of instants, the same wherever and whenever it is asked: whether one was missed can be told from the
last one that was kept, without having been there.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from rowkeeper.errors import DeclarationError

EVERY = re.compile(r"every\s+(\d{1,6})\s*(s|m|h|d)")
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIELDS = 5
HINT = 'such as schedule="every 15m" (s, m, h, d), "30 6 * * 1-5" (cron, UTC) or "30 6 * * * Europe/Oslo"'


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """The instants at which a pipeline is due.

    Attributes:
        text: as it was declared.
        next_after: the first of them that is later than a given one; both aware.
    """

    text: str
    next_after: Callable[[datetime], datetime] = dataclasses.field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Reads `every 15m`, or cron text.

        Intervals are counted from midnight UTC of 1970-01-01, so `every 15m` is due at :00, :15, :30 and :45. Cron text
        is in UTC unless a time zone follows it. Hours that a change to or from summer time skips or repeats are
        treated as Debian's cron treats them: a fixed time is due once that day.

        Raises DeclarationError if it is neither.
        """
        if not isinstance(text, str):
            raise DeclarationError(f"{text!r} is no schedule", hint=HINT)
        if every := EVERY.fullmatch(text.strip().lower()):
            seconds = int(every[1]) * UNIT_SECONDS[every[2]]
            if seconds == 0:
                raise DeclarationError(f"schedule {text!r}: the interval is nothing", hint=HINT)
            return cls(text, _Every(timedelta(seconds=seconds)))
        words = text.split()
        if len(words) not in (FIELDS, FIELDS + 1):
            raise DeclarationError(f"{text!r} is no schedule", hint=HINT)
        cron = _Cron(" ".join(words[:FIELDS]), _zone(words[FIELDS], text) if len(words) > FIELDS else UTC)
        try:
            cron(EPOCH)
        except (CronSimError, StopIteration) as error:
            raise DeclarationError(f"schedule {text!r}: {error or 'it is never due'}", hint=HINT) from error
        return cls(text, cron)


@dataclasses.dataclass(frozen=True, slots=True)
class _Every:
    interval: timedelta

    def __call__(self, moment: datetime) -> datetime:
        return EPOCH + ((moment - EPOCH) // self.interval + 1) * self.interval


@dataclasses.dataclass(frozen=True, slots=True)
class _Cron:
    fields: str
    zone: tzinfo

    def __call__(self, moment: datetime) -> datetime:
        return next(CronSim(self.fields, moment.astimezone(self.zone))).astimezone(UTC)


def _zone(name: str, text: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise DeclarationError(f"schedule {text!r}: there is no time zone {name}", hint=HINT) from error

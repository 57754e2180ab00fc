"""The slot that a run is for: the interval between two instants of a schedule, as the pipeline file sees it.

A process answers one slot: `rowkeeper run --slot SINCE/UNTIL` says which, and from then on all threads of it see it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    """The interval that a run is for.

    Attributes:
        since: where the slot before it ended; aware, in the schedule's time zone.
        until: the instant at which it came due, or at which what it follows was published.
    """

    since: datetime
    until: datetime

    @property
    def text(self) -> str:
        """As `--slot` takes it."""
        return f"{self.since.isoformat()}/{self.until.isoformat()}"

    @classmethod
    def parse(cls, text: str) -> Slot:
        """Reads `SINCE/UNTIL`, two ISO times with their offsets; without one they are UTC.

        Raises ValueError if it is not that.
        """
        since, _, until = text.partition("/")
        slot = cls(_aware(since), _aware(until))
        if slot.until < slot.since:
            raise ValueError("it ends before it begins")
        return slot


@dataclasses.dataclass(frozen=True, slots=True)
class _Answered:
    slot: Slot
    pipeline: str | None
    number: int | None


_answered: list[_Answered] = []  # of this process; at most one


@contextmanager
def answering(slot: Slot, pipeline: str | None = None, number: int | None = None) -> Iterator[None]:
    """In the block this process answers a slot.

    Args:
        pipeline, number: whose it is in the ledger, and under which number; None of one that is not there.
    """
    _answered.append(_Answered(slot, pipeline, number))
    try:
        yield
    finally:
        _answered.pop()


def current_slot() -> Slot:
    """The slot that this process answers.

    Where it answers none (a run that somebody asked for, a file that is only read), the present moment: `since` and
    `until` are both now, in UTC.
    """
    if _answered:
        return _answered[-1].slot
    now = datetime.now(UTC)
    return Slot(now, now)


def numbered_slot(pipeline: str) -> int | None:
    """The number, in the ledger, of the slot of this pipeline that this process answers; None if it answers none."""
    return _answered[-1].number if _answered and _answered[-1].pipeline == pipeline else None


def _aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

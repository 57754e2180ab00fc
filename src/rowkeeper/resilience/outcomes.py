"""How a call can fail, and what that allows.

| outcome   | it means                                               | it allows                                    |
|-----------|--------------------------------------------------------|----------------------------------------------|
| transient | it did not happen, and may work in a moment            | another try, after a wait                    |
| throttled | it was refused because there is too much to do         | another try, when the other side says        |
| permanent | it will fail again, or nobody knows this error         | nothing: the error is raised as it is        |
| ambiguous | it may or may not have happened                        | a look first; without one the error is raised|
"""

from __future__ import annotations

import dataclasses
import enum
from datetime import datetime
from typing import Generic, TypeVar

T = TypeVar("T")


class Outcome(enum.StrEnum):
    """What a failed call allows."""

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    PERMANENT = "permanent"
    AMBIGUOUS = "ambiguous"


class Effect(enum.StrEnum):
    """What a call does to the other side: whether it may be repeated without looking.

    READ is also for writes that are idempotent by themselves (a PUT of the same content, an upsert by key).
    """

    READ = "read"
    WRITE = "write"


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """An outcome, and how long the other side asked us to stay away: for so long, or until then (an aware date)."""

    outcome: Outcome
    retry_after_seconds: float | None = None
    retry_at: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Happened(Generic[T]):
    """What a look-up answers if the call did take effect: the call's result."""

    value: T

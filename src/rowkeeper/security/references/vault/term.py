"""How long something that the vault gave lasts, and when to renew it: a token or a lease."""

from __future__ import annotations

import dataclasses

RENEW_AT_SHARE = 2 / 3  # of its time: a vault that is away for the rest does no harm
LAST_SHARE = 0.1  # so near its end nothing is begun with it any more
PAUSE_SHARE = 0.1  # of its time, after a renewal that failed
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.2, 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Term:
    """A time that was given; moments are on the clock's monotonic time.

    Attributes:
        full_seconds: how long it lasts when it was just given.
        ends_at: when it ends.
        renew_at: when it is to be renewed; infinite if it cannot be.
    """

    full_seconds: float
    ends_at: float
    renew_at: float

    @classmethod
    def given(cls, seconds: float, now: float, *, renewable: bool) -> Term:
        """A term of so many seconds from now; 0 is without end."""
        if seconds <= 0:
            return cls(0.0, float("inf"), float("inf"))
        return cls(seconds, now + seconds, now + seconds * RENEW_AT_SHARE if renewable else float("inf"))

    def renewed(self, seconds: float, now: float) -> Term:
        """After a renewal: near the last end that the vault allows, each gives less than the one before."""
        pause = max(PAUSE_SECONDS_MIN, seconds * RENEW_AT_SHARE)
        return dataclasses.replace(self, ends_at=now + seconds, renew_at=now + pause)

    def not_renewed(self, now: float) -> Term:
        """After a renewal that failed: it is tried again in a while."""
        pause = min(PAUSE_SECONDS_MAX, max(PAUSE_SECONDS_MIN, self.full_seconds * PAUSE_SHARE))
        return dataclasses.replace(self, renew_at=now + pause)

    def lasts(self, now: float) -> bool:
        """Whether something can still be begun with it."""
        return self.ends_at - now > self.full_seconds * LAST_SHARE

"""What one check of health says: how it stands with one thing, since when, by which limit, and the mend."""

from __future__ import annotations

import dataclasses
import enum
from datetime import datetime


class State(enum.StrEnum):
    """How it stands with something.

    UNKNOWN is no WARNING: it could not be looked at, so that it may be bad.
    """

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """The worst is 0."""
        return _WORST_FIRST.index(self)

    @property
    def fails(self) -> bool:
        """Whether somebody has to see to it now."""
        return self in (State.BAD, State.UNKNOWN)


_WORST_FIRST = (State.BAD, State.UNKNOWN, State.WARNING, State.GOOD)


def worst(states: tuple[State, ...]) -> State:
    """The worst of them; GOOD if there is none."""
    return min(states, key=lambda each: each.rank, default=State.GOOD)


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """How it stands with one thing. Every text is one line, without secrets and values of rows.

    Attributes:
        name: what was looked at, in one word: `disk`, `breaker`, `freshness`.
        subject: of which: a host, a pipeline, a table, `table/partition`; empty for the installation.
        told: how it stands.
        limit: by which it is judged, where there is one.
        mend: what mends it: a command, where one does.
        since: since when it has been in this state, as far as anybody looked; filled in from the ledger by `look`.
    """

    name: str
    subject: str
    state: State
    told: str
    limit: str = ""
    mend: str = ""
    since: datetime | None = None

    def as_dict(self) -> dict[str, str | None]:
        """The JSON document."""
        return {
            "name": self.name,
            "subject": self.subject,
            "state": self.state.value,
            "since": None if self.since is None else self.since.isoformat(),
            "told": self.told,
            "limit": self.limit,
            "mend": self.mend,
        }

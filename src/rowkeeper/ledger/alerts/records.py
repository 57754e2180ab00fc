"""An alert: something that a rule found, from the first time until it is over. And what is told of it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any

NAMES = ("rule", "severity", "condition", "subject", "pipeline", "check", "gate", "metric")
"""What an alert has to be known by; matchers name these."""


class Severity(enum.StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    def is_at_least(self, other: Severity) -> bool:
        """Whether it matters as much as the other, or more."""
        order = list(Severity)
        return order.index(self) >= order.index(other)


class State(enum.StrEnum):
    """Where an alert stands."""

    PENDING = "pending"  # it holds, and not yet for as long as its rule wants
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"  # it fires, and somebody sees to it
    SILENCED = "silenced"  # it fires, and nobody wants to be told
    RESOLVED = "resolved"


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """When a route was told that an alert fires: the first time, and the last."""

    first_at: datetime
    last_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Alert:
    """One alert. A rule and a subject have one that is open at a time.

    Attributes:
        id: 32 hex digits; what comes again after it was over is another alert.
        labels: by what it is matched and grouped; see NAMES.
        told: what was found last, in a sentence.
        mend: what to do, where the condition knows.
        since: when it was found first.
        fired_at: when it had held for as long as its rule wants; None while it is pending.
        lost_at: when it was no longer found; None while it is.
        silenced_by: the silence or maintenance window that it falls under; empty if none.
        routes: which were told that it fires.
    """

    id: str
    rule: str
    subject: str
    severity: Severity
    labels: Mapping[str, str]
    told: str
    mend: str
    since: datetime
    fired_at: datetime | None = None
    lost_at: datetime | None = None
    resolved_at: datetime | None = None
    acked_at: datetime | None = None
    acked_by: str = ""
    acked_note: str = ""
    silenced_by: str = ""
    routes: Mapping[str, Told] = dataclasses.field(default_factory=dict)

    @property
    def state(self) -> State:
        """Where it stands."""
        if self.resolved_at is not None:
            return State.RESOLVED
        if self.fired_at is None:
            return State.PENDING
        if self.acked_at is not None:
            return State.ACKNOWLEDGED
        return State.SILENCED if self.silenced_by else State.FIRING

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "id": self.id,
            "rule": self.rule,
            "subject": self.subject,
            "severity": self.severity.value,
            "state": self.state.value,
            "labels": dict(self.labels),
            "told": self.told,
            "mend": self.mend,
            "since": _text(self.since),
            "fired_at": _text(self.fired_at),
            "resolved_at": _text(self.resolved_at),
            "acknowledged_at": _text(self.acked_at),
            "acknowledged_by": self.acked_by,
            "note": self.acked_note,
            "silenced_by": self.silenced_by,
        }


class Kind(enum.StrEnum):
    """Why a notice is sent."""

    FIRING = "firing"
    REPEAT = "repeat"
    RESOLVED = "resolved"
    WATCHDOG = "watchdog"
    TEST = "test"


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """What one route is told at one time.

    Attributes:
        id: 32 hex digits; the same however often it is sent, so that a receiver can tell.
        group: what the alerts have in common, by name.
        alerts: their documents, as they were then.
    """

    id: str
    route: str
    kind: Kind
    group: Mapping[str, str]
    alerts: tuple[Mapping[str, Any], ...]
    made_at: datetime

    @property
    def group_key(self) -> str:
        """The group as one text."""
        return ",".join(f"{name}={value}" for name, value in sorted(self.group.items()))


@dataclasses.dataclass(frozen=True, slots=True)
class SilenceRecord:
    """What somebody does not want to be told.

    Attributes:
        number: by which people name it.
        matchers: of the alerts, as texts.
        who: set it; `reason` says why.
        ended_at: when somebody took it back.
    """

    number: int
    matchers: tuple[str, ...]
    reason: str
    who: str
    made_at: datetime
    until: datetime
    ended_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "number": self.number,
            "match": list(self.matchers),
            "reason": self.reason,
            "who": self.who,
            "made_at": self.made_at.isoformat(),
            "until": self.until.isoformat(),
            "ended_at": _text(self.ended_at),
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """A notice in the outbox.

    Attributes:
        attempts: that failed.
    """

    notice: Notice
    attempts: int


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver a notice.

    Attributes:
        outcome: delivered, or failed.
        told: why it failed, without secrets.
    """

    notice: str
    route: str
    at: datetime
    seconds: float
    outcome: str
    told: str

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {**dataclasses.asdict(self), "at": self.at.isoformat()}


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """What a look begins with.

    Attributes:
        alerts: the open ones.
        silences: that nobody took back, and that are not over.
        waiting: route and group of the notices in the outbox.
        watchdogs: by route, when the watchdog's last notice was made.
    """

    alerts: tuple[Alert, ...]
    silences: tuple[SilenceRecord, ...]
    waiting: frozenset[tuple[str, str]]
    watchdogs: Mapping[str, datetime]


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What a look leads to.

    Attributes:
        alerts: those that are open now, and those that are over.
        notices: for the outbox.
        unseen: by rule, why it could not be looked at.
        looked_at: by the clock of who looked.
    """

    alerts: tuple[Alert, ...]
    notices: tuple[Notice, ...]
    unseen: Mapping[str, str]
    looked_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Success:
    """The newest load of a pipeline that was published, or found nothing new."""

    run: int
    started_at: datetime
    finished_at: datetime


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()

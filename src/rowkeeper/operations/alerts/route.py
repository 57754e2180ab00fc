"""Routes: who is told of which alerts, together with which others, and how often."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

from rowkeeper.ledger.alerts import Alert, State
from rowkeeper.operations.alerts.matching import Matcher, all_hold
from rowkeeper.operations.alerts.receivers.receiver import Address

REPEAT = timedelta(hours=4)
REPEAT_STATE = timedelta(minutes=5)  # to who keeps alerts by itself, and forgets what it is not told


@dataclasses.dataclass(frozen=True, slots=True)
class Escalation:
    """What is neither over nor acknowledged after this time is told to another route, too."""

    after: timedelta
    to: str


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """Who is told.

    Attributes:
        matchers: of the alerts; None: none but what is escalated to it. Each route that matches is told.
        group_by: alerts that are alike in these are told in one notice.
        resolved: whether it is told when an alert is over.
    """

    name: str
    address: Address
    matchers: tuple[Matcher, ...] | None = ()
    group_by: tuple[str, ...] = ("rule",)
    repeat: timedelta = REPEAT
    resolved: bool = True
    escalation: Escalation | None = None

    def concerns(self, alert: Alert) -> bool:
        """Whether it is told of this alert, but for what is escalated to it."""
        return self.matchers is not None and all_hold(self.matchers, alert.labels)

    def tells(self, alert: Alert) -> bool:
        """Whether an alert in this state is told. Who keeps alerts by itself is told of acknowledged ones, too."""
        return alert.state is State.FIRING or (self.address.keeps_state and alert.state is State.ACKNOWLEDGED)

    def group_of(self, alert: Alert) -> tuple[str, ...]:
        """The values that the alerts of one notice have in common."""
        return tuple(alert.labels.get(name, "") for name in self.group_by)

    def as_dict(self) -> dict[str, Any]:
        """The JSON document, without secrets."""
        return {
            "name": self.name,
            "to": self.address.told,
            "match": None if self.matchers is None else [str(each) for each in self.matchers],
            "group_by": list(self.group_by),
            "repeat_seconds": self.repeat.total_seconds(),
            "resolved": self.resolved,
            "escalate": None
            if self.escalation is None
            else {"after_seconds": self.escalation.after.total_seconds(), "to": self.escalation.to},
        }

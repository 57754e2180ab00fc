"""What stands out in the audit trail. A rule reads entries in their order and remembers what it needs.

A detection is not stored: the same entries lead to the same detections, whoever reads them and whenever, and the trail
that they rest on cannot be changed.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from rowkeeper.ledger import Ledger
from rowkeeper.ledger.audit import Entry, Outcome
from rowkeeper.ledger.audit.listing import Wanted, entries


@dataclasses.dataclass(frozen=True, slots=True)
class Detection:
    """Something that somebody should look at.

    Attributes:
        rule: the name of the rule.
        title: what it is about.
        told: what was seen, in a sentence without a name or an address.
        about: the id of the person concerned.
        numbers: of the entries that it rests on, in order.
        first_at, last_at: when the first and the last of them were written.
    """

    rule: str
    title: str
    told: str
    about: str
    numbers: Sequence[int]
    first_at: datetime
    last_at: datetime


class Detector(Protocol):
    """A rule.

    Attributes:
        wanted: the entries that it reads.
        window: how far back it looks.
    """

    wanted: Wanted
    window: timedelta

    def sees(self, entry: Entry) -> Detection | None:
        """Reads the next entry; what stands out with it."""


class RepeatedRefusals:
    """Logins to one account that were refused again and again.

    Args:
        times: so many of them, within `window`, are a detection; then it counts anew.
    """

    rule = "repeated-refused-logins"
    wanted = Wanted(("session.begin",), outcome=Outcome.REFUSED)

    def __init__(self, times: int = 5, window: timedelta = timedelta(minutes=5)) -> None:
        self._times = times
        self.window = window
        self._seen: dict[str, collections.deque[Entry]] = {}

    def sees(self, entry: Entry) -> Detection | None:
        """Implements Detector."""
        user = str(entry.event.on.get("user", entry.who))
        seen = self._seen.setdefault(user, collections.deque())
        seen.append(entry)
        while entry.at - seen[0].at > self.window:
            seen.popleft()
        if len(seen) < self._times:
            return None
        del self._seen[user]
        minutes = self.window.total_seconds() / 60
        return Detection(
            self.rule,
            "Logins refused again and again",
            f"{len(seen)} logins to one account were refused within {minutes:g} minutes",
            user,
            tuple(each.number for each in seen),
            seen[0].at,
            entry.at,
        )


DETECTORS: tuple[Callable[[], Detector], ...] = (RepeatedRefusals,)
"""The rules that are in use; each is made anew for whoever reads the trail."""


def detections(ledger: Ledger, since: datetime | None, until: datetime | None) -> Iterator[Detection]:
    """What stands out in a time: all rules, one after the other. A rule begins earlier by as much as it looks back."""
    for made in DETECTORS:
        detector = made()
        begins = None if since is None else since - detector.window
        for entry in entries(ledger.audit.engine, dataclasses.replace(detector.wanted, since=begins, until=until)):
            found = detector.sees(entry)
            if found is not None and (since is None or found.last_at >= since):
                yield found

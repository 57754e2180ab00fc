"""How many security events there are, by class and outcome: for the metrics of a process that lives long."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from rowkeeper.ledger import Ledger
from rowkeeper.ledger.audit import Outcome
from rowkeeper.ledger.audit.listing import entries, tally
from rowkeeper.operations.events.classes import EventClass, class_of
from rowkeeper.operations.events.detecting import DETECTORS

Counts = Mapping[tuple[str, str], int]
"""Events since the trail began, by (class, outcome): `("authentication", "refused")`; they never become fewer."""


class EventCounts:
    """Counts: all entries at the first time, which takes seconds for a million; then those that are new.

    One for a process; called from any thread.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._engine = ledger.audit.engine
        self._lock = threading.Lock()
        self._next = 0
        self._detectors = [made() for made in DETECTORS]
        self._counts: Counter[tuple[str, str]] = Counter(
            {(each.word, outcome.value): 0 for each in EventClass for outcome in Outcome}
        )

    def read(self) -> Counts:
        """The counts as they are now. Raises DatabaseError."""
        with self._lock:
            first, (self._next, found) = self._next, tally(self._engine, self._next)
            for (action, outcome), count in found.items():
                self._counts[class_of(action)[0].word, outcome] += count
            for detector in self._detectors:
                seen = (entry for entry in entries(self._engine, detector.wanted, first=first))
                new = sum(detector.sees(entry) is not None for entry in seen if entry.number < self._next)
                self._counts[EventClass.DETECTION_FINDING.word, Outcome.DONE.value] += new
            return dict(self._counts)

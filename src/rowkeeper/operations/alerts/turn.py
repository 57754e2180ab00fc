"""Whose turn it is to look at the rules: of any number of processes that are up, one looks each time."""

from __future__ import annotations

from datetime import datetime, timedelta

from rowkeeper.ledger.alerts import LedgerAlerts


def is_wanted(alerts: LedgerAlerts, every: timedelta, now: datetime) -> bool:
    """Whether somebody should look now: nobody has for so long, or a notice is due. Raises DatabaseError."""
    last = alerts.last_look()
    return last is None or _is_late(last[0], every, now) or alerts.is_due(now)


def _is_late(looked_at: datetime, every: timedelta, now: datetime) -> bool:
    """A look that is far in the future was noted by a clock that was wrong: it counts for nothing."""
    return abs(now - looked_at) >= every

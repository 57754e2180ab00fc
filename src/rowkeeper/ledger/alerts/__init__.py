"""Alerts as the ledger keeps them: their state, the outbox of what is told, silences."""

from rowkeeper.ledger.alerts.alerts import LEASE, LedgerAlerts
from rowkeeper.ledger.alerts.records import (
    NAMES,
    Alert,
    Delivery,
    Kind,
    Notice,
    Severity,
    SilenceRecord,
    Standing,
    State,
    Step,
    Success,
    Told,
    Waiting,
)

__all__ = [
    "LEASE",
    "NAMES",
    "Alert",
    "Delivery",
    "Kind",
    "LedgerAlerts",
    "Notice",
    "Severity",
    "SilenceRecord",
    "Standing",
    "State",
    "Step",
    "Success",
    "Told",
    "Waiting",
]

"""Alerts: what rules find, who is told of it, and that nobody has to fail for something to be found."""

from rowkeeper.operations.alerts.alerting import (
    Listed,
    Looked,
    Rules,
    acknowledge,
    check_alerts,
    list_alerts,
    send_tests,
    show_alert,
    show_rules,
    silence,
    unsilence,
)
from rowkeeper.operations.alerts.declaring import Declared

__all__ = [
    "Declared",
    "Listed",
    "Looked",
    "Rules",
    "acknowledge",
    "check_alerts",
    "list_alerts",
    "send_tests",
    "show_alert",
    "show_rules",
    "silence",
    "unsilence",
]

"""The rules that are there without any file. One of the same name in the file takes its place."""

from __future__ import annotations

from datetime import timedelta

from rowkeeper.ledger.alerts import Severity
from rowkeeper.operations.alerts.conditions.quality import Gate, Quarantine
from rowkeeper.operations.alerts.conditions.runs import RunFailed, RunHeld, RunParked, RunSlow
from rowkeeper.operations.alerts.conditions.success import NoSuccess
from rowkeeper.operations.alerts.conditions.watching import HealthState, SecurityEvent, Undelivered
from rowkeeper.operations.alerts.rule import Rule

_QUARTER = timedelta(minutes=15)

BUILT_IN: tuple[Rule, ...] = (
    Rule("no-success", NoSuccess(), Severity.CRITICAL),
    Rule("run-failed", RunFailed(), Severity.WARNING, holds_for=_QUARTER),
    Rule("run-parked", RunParked(), Severity.WARNING, holds_for=_QUARTER),
    Rule("run-held", RunHeld(), Severity.WARNING),
    Rule("run-slow", RunSlow(), Severity.INFO),
    Rule("gate-warned", Gate(statuses=("warned",)), Severity.INFO),
    Rule("quarantine-share", Quarantine(), Severity.WARNING),
    Rule("health-bad", HealthState(), Severity.CRITICAL, holds_for=timedelta(minutes=5)),
    Rule("health-warning", HealthState(states=("warning", "unknown")), Severity.WARNING, holds_for=_QUARTER),
    Rule("security-detection", SecurityEvent(), Severity.CRITICAL),
    Rule("notices-undelivered", Undelivered(), Severity.WARNING),
)

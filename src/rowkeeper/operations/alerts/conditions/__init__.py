"""What rules can look for, by the word of the file."""

from collections.abc import Callable, Mapping

from rowkeeper.operations.alerts.conditions.quality import Gate, Quarantine
from rowkeeper.operations.alerts.conditions.runs import RunFailed, RunHeld, RunParked, RunSlow
from rowkeeper.operations.alerts.conditions.success import NoSuccess
from rowkeeper.operations.alerts.conditions.watching import HealthState, Metric, SecurityEvent, Undelivered
from rowkeeper.operations.alerts.rule import Condition
from rowkeeper.operations.alerts.tables import Table

__all__ = ["CONDITIONS"]

CONDITIONS: Mapping[str, Callable[[Table], Condition]] = {
    each.word: each.of
    for each in (
        Gate,
        HealthState,
        Metric,
        NoSuccess,
        Quarantine,
        RunFailed,
        RunHeld,
        RunParked,
        RunSlow,
        SecurityEvent,
        Undelivered,
    )
}
"""Makes a condition of its table."""

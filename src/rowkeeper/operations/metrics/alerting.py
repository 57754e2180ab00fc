"""Alerts of Rowkeeper's own that fire: for those who watch with Prometheus as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rowkeeper.ledger.alerts import State
from rowkeeper.operations.metrics import catalogue
from rowkeeper.operations.metrics.family import Family, families
from rowkeeper.runs.workspace import Workspace

FIRE = (State.FIRING, State.ACKNOWLEDGED, State.SILENCED)


def of_alerts(workspace: Workspace) -> Iterator[Family]:
    """By rule, severity and state; and when somebody looked last."""
    ledger = workspace.ledger.alerts
    firing = Counter((each.rule, each.severity.value, each.state.value) for each in ledger.open() if each.state in FIRE)
    yield families(catalogue.ALERTS, firing.items())
    last = ledger.last_look()
    yield families(catalogue.ALERTS_LOOKED, () if last is None else [((), last[0].timestamp())])

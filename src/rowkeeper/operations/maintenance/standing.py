"""What the ledger has of old slots and alerts.

It needs no lease: what can go is looked for in the very transaction that removes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from rowkeeper.operations.maintenance.task import Task
from rowkeeper.runs.workspace import Workspace


def find_slots(space: Workspace, now: datetime) -> Iterator[Task]:
    """Slots that ended long ago, of each pipeline."""
    before = now - timedelta(days=space.settings.slots_keep_days)
    for pipeline, count in space.ledger.pruning.slots(before).items():
        told = f"remove {count:,} slots that ended before {before:%Y-%m-%d}; which were answered stays known"
        yield Task("slots", pipeline, told, partial(space.ledger.pruning.remove_slots, pipeline, before))


def find_alerts(space: Workspace, now: datetime) -> Iterator[Task]:
    """Alerts and silences that are over for long; and what was delivered long ago, or given up."""
    pruning = space.ledger.pruning
    over = now - timedelta(days=space.settings.alerts_keep_days)
    ended = now - timedelta(days=space.settings.notices_keep_days)
    found = pruning.outgrown(over, ended)
    if found.alerts or found.silences:
        told = f"remove {found.alerts:,} alerts and {found.silences:,} silences that were over before {over:%Y-%m-%d}"
        yield Task("alerts", "alerts", told, partial(pruning.remove_alerts, over))
    if found.notices or found.attempts:
        told = (
            f"remove {found.notices:,} notices that were delivered or given up before {ended:%Y-%m-%d}, "
            f"and {found.attempts:,} attempts"
        )
        yield Task("notices", "alerts", told, partial(pruning.remove_notices, ended))

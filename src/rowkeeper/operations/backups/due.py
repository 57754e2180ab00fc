"""When backups are due: by schedule, after so many runs; which of them are full; when they are pruned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rowkeeper.ledger import Ledger
from rowkeeper.ledger.appointments import Appointment
from rowkeeper.operations.appointments import is_due, is_paused
from rowkeeper.operations.backups.manifest import Kind, moment_of
from rowkeeper.settings import OFF, Settings

BACKUP, PRUNE, DRILL = "backup", "backup prune", "backup drill"


def backup_due(settings: Settings, ledger: Ledger, found: Appointment, now: datetime) -> bool:
    """Whether a backup is to be made: a time of the schedule has come, or so many runs were published since."""
    if settings.backup_to is None or is_paused(found, now):
        return False
    after = settings.backup_after_runs
    if after is not None and ledger.appointments.publishes_since(found.publish_order) >= after:
        return True
    return is_due(settings.backup_schedule, found, now=now)


def prune_due(settings: Settings, found: Appointment, now: datetime) -> bool:
    """Whether backups are to be pruned."""
    if settings.backup_to is None or settings.backup_keep is None:
        return False
    return is_due(settings.backup_prune_schedule, found, now=now)


def drill_due(settings: Settings, ledger: Ledger, found: Appointment, now: datetime) -> bool:
    """Whether the newest backup is to be restored to try it. Before the first was made there is nothing to try."""
    if settings.backup_to is None or not is_due(settings.drill_schedule, found, now=now):
        return False
    return ledger.appointments.of(BACKUP).kept_at is not None


def full_due(every: str, ids: Sequence[str], now: datetime) -> bool:
    """Whether the next backup is to be a full one.

    Args:
        every: `7d`, a schedule, or `off`: as `backup_full_every`.
        ids: of the backups that there are.
    """
    newest = max((moment_of(id) for id in ids if id.endswith(Kind.FULL.value)), default=None)
    if newest is None:
        return True
    schedule = f"every {every}" if every != OFF and every.isalnum() else every
    return is_due(schedule, Appointment(BACKUP, newest), now=now)

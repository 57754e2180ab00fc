"""Whether backups are made: how old the newest is, what was published since, and how the last attempt ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from rowkeeper.operations.backups.due import BACKUP
from rowkeeper.operations.health.check import Check, State
from rowkeeper.operations.health.context import HealthContext

MEND = "rowkeeper backup create"


def look_at_backups(context: HealthContext) -> Iterator[Check]:
    """One check, where backups are set up: by what the ledger noted of them. The place itself is not asked."""
    if context.settings.backup_to is None:
        return
    days_max = context.settings.health_backup_days_max
    limit = f"{days_max:g} days (health_backup_days_max)"
    appointments = context.workspace.ledger.appointments
    found = appointments.find(BACKUP)
    kept_at = None if found is None else found.kept_at
    if found is None or kept_at is None:
        failed = f"; the last attempt failed: {found.told}" if found is not None and found.failures else ""
        state = State.BAD if failed else State.WARNING
        yield Check("backup", "", state, f"no backup was made yet{failed}", limit, MEND)
        return
    age, since = context.now - kept_at, appointments.publishes_since(found.publish_order)
    told = f"the newest is {age / timedelta(hours=1):,.1f} hours old; {since:,} runs were published since"
    old = age > timedelta(days=days_max) and since > 0
    if found.failures:
        told += f"; {found.failures} attempts in a row failed, the last: {found.told}"
        yield Check("backup", "", State.BAD if old else State.WARNING, told, limit, f"mend that, then {MEND}")
        return
    yield Check("backup", "", State.BAD if old else State.GOOD, told, limit, MEND if old else "")

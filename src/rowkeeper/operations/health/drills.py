"""Whether backups can be restored: how the last drill went, and how long ago the last good one was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from rowkeeper.operations.health.check import Check, State
from rowkeeper.operations.health.context import HealthContext

MEND = "rowkeeper backup drill"


def look_at_drills(context: HealthContext) -> Iterator[Check]:
    """One check, where backups are set up. A backup that was never restored is none that anybody knows of."""
    if context.settings.backup_to is None:
        return
    days_max = context.settings.health_drill_days_max
    limit = f"{days_max:g} days (health_drill_days_max)"
    last, good = context.workspace.ledger.drills.newest(), context.workspace.ledger.drills.newest(sound=True)
    if last is None:
        yield Check("drill", "", State.WARNING, "no backup was ever restored to try it", limit, MEND)
    elif not last.sound:
        told = f"the last drill, on {last.started_at:%Y-%m-%d}, failed: {last.told}"
        yield Check("drill", "", State.BAD, told, limit, f"mend that, then {MEND}")
    elif good is not None:
        age = context.now - good.started_at
        old = age > timedelta(days=days_max)
        told = f"the last good drill was {age.days:,} days ago: {good.rows:,} rows in {good.seconds:,.0f} s"
        yield Check("drill", "", State.WARNING if old else State.GOOD, told, limit, MEND if old else "")

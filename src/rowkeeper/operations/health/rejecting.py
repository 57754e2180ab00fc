"""Quarantine: pipelines whose last runs reject more of their rows than is usual for them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from rowkeeper.ledger import RunRecord
from rowkeeper.operations.health.check import Check, State
from rowkeeper.operations.health.context import HealthContext

NAME = "quarantine"
LAST = 3  # runs that are compared, together
FORMER = 30  # with so many before them
FORMER_LEAST = 5
SHARE_LEAST = 0.01  # on top of what is usual: a row among a hundred is no news
ROWS_LEAST = 20


def look_at_quarantine(context: HealthContext) -> Iterator[Check]:
    """A check for each pipeline that has run often enough."""
    ledger = context.workspace.ledger
    for name, target in ledger.last_targets().items():
        loads = [each for each in ledger.former_loads(name, target, limit=LAST + FORMER) if each.account.read]
        check = judge(name, loads, context.settings.health_quarantine_factor)
        if check is not None:
            yield check


def judge(pipeline: str, loads: Sequence[RunRecord], factor: float) -> Check | None:
    """The last runs against those before; None if they tell nothing.

    Args:
        loads: published ones, the newest first.
    """
    last, former = loads[:LAST], loads[LAST:]
    rows = sum(each.account.read for each in last)
    if len(former) < FORMER_LEAST or rows < ROWS_LEAST:
        return None
    share = sum(each.account.quarantined for each in last) / rows
    usual = statistics.median(each.account.quarantined / each.account.read for each in former)
    most = max(factor * usual, usual + SHARE_LEAST)
    told = f"{share:.1%} of the rows of the last {len(last)} runs were rejected; usual is {usual:.1%}"
    limit = f"{most:.1%} (health_quarantine_factor)"
    if share <= most:
        return Check(NAME, pipeline, State.GOOD, told, limit)
    return Check(NAME, pipeline, State.WARNING, told, limit, f"rowkeeper quarantine show {last[0].run}")

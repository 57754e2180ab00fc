"""Runs that wait: for somebody's decision, for their successor, and for their destination."""

from __future__ import annotations

from collections.abc import Iterator

from rowkeeper.ledger import RunRecord, RunStatus
from rowkeeper.operations.health.check import Check, State
from rowkeeper.operations.health.context import HealthContext


def look_at_runs(context: HealthContext) -> Iterator[Check]:
    """A check for each run that nobody is at: held by its gates, parked or left behind."""
    ledger = context.workspace.ledger
    for target in ledger.targets(unfinished=True):
        is_held = ledger.lease_alive(target)
        runs = ledger.unfinished(target)
        is_held = is_held or ledger.lease_alive(target)  # one may begin or end in between
        for run in runs:
            if run.status is RunStatus.HELD:
                mend = f"rowkeeper staging {run.run} shows it; rowkeeper publish {run.run} or abandon {run.run} decides"
                told = "held by its quality gates"
                yield Check("run", _named(run), State.BAD, told, mend=mend, since=run.finished_at or run.started_at)
            elif not is_held:
                told = f"left {run.status.value} by a process that ended"
                yield Check("run", _named(run), State.WARNING, told, mend="rowkeeper recover", since=run.started_at)


def look_at_spool(context: HealthContext) -> Iterator[Check]:
    """How many runs wait for their destination, and since when."""
    runs = context.workspace.ledger.spooled()
    if not runs:
        yield Check("spool", "", State.GOOD, "nothing waits in it")
        return
    oldest = min(each.started_at for each in runs)
    told = f"{len(runs):,} runs wait for their destination"
    state = State.BAD if any(each.error for each in runs) else State.WARNING
    yield Check("spool", "", state, told, mend="rowkeeper spool drain", since=oldest)


def _named(run: RunRecord) -> str:
    return f"{run.pipeline}/{run.run}"

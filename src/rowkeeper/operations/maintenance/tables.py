"""What runs left in a destination, and what grew there: for whoever holds its lease."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from rowkeeper.ledger import Ledger, RunKind, RunRecord
from rowkeeper.operations.maintenance.task import Task
from rowkeeper.protocols import DestinationSession, Merging, Tended
from rowkeeper.settings import Settings


def find_leftovers(
    ledger: Ledger, settings: Settings, target: str, session: DestinationSession, now: datetime
) -> Iterator[Task]:
    """Temporary tables that nobody comes back for: of runs that are over, as far as the ledger knows them.

    A run that it does not know is of a ledger that was put back from an older copy, or of another installation: not for
    us to say.
    """
    if not isinstance(session, Tended):
        return
    last = ledger.last_published(target)
    waiting = {run.run for run in (*ledger.unfinished(target), *ledger.spooled(target))}
    for leftover in session.leftovers():
        run = ledger.find_run(leftover.run)
        if run is None or run.target != target or run.run in waiting:
            continue
        if leftover.kind == "staging":
            told = f"what run {run.run} left in {leftover.name}"
            yield Task("staging", target, f"drop {told}", partial(session.clear, leftover), leftover.bytes)
        elif (why := _undo_over(run, last, settings.undo_keep_days, now)) is not None:
            told = f"drop the state before run {run.run}: {why}"
            yield Task("snapshots", target, told, partial(session.clear, leftover), leftover.bytes)


def _undo_over(run: RunRecord, last: RunRecord | None, days: float | None, now: datetime) -> str | None:
    """Why the state before a run is needed no longer; None if it is."""
    if last is None or run.run != last.run:
        return "later runs were published"
    if run.kind is RunKind.ROLLBACK:
        return "it took a run back, and is not taken back itself"
    if days is not None and run.finished_at is not None and run.finished_at < now - timedelta(days=days):
        return f"it is older than {days:g} days"
    return None


def find_crowds(settings: Settings, target: str, session: DestinationSession) -> Iterator[Task]:
    """Partitions in many parts, as far as there is leave to merge them now; of one that is too big it is told."""
    if not isinstance(session, Merging):
        return
    left = int(settings.maintain_merge_bytes_max)
    for crowd in session.crowds(settings.maintain_parts_max):
        if crowd.bytes <= left:
            left -= crowd.bytes
            told = f"merge {crowd.pieces:,} parts of partition {crowd.partition}"
            yield Task("parts", target, told, partial(session.merge, crowd), crowd.bytes)

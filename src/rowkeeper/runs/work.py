"""What a run is to read, compared with what an earlier one was to read."""

from __future__ import annotations

from collections.abc import Sequence

from rowkeeper.batch import Partition
from rowkeeper.errors import SourceError
from rowkeeper.ledger import RunPartition, RunRecord, RunStatus
from rowkeeper.protocols import Plan


def marked(plan: Plan) -> list[tuple[Partition, bool]]:
    """What is to be read, in order; the flag marks what replaces rows of a former load."""
    return [(each, False) for each in plan.load] + [(each, True) for each in plan.reload]


def to_add(partitions: Sequence[RunPartition], plan: Plan, *, takes_in: bool) -> list[Partition] | None:
    """What has come since a run was begun over these partitions, if it is one that the plan would begin now; else None.

    It is if all of its partitions are in the plan, unchanged, and what else is there is merely more to load.

    Args:
        takes_in: whether a run may be given more than it was begun with.
    """
    wanted = marked(plan)
    before = {_known(each.partition, each.reload) for each in partitions if each.partition.identity}
    if not before <= {_known(*each) for each in wanted}:
        return None
    keys = {each.partition.key for each in partitions}  # also of those that could not be read when it was begun
    more = [each for each in wanted if _known(*each) not in before]
    if more and (not takes_in or any(reload or part.key in keys for part, reload in more)):
        return None
    return [part for part, _ in more]


def _known(partition: Partition, reload: bool) -> tuple[str, str, bool]:
    return partition.key, partition.identity, reload


def going_on(run: RunRecord, rows: int, added: int) -> str:
    """That a run goes on where it stopped, with so many partitions more, for the report."""
    if run.status is RunStatus.HELD:
        return f"run {run.run}, which was held, is judged again; its {rows:,} rows are not read again"
    more = f"; partitions that have come since, and are read as well: {added:,}" if added else ""
    return f"run {run.run} goes on: {rows:,} rows had been read before it stopped{more}"


def failed_before(partition: RunPartition) -> SourceError:
    """The error of a partition that failed before this process took the run over."""
    error = partition.error or {}
    return SourceError(str(error.get("what")), hint=str(error.get("hint")))

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


def is_same_work(partitions: Sequence[RunPartition], plan: Plan) -> bool:
    """Whether a run that was begun over these partitions is one that the plan would begin now."""
    before = [(each.partition, each.reload) for each in partitions if each.partition.identity]
    return [(part.key, part.identity, reload) for part, reload in before] == [
        (part.key, part.identity, reload) for part, reload in marked(plan)
    ]


def going_on(run: RunRecord, rows: int) -> str:
    """That a run goes on where it stopped, for the report."""
    if run.status is RunStatus.HELD:
        return f"run {run.run}, which was held, is judged again; its {rows:,} rows are not read again"
    return f"run {run.run} goes on: {rows:,} rows had been read before it stopped"


def failed_before(partition: RunPartition) -> SourceError:
    """The error of a partition that failed before this process took the run over."""
    error = partition.error or {}
    return SourceError(str(error.get("what")), hint=str(error.get("hint")))

"""From the source to the spool: as from the source to the staging area, but that each batch goes into a sealed file.

The file is written first, and named by the ledger with the note of its batch: a batch that is noted is in the spool.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from rowkeeper.errors import FrameworkError
from rowkeeper.ledger import RunKind, RunPartition, RunRecord, RunStatus
from rowkeeper.logs.failure import document
from rowkeeper.pipeline import Pipeline
from rowkeeper.protocols import Plan
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.hold import Hold
from rowkeeper.runs.reconciling import DIED
from rowkeeper.runs.spoolfiles import sweep, write_rows, write_schema
from rowkeeper.runs.staging import Material, Stager
from rowkeeper.runs.work import failed_before, going_on, marked, to_add

CHANGED = {"type": "discarded", "what": "the pipeline or its input changed since", "hint": "run the pipeline again"}


class Spooler(Stager):
    """Seals into the spool what a run has still to read, and notes each batch in the ledger."""

    def __init__(self, held: Hold, run: RunRecord, material: Material, partitions: Sequence[RunPartition]) -> None:
        super().__init__(held, run, material, partitions, replaces={})
        write_schema(held.workspace, run.run, material.schema)
        failpoint("spool.after_schema")

    def _stage(self, items: Sequence[object]) -> None:
        """Nothing goes to the destination."""

    def _put_aside(self, ordinal: int, first_row: int, rows: pa.Table) -> Mapping[str, str]:
        if not rows.num_rows:
            return {}
        name = f"{self._run.run}/{self._held.lease.token}-{ordinal}-{first_row}.sealed"
        return {"spool_file": name, "spool_sha256": write_rows(self._held.workspace, name, rows)}

    def _withdraw(self, ordinal: int) -> None:
        """The ledger has forgotten the partition's batches; their files go with the run's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """What a load is to do.

    Attributes:
        source: what the ledger is to hold of the source.
    """

    pipeline: Pipeline
    definition: str
    source: Mapping[str, Any]
    plan: Plan

    @property
    def gates(self) -> list[str]:
        """Names of the quality gates that it has to pass."""
        return [gate.name for gate in self.pipeline.gates]


def go_on(held: Hold, work: Work, notes: list[str]) -> RunRecord | None:
    """Takes over the run that died on its way to the spool. One that is of other work is as if never begun."""
    for run in held.ledger.unfinished(held.target):
        if run.pipeline != work.pipeline.name or not run.in_spool or run.status is not RunStatus.INTERRUPTED:
            continue
        partitions = held.ledger.partitions(run.run)
        more = to_add(partitions, work.plan, takes_in=True) if run.definition == work.definition else None
        if more is not None:
            notes.append(going_on(run, sum(each.next_row for each in partitions), len(more)))
            return held.ledger.resume_run(held.lease, run.run, work.gates, more)
        held.ledger.fail_run(held.lease, run.run, CHANGED)
        sweep(held.workspace)
    return None


def begin(held: Hold, work: Work, notes: list[str], degraded: Sequence[str], why: FrameworkError) -> RunRecord:
    """Begins a run; or, in the spool, the one again that died or is held at the destination, out of reach.

    Raises `why` if there are several of those, or later ones wait in the spool, or somebody decided to publish what it
    had staged: no two runs may bring the same rows, none may bring what is newer than a later one's, and a decision is
    about the rows that were seen.
    """
    left = [
        run
        for run in held.ledger.unfinished(held.target)
        if run.pipeline == work.pipeline.name
        and run.kind is RunKind.LOAD
        and not run.in_spool
        and run.status is not RunStatus.PREPARED
    ]
    former = left[0].run if left else None
    if former is not None:
        later = [run for run in held.ledger.spooled(held.target) if run.run > former]
        if len(left) > 1 or later or held.ledger.override(former) is not None:
            raise why
    stale = [each.quarantine_file for each in held.ledger.batches(former)] if former is not None else []
    run = held.ledger.start_in_spool(
        held.lease,
        instead_of=former,
        pipeline=work.pipeline.name,
        target=held.target,
        definition=work.definition,
        source=work.source,
        destination=work.pipeline.destination.describe(),
        partitions=marked(work.plan),
        replaces_all=work.pipeline.destination.write_mode == "replace",
        gates=work.gates,
        failed={key: document(error) for key, error in work.plan.failed.items()},
        degraded=degraded,
    )
    failpoint("spool.after_start")
    for name in filter(None, stale):
        held.workspace.quarantine.remove(name)
    if former is not None:
        notes.append(f"run {former} starts over, in the spool: what it had staged is out of reach")
    return run


def read_into_spool(held: Hold, run: RunRecord, material: Material) -> None:
    """Reads, checks and seals what a run has still to read. Raises an error of a partition if none could be read."""
    spooler = Spooler(held, run, material, held.ledger.partitions(run.run))
    spooler.stage_all()
    partitions = held.ledger.partitions(run.run)
    if all(each.error is not None for each in partitions):
        raise next(iter(spooler.failures.values()), None) or failed_before(partitions[0])


def settle_in_ledger(held: Hold, why: FrameworkError) -> None:
    """What the reconciler does for dead runs, without the destination. The lease says that none of them is alive.

    Of one that was being published only the destination knows whether it is; its partitions count as spoken for. Raises
    `why` if that is the load that this process was at.
    """
    for run in held.ledger.unfinished(held.target):
        is_ours = run.token == held.lease.token
        if is_ours and run.status is RunStatus.PREPARED and not run.in_spool:
            raise why
        if run.status is RunStatus.STAGING and run.kind is not RunKind.ROLLBACK:
            held.ledger.interrupt_run(held.lease, run.run, document(why) if is_ours else DIED)

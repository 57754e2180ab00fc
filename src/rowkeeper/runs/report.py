"""What a command says of a run: while it goes on, and at its end."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from rowkeeper.batch import Account
from rowkeeper.ledger import (
    GateResult,
    Ledger,
    Override,
    QuarantineSummary,
    RunPartition,
    RunPerformance,
    RunRecord,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. Counts are of this run, those staged before a crash included.

    Attributes:
        step: open, drain, plan, load, gate, seal, publish or record.
        partition: key of the partition that is being staged, where one is.
        partitions_done, partitions: how many of how many.
        account: of what was staged so far; `committed` are rows on their way there.
    """

    pipeline: str
    step: str
    partition: str | None = None
    partitions_done: int = 0
    partitions: int = 0
    account: Account = dataclasses.field(default_factory=Account)


Observer = Callable[[Progress], None]


def unobserved(_progress: Progress) -> None:
    """For callers that do not look."""


@dataclasses.dataclass(frozen=True, slots=True)
class RunReport:
    """The outcome of one run, as `rowkeeper run --json` prints it.

    Attributes:
        status: "published", "unchanged", "spooled" or "failed".
        partitions: per partition: key, account, fingerprint.
        reasons: why rows were quarantined, "field: error type" to how often.
        gates: what the quality gates said.
        override: who published it against them, and why.
        notes: what a person should know besides: resumed, recovered, why nothing was committed.
        failed: the partitions that the run went on without, each with its error.
        degraded: what was done less well than it should have been, in sentences.
    """

    run: int
    pipeline: str
    target: str
    status: str
    account: Account
    partitions: tuple[Mapping[str, Any], ...]
    seconds: float
    fingerprint: str
    reasons: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    gates: tuple[GateResult, ...] = ()
    override: Override | None = None
    failed: tuple[Mapping[str, Any], ...] = ()
    degraded: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        record: RunRecord,
        partitions: tuple[RunPartition, ...],
        *,
        seconds: float,
        reasons: Mapping[str, int] | None = None,
        notes: tuple[str, ...] = (),
        gates: tuple[GateResult, ...] = (),
        override: Override | None = None,
    ) -> Self:
        """Put together from what the ledger holds, so that the report and the books cannot differ."""
        return cls(
            run=record.run,
            pipeline=record.pipeline,
            target=record.target,
            status=record.status.value,
            account=record.account,
            partitions=tuple(partition_document(each) for each in partitions if each.error is None),
            failed=failed_partitions(partitions),
            degraded=record.degraded,
            seconds=seconds,
            fingerprint=str(record.fingerprint) if record.fingerprint else "",
            reasons=reasons or {},
            notes=notes,
            gates=gates,
            override=override,
        )

    @classmethod
    def from_ledger(cls, ledger: Ledger, record: RunRecord, seconds: float, notes: Sequence[str]) -> Self:
        """With all that the ledger knows of the run."""
        reasons: Counter[str] = Counter()
        for batch in ledger.quarantine(record.run):
            reasons.update(batch.reasons)
        return cls.of(
            record,
            tuple(ledger.partitions(record.run)),
            seconds=seconds,
            reasons=dict(reasons.most_common()),
            notes=tuple(notes),
            gates=tuple(ledger.gate_results(record.run)),
            override=ledger.override(record.run),
        )

    @property
    def rows_per_second(self) -> float:
        """Rows read by the second of wall time."""
        return self.account.read / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "run": self.run,
            "pipeline": self.pipeline,
            "target": self.target,
            "status": self.status,
            "account": self.account.as_dict(),
            "partitions": list(self.partitions),
            "failed_partitions": list(self.failed),
            "degraded": list(self.degraded),
            "reasons": dict(self.reasons),
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rows_per_second),
            "fingerprint": self.fingerprint,
            "notes": list(self.notes),
            "gates": [gate_document(each) for each in self.gates],
            "override": override_document(self.override),
        }


def run_document(record: RunRecord) -> dict[str, Any]:
    """One run, as JSON."""
    return {
        "run": record.run,
        "pipeline": record.pipeline,
        "target": record.target,
        "kind": record.kind.value,
        "status": record.status.value,
        "account": record.account.as_dict(),
        "guarantees": dict(record.source.get("guarantees", {})),
        "fingerprint": str(record.fingerprint) if record.fingerprint else "",
        "reverses": record.reverses,
        "started_at": record.started_at.isoformat(),
        "finished_at": record.finished_at.isoformat() if record.finished_at else None,
        "seconds": record.seconds,
        "error": dict(record.error) if record.error else None,
        "note": record.note,
        "degraded": list(record.degraded),
    }


def rejected_document(summary: QuarantineSummary) -> dict[str, Any]:
    """What one run rejected, as JSON."""
    return {
        "run": summary.run,
        "pipeline": summary.pipeline,
        "rows": summary.rows,
        "reasons": dict(summary.reasons),
        "replayed": summary.replayed,
        "rows_replayed": summary.rows_replayed,
        "exports": summary.exports,
        "kept": summary.kept,
    }


def failed_partitions(partitions: Sequence[RunPartition]) -> tuple[Mapping[str, Any], ...]:
    """The partitions that a run went on without, as JSON: key, code, what, hint."""
    return tuple(
        {"key": each.partition.key, **{key: each.error.get(key) for key in ("code", "what", "hint")}}
        for each in partitions
        if each.error is not None
    )


def partition_document(partition: RunPartition) -> dict[str, Any]:
    """One partition of a run, as JSON."""
    return {
        "key": partition.partition.key,
        "identity": partition.partition.identity,
        "account": partition.account.as_dict(),
        "fingerprint": str(partition.fingerprint) if partition.fingerprint else "",
        **_shape_of(partition),
    }


def _shape_of(partition: RunPartition) -> dict[str, Any]:
    """What the records of a source without columns were made of, and what of that was new; names and kinds."""
    position = partition.partition.position or {}
    if "shape" not in position:
        return {}
    return {"schema": position["shape"], "schema_changes": list(position.get("changes", ()))}


def gate_document(result: GateResult) -> dict[str, Any]:
    """What one gate said, as JSON."""
    measured = result.measured
    return {
        "gate": result.gate,
        "dimension": result.dimension,
        "severity": result.severity,
        "status": result.status,
        "rows": result.rows,
        "offending": result.offending,
        "measured": measured if measured is not None and math.isfinite(measured) else None,
        "threshold": result.threshold,
        "told": result.told,
        "sample": result.sample_file,
        "judged_at": result.judged_at.isoformat(),
    }


def performance_document(found: RunPerformance | None) -> dict[str, Any] | None:
    """What a run took, as JSON; None if nobody has measured it."""
    if found is None:
        return None
    share = found.by_pydantic / found.rows if found.rows else None
    return {
        **{name: each for name, each in dataclasses.asdict(found).items() if name != "stages"},
        "share_by_pydantic": share,
        "stages": [dataclasses.asdict(each) for each in found.stages],
    }


def override_document(override: Override | None) -> dict[str, Any] | None:
    """Who published against the gates, as JSON."""
    if override is None:
        return None
    return {
        "who": override.who,
        "reason": override.reason,
        "critical": override.critical,
        "decided_at": override.decided_at.isoformat(),
    }

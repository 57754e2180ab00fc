"""What happened, for good: runs, accounts, leases, the quarantine index."""

from rowkeeper.ledger.ledger import Ledger
from rowkeeper.ledger.records import (
    BatchRecord,
    Lease,
    LoadedPartition,
    QuarantineSummary,
    RunKind,
    RunPartition,
    RunRecord,
    RunStatus,
    SchemaVersion,
)

__all__ = [
    "BatchRecord",
    "Lease",
    "Ledger",
    "LoadedPartition",
    "QuarantineSummary",
    "RunKind",
    "RunPartition",
    "RunRecord",
    "RunStatus",
    "SchemaVersion",
]

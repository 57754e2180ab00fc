"""What happened, for good: runs, accounts, leases, the quarantine index."""

from rowkeeper.ledger.jobs import JobOrder, JobRecord, JobState
from rowkeeper.ledger.ledger import Auditing, Ledger
from rowkeeper.ledger.places import ledger_endpoints
from rowkeeper.ledger.records import (
    BatchRecord,
    Export,
    GateResult,
    HeldLease,
    Lease,
    LoadedPartition,
    Override,
    ProfileRecord,
    QuarantineSummary,
    RunKind,
    RunPartition,
    RunRecord,
    RunStatus,
    SchemaVersion,
)
from rowkeeper.ledger.schedules import ScheduleRecord, Started, lease_name
from rowkeeper.ledger.securing import Transport
from rowkeeper.ledger.users import User

__all__ = [
    "Auditing",
    "BatchRecord",
    "Export",
    "GateResult",
    "HeldLease",
    "JobOrder",
    "JobRecord",
    "JobState",
    "Lease",
    "Ledger",
    "LoadedPartition",
    "Override",
    "ProfileRecord",
    "QuarantineSummary",
    "RunKind",
    "RunPartition",
    "RunRecord",
    "RunStatus",
    "ScheduleRecord",
    "SchemaVersion",
    "Started",
    "Transport",
    "User",
    "lease_name",
    "ledger_endpoints",
]

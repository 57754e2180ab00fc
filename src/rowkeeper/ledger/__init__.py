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
    RunPerformance,
    RunRecord,
    RunStatus,
    SchemaVersion,
    StagePerformance,
)
from rowkeeper.ledger.schedules import Paused, ScheduleRecord, Started, lease_name
from rowkeeper.ledger.securing import Transport
from rowkeeper.ledger.slots import SlotRecord, SlotState
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
    "Paused",
    "ProfileRecord",
    "QuarantineSummary",
    "RunKind",
    "RunPartition",
    "RunPerformance",
    "RunRecord",
    "RunStatus",
    "ScheduleRecord",
    "SchemaVersion",
    "SlotRecord",
    "SlotState",
    "StagePerformance",
    "Started",
    "Transport",
    "User",
    "lease_name",
    "ledger_endpoints",
]

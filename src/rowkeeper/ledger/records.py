"""What the ledger gives back: frozen values, one class for each kind of entry."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rowkeeper.batch import Account, Fingerprint, Partition


class RunKind(enum.StrEnum):
    """What a run does."""

    LOAD = "load"
    REPLAY = "replay"  # of quarantined rows
    ROLLBACK = "rollback"  # the reversing entry of another run
    RESTORE = "restore"  # the entry by which a restored backup undid what came after it


class RunStatus(enum.StrEnum):
    """Where a run stands."""

    STAGING = "staging"  # batches are being staged
    PREPARED = "prepared"  # all staged and read back, the account is fixed; the publish may have happened
    PUBLISHED = "published"
    UNCHANGED = "unchanged"  # there was nothing new
    INTERRUPTED = "interrupted"  # stopped or died while staging; its staging is kept, it can go on
    HELD = "held"  # a quality gate refused what is staged; it is kept until somebody decides
    SPOOLED = "spooled"  # read and checked, and sealed into the spool, as the destination could not take it
    FAILED = "failed"  # nothing published, nothing kept
    ROLLED_BACK = "rolled_back"  # was published, then taken back by a later run


@dataclasses.dataclass(frozen=True, slots=True)
class Lease:
    """The right to change a destination, until it expires or somebody takes it over.

    Attributes:
        token: the fencing token: greater than any given out for this name before.
    """

    name: str
    token: int
    expires_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease that somebody holds.

    Attributes:
        host: name of the machine, and what tells its boots apart.
        is_dead: the holder was a process of this machine that is no more.
    """

    name: str
    host: str
    pid: int
    acquired_at: datetime
    expires_at: datetime
    is_dead: bool


@dataclasses.dataclass(frozen=True, slots=True)
class RunRecord:
    """One run.

    Attributes:
        definition: hash of the pipeline it is a run of.
        token: the fencing token under which it works, or worked last.
        account: of what was read; fixed when the run is prepared.
        fingerprint: of the rows that it committed.
        columns: name and type of the destination's contract columns when it was published.
        replaces_all: publishing it replaces the whole table.
        drop_rows: (run, partition ordinal) of former loads that it replaces.
        reverses: the run that it takes back.
        error: type, what and hint, where it failed.
        gates: names of the quality gates that it has to pass.
        degraded: what it did less well than it should have, in sentences.
        in_spool: its rows are in spool files (or were, if it is published), not in a staging area since it was begun.
        pruned_at: when its batches, judgements and profile were removed, as it was older than they are kept.
    """

    run: int
    pipeline: str
    target: str
    kind: RunKind
    status: RunStatus
    definition: str
    source: Mapping[str, Any]
    destination: Mapping[str, Any]
    token: int
    host: str
    pid: int
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None
    account: Account
    fingerprint: Fingerprint | None
    columns: tuple[tuple[str, str], ...] | None
    replaces_all: bool
    drop_rows: tuple[tuple[int, int], ...]
    reverses: int | None
    error: Mapping[str, Any] | None
    note: str | None
    gates: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    in_spool: bool = False
    pruned_at: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class RunPartition:
    """A partition as one run reads it.

    Attributes:
        reload: it replaces rows of a former load.
        complete: it was read to its end.
        next_row: how many of its rows were read so far.
        error: why the run goes on without it (an error's document); then none of its rows are in the run.
    """

    run: int
    ordinal: int
    partition: Partition
    reload: bool
    complete: bool
    next_row: int
    account: Account
    fingerprint: Fingerprint | None
    error: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch that was staged: its rows are in the staging area, or in a spool file; its rejects in a sealed file.

    Attributes:
        quarantine_file: name below the quarantine folder.
        reasons: "field: error type" to how often.
        by_pydantic: rows that the columns could not decide.
        rules: for each business rule, how many rows it held for, did not hold for, could not be told of.
        spool_file: name below the spool, if it has accepted rows and they are there.
        duplicate: rows that the source knew to be loaded already.
    """

    run: int
    partition_ordinal: int
    first_row: int
    next_row: int
    staged: int
    quarantined: int
    filtered: int
    quarantine_file: str | None
    quarantine_sha256: str | None
    reasons: Mapping[str, int]
    staged_at: datetime
    by_pydantic: int = 0
    rules: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)
    spool_file: str | None = None
    spool_sha256: str | None = None
    duplicate: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedPartition:
    """A partition that the destination holds, and the run that brought it."""

    partition: Partition
    run: int
    ordinal: int


@dataclasses.dataclass(frozen=True, slots=True)
class SchemaVersion:
    """The contract columns of a table, from one run on."""

    version: int
    columns: tuple[tuple[str, str], ...]
    run: int


@dataclasses.dataclass(frozen=True, slots=True)
class QuarantineSummary:
    """What one run rejected.

    Attributes:
        rows_replayed: of the rows, those of which a replay was published.
        exports: how often they were taken out in the clear.
        kept: they are there; otherwise they were removed, as they were older than they are kept.
    """

    run: int
    pipeline: str
    rows: int
    reasons: Mapping[str, int]
    rows_replayed: int
    exports: int
    kept: bool = True

    @property
    def replayed(self) -> bool:
        """Whether nothing is left to replay."""
        return self.rows_replayed >= self.rows


@dataclasses.dataclass(frozen=True, slots=True)
class Export:
    """Rejected rows that somebody took out of quarantine, in the clear.

    Attributes:
        path: of the file, as it was named then.
    """

    run: int
    who: str
    path: str
    rows: int
    exported_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class GateResult:
    """What one quality gate said of a run's staged rows.

    Attributes:
        status: passed, failed, warned or unknown.
        rows, offending: rows that were judged and objected to; None where the gate does not look at rows.
        measured: what the threshold is compared with.
        told: a sentence with the figures.
        sample_file: name below the folder of samples; sealed.
    """

    run: int
    gate: str
    dimension: str
    severity: str
    status: str
    rows: int | None
    offending: int | None
    measured: float | None
    threshold: str
    told: str
    sample_file: str | None
    sample_sha256: str | None
    judged_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class ProfileRecord:
    """Where the profile of a run lies.

    Attributes:
        file: name below the folder of samples; sealed.
    """

    run: int
    rows: int
    file: str
    sha256: str
    made_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Override:
    """The decision to publish a run that its quality gates hold.

    Attributes:
        critical: it was said to be against critical gates as well.
    """

    run: int
    who: str
    reason: str
    critical: bool
    decided_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class StagePerformance:
    """What one stage of a run took; see `metering.StageFigures`."""

    stage: str
    rows: int
    bytes: int
    seconds: float
    cpu_seconds: float
    input_wait_seconds: float
    room_wait_seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class RunPerformance:
    """What a run took, in all the processes that closed it in the ledger; one that was killed took its own along.

    Attributes:
        cpu_seconds: of those processes, without the embedded engine's.
        peak_memory_bytes: the most that one of them had.
        retries: calls to other machines that were tried again.
        rows, by_pydantic: rows that were checked, and those of them that the columns could not decide.
        stages: in the order in which they began.
    """

    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    retries: int
    rows: int
    by_pydantic: int
    stages: tuple[StagePerformance, ...]

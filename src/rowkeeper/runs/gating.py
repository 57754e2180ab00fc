"""The gate of a run: the staged whole is judged before it is sealed and published.

The gates only read. What they said is noted in the ledger in one step, which also holds the run if one of them refused:
dying before it, the run is judged again; dying after it, the run is held or goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rowkeeper.batch import ROW_ID, partition_ordinal, row_number
from rowkeeper.errors import GateError
from rowkeeper.ledger import GateResult, Override, ProfileRecord, RunRecord
from rowkeeper.logs import logger
from rowkeeper.measures import Returned
from rowkeeper.quality import Gate, Judged, Past, Profile, Severity, Status, judge
from rowkeeper.resilience.degrading import optional
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.hold import Hold
from rowkeeper.runs.protecting import clear_columns
from rowkeeper.runs.publishing import change_of
from rowkeeper.runs.shielding import HIDDEN
from rowkeeper.runs.workspace import Workspace

HISTORY_RUNS = 10

log = logger("run")


def judge_run(held: Hold, run: RunRecord, gates: Sequence[Gate], classified: frozenset[str]) -> None:
    """Judges a wholly staged run, and notes verdicts and profile.

    Raises GateError if a gate of severity error or critical failed and nobody has overridden it; the run is held then.
    """
    held.tell(run.pipeline, "gate")
    now = datetime.now(UTC)
    judged, profile = judge(gates, held.session.staged(change_of(run)), _past(held, run, now), classified)
    failpoint("gate.after_judging")
    results = [_result(held, run, number, each, now) for number, each in enumerate(judged)]
    stored = _stored(held, run, profile, now)
    failpoint("gate.after_samples")
    error = _refusal(run, judged, held.ledger.override(run.run))
    failed = sum(each.status is Status.FAILED for each in judged)
    log.info("gates asked", passed=sum(each.status is Status.PASSED for each in judged), failed=failed)
    document = None if error is None else error.document()
    held.ledger.note_quality(held.lease, run.run, results, stored, document)
    if error is not None:
        raise error


def _stored(held: Hold, run: RunRecord, profile: Profile, now: datetime) -> ProfileRecord | None:
    """The profile, sealed away; a run can do without it."""
    name = f"{run.run}/profile-{held.lease.token}.sealed"
    digest = ""
    with optional("the profile of the columns"):
        digest = held.workspace.samples.write(name, json.dumps(profile.as_dict()).encode())
    return ProfileRecord(run.run, profile.rows, name, digest, now) if digest else None


def _past(held: Hold, run: RunRecord, now: datetime) -> Past:
    former = held.ledger.former_loads(run.pipeline, run.target, limit=HISTORY_RUNS)
    counts = tuple(each.account.committed for each in former if each.account.committed)  # of none nothing is learnt
    return Past(now, counts, open_profile(held.workspace, former[0].run) if former else None)


def open_profile(workspace: Workspace, run: int) -> Profile | None:
    """The profile of a run; None if it has none. Raises IntegrityError if it was changed."""
    record = workspace.ledger.profile(run)
    return None if record is None else Profile.from_dict(json.loads(workspace.samples.read(record.file)))


def open_sample(workspace: Workspace, result: GateResult) -> list[dict[str, Any]]:
    """The rows that a gate objects to, some of them. Raises IntegrityError if they were changed."""
    if result.sample_file is None:
        return []
    rows: list[dict[str, Any]] = json.loads(workspace.samples.read(result.sample_file))
    return rows


def _result(held: Hold, run: RunRecord, number: int, judged: Judged, now: datetime) -> GateResult:
    """A verdict for the ledger, its rows sealed away."""
    name = digest = None
    if judged.sample:
        name = f"{run.run}/gate-{held.lease.token}-{number}.sealed"
        partitions = {each.ordinal: each.partition.key for each in held.ledger.partitions(run.run)}
        shown = _withheld(judged.sample, clear_columns(run), is_query=isinstance(judged.gate.offenders(), Returned))
        rows = [_placed(row, partitions) for row in shown]
        with optional(f"the sample of the gate {judged.gate.name}"):
            digest = held.workspace.samples.write(name, json.dumps(rows, default=str).encode())
        name = name if digest else None
    finding = judged.finding
    return GateResult(
        run=run.run,
        gate=judged.gate.name,
        dimension=judged.gate.dimension.value,
        severity=judged.gate.severity.value,
        status=judged.status.value,
        rows=finding.rows,
        offending=finding.offending,
        measured=finding.measured,
        threshold=finding.threshold,
        told=finding.told,
        sample_file=name,
        sample_sha256=digest,
        judged_at=now,
    )


def _withheld(
    rows: Sequence[Mapping[str, Any]], classified: frozenset[str], *, is_query: bool
) -> list[Mapping[str, Any]]:
    """Rows without classified values. A query may give any column another name: of its rows nothing is shown then."""
    return [
        {
            name: HIDDEN if classified and name != ROW_ID and (is_query or name in classified) else value
            for name, value in row.items()
        }
        for row in rows
    ]


def _placed(row: Mapping[str, Any], partitions: Mapping[int, str]) -> dict[str, Any]:
    """A row with the place that it comes from instead of its address, where it has one."""
    shown = {name: value for name, value in row.items() if name != ROW_ID}
    if ROW_ID in row:
        address = int(row[ROW_ID])
        place = f"{partitions.get(partition_ordinal(address), '')}, row {row_number(address) + 1}"
        return {"place": place, "row": shown}
    return {"place": "", "row": shown}


def _refusal(run: RunRecord, judged: Sequence[Judged], override: Override | None) -> GateError | None:
    """The error of the gates that hold the run; None if none does."""
    failed = [each for each in judged if each.status is Status.FAILED]
    if override is not None:
        failed = [each for each in failed if each.gate.severity is Severity.CRITICAL and not override.critical]
    if not failed:
        return None
    first = f"the gate {failed[0].gate.name} failed: {failed[0].finding.told}"
    more = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
    critical = " --critical" if any(each.gate.severity is Severity.CRITICAL for each in failed) else ""
    return GateError(
        f"run {run.run} of {run.pipeline} is held: {first}{more}",
        hint=f"rowkeeper staging {run.run} shows gates and rows; mend the input or the pipeline and run again, "
        f'or publish it after all: rowkeeper publish {run.run} --override "REASON"{critical}',
        context={"run": run.run, "status": "held"},
    )

"""What is to be said of a run that somebody has to look after: what failed, where, how often, why, and what to do now.

Put together from the ledger and the log. It holds counts, places and reasons, and no value of a row.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rowkeeper.errors import FrameworkError, error_of
from rowkeeper.ledger import GateResult, Override, RunKind, RunPartition, RunRecord, RunStatus
from rowkeeper.logs.reading import lines_of
from rowkeeper.runs.journal import log_path
from rowkeeper.runs.rejects import open_rejects, places_of
from rowkeeper.runs.workspace import Workspace

FORMER_RUNS = 20
PLACES_EACH = 3
LINES_SHOWN = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """Why rows were rejected.

    Attributes:
        reason: "field: error type".
        places: some of the rows, by file and line.
    """

    reason: str
    rows: int
    partitions: int
    places: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Incident:
    """One run, looked at by somebody who has to do something about it.

    Attributes:
        former: the pipeline's last runs before it, the newest first.
        lines: what the log says of it.
        done: what Rowkeeper did about it, in sentences.
        steps: what a person should do now, the first thing first.
    """

    run: RunRecord
    account: Mapping[str, int]
    partitions: tuple[RunPartition, ...]
    reasons: tuple[Reason, ...]
    gates: tuple[GateResult, ...]
    override: Override | None
    former: tuple[RunRecord, ...]
    lines: tuple[Mapping[str, Any], ...]
    done: tuple[str, ...]
    steps: tuple[str, ...]

    @property
    def same_error(self) -> int:
        """How many of the former runs ended with the same error."""
        code = (self.run.error or {}).get("code")
        return sum(code is not None and (each.error or {}).get("code") == code for each in self.former)


def incident_of(number: int, workspace: Workspace) -> Incident:
    """Looks at a run. Raises UnknownRun if there is none of this number."""
    ledger = workspace.ledger
    run = ledger.run(number)
    partitions, batches = tuple(ledger.partitions(number)), ledger.batches(number)
    lines = tuple(line for line in lines_of(log_path(workspace.folder.path), number) if line.get("level") != "debug")
    staged = sum(each.staged for each in batches)
    ended = run.account.read > 0 or not batches
    account = {
        "read": sum(each.next_row - each.first_row for each in batches),
        "staged, not published": staged,
        "quarantined": sum(each.quarantined for each in batches),
        "filtered": sum(each.filtered for each in batches),
    }
    runs = ledger.runs(limit=FORMER_RUNS * 5, pipeline=run.pipeline)
    override = ledger.override(number)
    return Incident(
        run=run,
        account=run.account.as_dict() if ended else account,
        partitions=partitions,
        reasons=_reasons(workspace, number),
        gates=tuple(ledger.gate_results(number)),
        override=override,
        former=tuple(each for each in runs if each.run < number)[:FORMER_RUNS],
        lines=lines[-LINES_SHOWN:],
        done=tuple(_done(run, lines, staged, override)),
        steps=tuple(_steps(run)),
    )


def _reasons(workspace: Workspace, number: int) -> tuple[Reason, ...]:
    rows: Counter[str] = Counter()
    partitions: dict[str, set[int]] = {}
    places: dict[str, list[str]] = {}
    for record in workspace.ledger.quarantine(number):
        rows.update(record.reasons)
        for reason in record.reasons:
            partitions.setdefault(reason, set()).add(record.partition_ordinal)
        if any(len(places.get(reason, [])) < PLACES_EACH for reason in record.reasons):
            try:
                found = places_of(open_rejects(workspace.quarantine, str(record.quarantine_file)), PLACES_EACH)
            except FrameworkError:
                continue  # doctor tells of it: the counts are in the ledger
            for reason, more in found.items():
                places[reason] = [*places.get(reason, []), *more][:PLACES_EACH]
    return tuple(
        Reason(reason, count, len(partitions[reason]), tuple(places.get(reason, ())))
        for reason, count in rows.most_common()
    )


def _done(run: RunRecord, lines: Sequence[Mapping[str, Any]], staged: int, override: Override | None) -> list[str]:
    told = []
    said = {
        RunStatus.PUBLISHED: "The run was published in one step; readers see all of its rows.",
        RunStatus.ROLLED_BACK: "The run was published, and taken back by a later one.",
        RunStatus.UNCHANGED: "There was nothing new to load; the table was left alone.",
        RunStatus.FAILED: "Nothing was published: readers see the table as it was before. What was staged is dropped.",
        RunStatus.SPOOLED: "The destination could not take it: its rows wait in sealed files, to be published later.",
        RunStatus.PREPARED: "The process ended while publishing; the next command asks the table what took effect.",
    }
    kept = f"Nothing was published: readers see the table as it was before. {staged:,} staged rows are kept."
    told.append(said.get(run.status, kept))
    again = sum(line["event"] == "run taken over" for line in lines)
    if again:
        told.append(f"It was taken up again {_times(again)} where it had stopped.")
    for line in lines:
        if line["event"] == "dead run settled":
            told.append(f"The reconciler found it unfinished: {line.get('note', '')}.")
    failed = Counter(
        f"{line.get('operation')} on {line.get('host')}" for line in lines if line["event"] == "call failed"
    )
    told += [f"{name} failed {_times(count)} and was tried again as its policy says." for name, count in failed.items()]
    opened = Counter(
        f"{line.get('operation')} on {line.get('host')}"
        for line in lines
        if line["event"] == "breaker turned" and line.get("after") == "open"
    )
    told += [f"{name} was left alone {_times(count)}." for name, count in opened.items()]
    if override is not None:
        told.append(f"{override.who} published it against its gates, {override.decided_at:%Y-%m-%d %H:%M} UTC.")
    return told


def _steps(run: RunRecord) -> list[str]:
    """What to do now. The error knows best; then what a run of this status needs."""
    steps = []
    error = run.error or {}
    if run.status not in (RunStatus.PUBLISHED, RunStatus.UNCHANGED, RunStatus.ROLLED_BACK):
        if error.get("hint"):
            steps.append(str(error["hint"]))
        if error.get("code"):
            steps.append(_advice(str(error["code"])))
    number = run.run
    if run.status is RunStatus.HELD:
        steps.append(f"rowkeeper staging {number} shows what each gate found, with rows")
    elif run.status in (RunStatus.INTERRUPTED, RunStatus.STAGING) and run.kind is RunKind.LOAD:
        steps.append(f"rowkeeper resume {number} goes on where it stopped; rowkeeper abandon {number} gives it up")
    elif run.status is RunStatus.SPOOLED:
        steps.append(
            f"rowkeeper spool drain publishes it, as does the next run; rowkeeper abandon {number} gives it up"
        )
    if run.status is RunStatus.PUBLISHED and run.account.quarantined:
        steps.append(f"rowkeeper quarantine show {number} shows the rejected rows to whoever may see them")
        steps.append(f"mend the contract or the transform, then rowkeeper quarantine replay {number}")
    if run.status is not RunStatus.PUBLISHED or run.account.quarantined:
        steps.append(f"to ask somebody: rowkeeper bundle {number} makes a file without values or secrets to attach")
    return list(dict.fromkeys(step for step in steps if step))


def _advice(code: str) -> str:
    try:
        return error_of(code).advice
    except FrameworkError:
        return ""  # of a connector that is not installed here


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"

"""What is to be said of a run that somebody has to look after: what failed, where, how often, why, and what to do now.

Put together once, from the ledger, the log and the sealed files, for the terminal, for JSON and for the page: each of
them tells what is in this value, and nothing else. It holds counts, places and reasons, and no value of a row.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rowkeeper.errors import FrameworkError
from rowkeeper.ledger import BatchRecord, GateResult, Override, RunPartition, RunPerformance, RunRecord, RunStatus
from rowkeeper.ledger.audit import Event
from rowkeeper.logs.reading import lines_of
from rowkeeper.operations import sentences
from rowkeeper.runs.asking import resource_of, run_for
from rowkeeper.runs.gating import open_sample
from rowkeeper.runs.journal import log_path
from rowkeeper.runs.rejects import open_rejects, places_of
from rowkeeper.runs.report import (
    failed_partitions,
    gate_document,
    override_document,
    partition_document,
    performance_document,
    run_document,
)
from rowkeeper.runs.workspace import Workspace

FORMER_RUNS = 20
PLACES_EACH = 3
LINES_SHOWN = 200


class Level(enum.StrEnum):
    """How it stands."""

    PASSED = "passed"  # nobody has to do anything
    WARNED = "warned"  # it was not all well, or is not over
    FAILED = "failed"  # nothing was published


class Reached(enum.StrEnum):
    """How far the run came with a partition."""

    READ = "read"
    FAILED = "failed"  # the run went on without it
    STOPPED = "it stopped here"
    NOT_YET = "not reached"


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
        account: the run's; of one that has not come so far, what was read and staged of it.
        told: what is the matter, in sentences, the gravest first.
        partitions: each with how far the run came with it; those with something to see first.
        failed: the partitions that the run went on without: key, code, what, hint.
        gates: each with places of some rows that it objects to.
        former: the pipeline's last runs before it, the newest first.
        lines: what the log says of it.
        done: what Rowkeeper did about it, in sentences.
        steps: what a person should do now, the first thing first; empty if there is nothing to do.
        performance: what it took, by stage; None if nobody has measured it.
    """

    run: RunRecord
    level: Level
    account: Mapping[str, int]
    told: tuple[str, ...]
    partitions: tuple[tuple[RunPartition, Reached], ...]
    failed: tuple[Mapping[str, Any], ...]
    reasons: tuple[Reason, ...]
    gates: tuple[tuple[GateResult, tuple[str, ...]], ...]
    override: Override | None
    former: tuple[RunRecord, ...]
    lines: tuple[Mapping[str, Any], ...]
    done: tuple[str, ...]
    steps: tuple[str, ...]
    performance: RunPerformance | None = None

    @property
    def ended(self) -> str:
        """Its status in words; a run that was published without partitions that failed is published in part."""
        in_part = " in part" if self.failed and self.run.status is RunStatus.PUBLISHED else ""
        return self.run.status.value.replace("_", " ") + in_part

    @property
    def often(self) -> Mapping[str, int]:
        """How many runs were before it, how many of them ended with an error, and how many with the same one."""
        code = (self.run.error or {}).get("code")
        return {
            "former_runs": len(self.former),
            "with_an_error": sum(each.error is not None for each in self.former),
            "with_this_error": sum(code is not None and (each.error or {}).get("code") == code for each in self.former),
        }

    def as_dict(self) -> dict[str, Any]:
        """The JSON document: all of it but the lines of the log. Partitions are in the order in which they are read."""
        return {
            **run_document(self.run),
            "level": self.level.value,
            "ended": self.ended,
            "told": list(self.told),
            "so_far": dict(self.account),
            "partitions": [
                {**partition_document(each), "rows_read": each.next_row, "reached": reached.value}
                for each, reached in sorted(self.partitions, key=lambda each: each[0].ordinal)
                if reached is not Reached.FAILED
            ],
            "failed_partitions": [dict(each) for each in self.failed],
            "reasons": {each.reason: each.rows for each in self.reasons},
            "rejected": [dataclasses.asdict(each) for each in self.reasons],
            "gates": [{**gate_document(each), "places": list(places)} for each, places in self.gates],
            "override": override_document(self.override),
            "often": dict(self.often),
            "done": list(self.done),
            "next": list(self.steps),
            "performance": performance_document(self.performance),
        }


def incident_of(number: int, workspace: Workspace) -> Incident:
    """Looks at a run. Where sealed rows are opened for the places of some, that is on the record first.

    Raises AccessDenied or UnknownRun.
    """
    ledger = workspace.ledger
    run = run_for(workspace, "run.show", number)
    gates = tuple(ledger.gate_results(number))
    if ledger.quarantine(number) or any(each.sample_file for each in gates):
        ledger.audit.record(Event("run.show", {"run": number, "pipeline": run.pipeline}))
    partitions = tuple(ledger.partitions(number))
    log = [line for line in lines_of(log_path(workspace.folder.path), number) if line.get("level") != "debug"]
    facts = sentences.Facts(
        run=run,
        is_live=run.status in (RunStatus.STAGING, RunStatus.PREPARED) and ledger.lease_alive(run.target),
        account=_account(run, ledger.batches(number)),
        partitions=len(partitions),
        failed=failed_partitions(partitions),
        gates=gates,
        override=ledger.override(number),
        lines=log,
    )
    told = tuple(sentences.matter(facts))
    former = ledger.runs(limit=FORMER_RUNS, pipeline=run.pipeline, before=number)
    return Incident(
        run=run,
        level=_level(run, told),
        account=facts.account,
        told=told or (sentences.WELL.get(run.status, run.status.value),),
        partitions=tuple(_reached(run, partitions)),
        failed=tuple(facts.failed),
        reasons=_reasons(workspace, number),
        gates=tuple((each, _gate_places(workspace, each)) for each in facts.gates),
        override=facts.override,
        former=tuple(workspace.access.only("run.show", former, resource_of)),
        lines=tuple(log[-LINES_SHOWN:]),
        done=tuple(sentences.done(facts)),
        steps=tuple(sentences.steps(facts, needed=bool(told))),
        performance=ledger.totals.of_run(number),
    )


def _level(run: RunRecord, told: Sequence[str]) -> Level:
    if run.status in (RunStatus.FAILED, RunStatus.HELD):
        return Level.FAILED
    return Level.WARNED if told else Level.PASSED


def _account(run: RunRecord, batches: Sequence[BatchRecord]) -> Mapping[str, int]:
    if run.account.read or not batches:
        return run.account.as_dict()
    return {
        "read": sum(each.next_row - each.first_row for each in batches),
        "staged, not published": sum(each.staged for each in batches),
        "quarantined": sum(each.quarantined for each in batches),
        "duplicate": sum(each.duplicate for each in batches),
        "filtered": sum(each.filtered for each in batches),
    }


def _reached(run: RunRecord, partitions: Sequence[RunPartition]) -> list[tuple[RunPartition, Reached]]:
    """Those that failed first, then the one where it stopped, then those with the most rejected rows."""
    reading = [each.ordinal for each in partitions if each.error is None and not each.complete]
    stopped = None if run.status in sentences.OVER else min(reading, default=None)

    def reached(each: RunPartition) -> Reached:
        if each.error is not None:
            return Reached.FAILED
        if each.complete:
            return Reached.READ
        return Reached.STOPPED if each.ordinal == stopped else Reached.NOT_YET

    found = [(each, reached(each)) for each in partitions]
    first = (Reached.FAILED, Reached.STOPPED)
    return sorted(
        found, key=lambda each: (first.index(each[1]) if each[1] in first else 2, -each[0].account.quarantined)
    )


def _reasons(workspace: Workspace, number: int) -> tuple[Reason, ...]:
    rows: Counter[str] = Counter()
    partitions: dict[str, set[int]] = {}
    places: dict[str, list[str]] = {}
    for record in workspace.ledger.quarantine(number):
        rows.update(record.reasons)
        for reason in record.reasons:
            partitions.setdefault(reason, set()).add(record.partition_ordinal)
        if record.quarantine_file is None:
            continue  # its rows were removed: what is known of them is in the ledger
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


def _gate_places(workspace: Workspace, result: GateResult) -> tuple[str, ...]:
    try:
        rows = open_sample(workspace, result)
    except FrameworkError:
        return ()  # doctor tells of it: the figures are in the ledger
    return tuple(str(each["place"]) for each in rows if each["place"])[:PLACES_EACH]

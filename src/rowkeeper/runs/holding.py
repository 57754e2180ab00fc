"""What is done with a run that its quality gates hold: looked at, published after all, or discarded."""

from __future__ import annotations

import dataclasses

from rowkeeper import metering
from rowkeeper.batch import Account
from rowkeeper.errors import DeclarationError, RunUnfit, StagingDamaged
from rowkeeper.ledger import GateResult, RunRecord, RunStatus
from rowkeeper.ledger.audit import Event
from rowkeeper.protocols import Peeked, Peeking
from rowkeeper.runs.access import signature
from rowkeeper.runs.asking import run_for
from rowkeeper.runs.gating import open_sample
from rowkeeper.runs.hold import Hold, hold
from rowkeeper.runs.publishing import finish_load
from rowkeeper.runs.reconciling import Finding, check_commit, destination_of, discard_run, reconcile, take_over
from rowkeeper.runs.report import Observer, RunReport, unobserved
from rowkeeper.runs.spoolfiles import sweep
from rowkeeper.runs.workspace import Workspace

DAMAGED = "its staging area was damaged"
STAGED = (RunStatus.HELD, RunStatus.INTERRUPTED, RunStatus.STAGING)


@dataclasses.dataclass(frozen=True, slots=True)
class StagedRun:
    """A run that is staged and not published.

    Attributes:
        account: where its rows are so far; `committed` are those that wait in the staging area.
        relation: what stands for them after FROM in typed SQL; empty where typed SQL does not find them.
        samples: by gate, rows that it objects to.
        columns, rows: some of them, where typed SQL does not find them.
    """

    run: RunRecord
    account: Account
    gates: tuple[GateResult, ...]
    relation: str
    samples: tuple[tuple[str, list[dict[str, object]]], ...]
    columns: tuple[tuple[str, str], ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()


def look_at(number: int, workspace: Workspace, limit: int = 0) -> StagedRun:
    """Opens the staging area of a run for inspection; changes nothing. It is on the record before it is shown.

    Args:
        limit: how many rows, where typed SQL does not find them.

    Raises AccessDenied or UnknownRun; RunUnfit if there is none.
    """
    run = run_for(workspace, "staging.show", number)
    relation, peeked = _staged(workspace, run, limit) if run.status in STAGED else (None, None)
    if relation is None and peeked is None:
        raise RunUnfit(
            f"run {number} is {run.status.value}: nothing of it is staged",
            hint=f"rowkeeper show {number} tells what became of it",
        )
    workspace.ledger.audit.record(Event("staging.show", {"run": number, "pipeline": run.pipeline}))
    gates = tuple(workspace.ledger.gate_results(number))
    samples = tuple((each.gate, open_sample(workspace, each)) for each in gates if each.sample_file)
    columns, rows = peeked or ((), [])
    return StagedRun(run, _account(workspace, number), gates, relation or "", samples, columns, tuple(rows))


def _staged(workspace: Workspace, run: RunRecord, limit: int) -> tuple[str | None, Peeked | None]:
    session = destination_of(run).connect(workspace.site, None)
    try:
        peeked = session.peek(run.run, run.token, limit) if isinstance(session, Peeking) else None
        return session.staged_relation(run.run, run.token), peeked
    finally:
        session.close()


def _account(workspace: Workspace, number: int) -> Account:
    batches = workspace.ledger.batches(number)
    return sum(
        (
            Account(each.next_row - each.first_row, each.staged, each.quarantined, each.duplicate, each.filtered)
            for each in batches
        ),
        Account(),
    )


def publish_held(
    number: int, reason: str, workspace: Workspace, *, critical: bool = False, observe: Observer = unobserved
) -> RunReport:
    """Publishes a held run after all. The decision is in the ledger before anything is done.

    Asked again after a crash it goes on; after success it only reports.

    Args:
        reason: why, in words.
        critical: it is meant against gates of severity critical as well.

    Raises:
        AccessDenied, UnknownRun: the caller may not, or nobody could.
        DeclarationError: no reason is given.
        RunUnfit: the run is not held, or a critical gate holds it and `critical` is not said.
    """
    run = run_for(workspace, "run.publish", number)
    if not reason.strip():
        raise DeclarationError("an override needs a reason", hint=f'rowkeeper publish {number} --override "REASON"')
    with metering.metering(), hold(workspace, destination_of(run), observe=observe) as held:
        metering.step("open")
        reconcile(held)
        metering.measured_run(number)
        check_commit(held.ledger, held.session, held.target)
        run = held.ledger.run(number)
        if run.status is RunStatus.PUBLISHED and held.ledger.override(number) is not None:
            return _report(held, run, "it had been published already")
        _check_held(held, run, critical=critical)
        if held.ledger.override(number) is None or run.status is RunStatus.HELD:
            held.ledger.note_override(held.lease, number, who=signature(), reason=reason.strip(), critical=critical)
        resumed = take_over(held, run)
        if resumed is None and run.in_spool:
            held.ledger.interrupt_run(held.lease, number, {"type": "damaged", "what": DAMAGED, "hint": ""})
            raise StagingDamaged(f"run {number}: {DAMAGED}", hint="it waits in the spool: rowkeeper spool drain")
        if resumed is None:
            finding = discard_run(held, run, DAMAGED)
            raise StagingDamaged(finding.note, hint="nothing was published; run the pipeline again")
        published = finish_load(held, resumed, held.session.prepare())
        sweep(workspace)
        return _report(held, published, "published against its gates")


def _check_held(held: Hold, run: RunRecord, *, critical: bool) -> None:
    overridden = run.status is RunStatus.INTERRUPTED and held.ledger.override(run.run) is not None
    if run.status is not RunStatus.HELD and not overridden:
        raise RunUnfit(
            f"run {run.run} is {run.status.value}: only a run that its quality gates hold can be published like this",
            hint="rowkeeper runs shows which are held",
        )
    failed = [each for each in held.ledger.gate_results(run.run) if each.status == "failed"]
    severe = [each.gate for each in failed if each.severity == "critical"]
    if severe and not critical:
        raise RunUnfit(
            f"run {run.run} is held by a critical gate: {severe[0]}",
            hint=f'if it is to be published nevertheless: rowkeeper publish {run.run} --override "REASON" --critical',
        )


def discard_held(number: int, workspace: Workspace, observe: Observer = unobserved) -> Finding:
    """Drops what a run has staged; its input is as if never read.

    Raises AccessDenied or UnknownRun; RunUnfit if nothing of it is staged.
    """
    with hold(workspace, destination_of(run_for(workspace, "staging.discard", number)), observe=observe) as held:
        reconcile(held)
        run = held.ledger.run(number)
        if run.status not in STAGED:
            raise RunUnfit(
                f"run {number} is {run.status.value}: nothing of it is staged",
                hint=f"rowkeeper show {number} tells what became of it",
            )
        return discard_run(held, run, "discarded by rowkeeper staging --discard")


def _report(held: Hold, run: RunRecord, note: str) -> RunReport:
    ledger = held.ledger
    return RunReport.of(
        run,
        tuple(ledger.partitions(run.run)),
        seconds=held.seconds,
        notes=(note,),
        gates=tuple(ledger.gate_results(run.run)),
        override=ledger.override(run.run),
    )

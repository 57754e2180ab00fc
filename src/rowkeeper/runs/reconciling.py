"""What dead runs left behind, finished or undone: the destination is asked first, the ledger follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, cast

from rowkeeper import metering
from rowkeeper.batch import Partition
from rowkeeper.errors import BooksDiffer, ConfigurationError, FrameworkError, LeaseError, RunInterrupted
from rowkeeper.ledger import Ledger, RunKind, RunRecord, RunStatus
from rowkeeper.logs import logger
from rowkeeper.protocols import Destination, DestinationSession
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.asking import permitted
from rowkeeper.runs.boundary import crossing
from rowkeeper.runs.hold import Hold, hold
from rowkeeper.runs.placing import Waiting, put_in_place, waiting
from rowkeeper.runs.publishing import finish_load
from rowkeeper.runs.refusals import forget_refusals, note_refusals
from rowkeeper.runs.report import Observer, unobserved
from rowkeeper.runs.spoolfiles import sweep
from rowkeeper.runs.staging import staged_rows
from rowkeeper.runs.tidying import tidy
from rowkeeper.runs.workspace import Workspace

log = logger("recovery")

DIED = {"type": "died", "what": "the process ended without a word", "hint": "run the pipeline again: it goes on"}
UNDONE = {"type": "undone", "what": "it had not been published when the process ended", "hint": "ask for it again"}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What was done about one dead run: `recorded`, `finished`, `undone`, `kept` (to be resumed), `held`, or `spooled`
    (it waits in the spool).
    """

    run: int
    pipeline: str
    outcome: str
    note: str


def reconcile(held: Hold) -> list[Finding]:
    """Settles every unfinished run of a destination. The lease says that none of them is alive.

    1. Prepared: only the destination knows whether it was published. If so, the ledger learns of it now; if not, a
       rollback is called off and a load is open for resumption.
    2. Staging: it died there; what it staged is kept for the pipeline's next run. A rollback is called off.

    A run that is wholly in the spool waits there again. What a restore has decided on comes before all else.
    """
    put_in_place(held.workspace.folder.path, held.ledger, held.session, held.target)
    findings = []
    for run in held.ledger.unfinished(held.target):
        if run.status is RunStatus.PREPARED:
            findings.append(_settle(held, run))
        elif run.kind is RunKind.ROLLBACK:
            findings.append(_called_off(held, run))
        elif run.status is RunStatus.STAGING:
            held.ledger.interrupt_run(held.lease, run.run, DIED)
            findings.append(_put_down(held, run, f"run {run.run} died while staging"))
    return [_logged(each) for each in findings]


def _logged(finding: Finding) -> Finding:
    log.warning(
        "dead run settled", run=finding.run, pipeline=finding.pipeline, outcome=finding.outcome, note=finding.note
    )
    return finding


def _settle(held: Hold, run: RunRecord) -> Finding:
    with crossing(held.workspace.folder.path, held.target):
        published = held.session.settle(run.run)
        failpoint("reconcile.after_settle")
        if published:
            note_refusals(held, run)
            held.ledger.record_published(held.lease, run.run, seconds=0.0)
    if published:
        forget_refusals(held, run.run)
        tidy(held, run.run)
        note = f"run {run.run} had been published when it died; the ledger knows now"
        return Finding(run.run, run.pipeline, "recorded", note)
    if run.kind is RunKind.ROLLBACK:
        return _called_off(held, run)
    held.ledger.reopen_run(held.lease, run.run)
    return _put_down(held, run, f"run {run.run} died before it was published")


def _put_down(held: Hold, run: RunRecord, note: str) -> Finding:
    if held.ledger.run(run.run).status is RunStatus.SPOOLED:
        return Finding(run.run, run.pipeline, "spooled", f"{note}; it waits in the spool")
    return Finding(run.run, run.pipeline, "kept", note)


def _called_off(held: Hold, run: RunRecord) -> Finding:
    """A rollback has staged nothing that could be resumed: one that died is as if never asked for."""
    held.session.stage_drop(run.run)
    held.ledger.fail_run(held.lease, run.run, UNDONE)
    return Finding(run.run, run.pipeline, "undone", f"the rollback {run.run} died before it took effect")


def check_commit(ledger: Ledger, session: DestinationSession, target: str) -> None:
    """Compares what the destination says was published last with what the ledger says.

    Raises IntegrityError where they differ: the table was dropped, restored or loaded under another ledger.
    """
    found = session.commit_record()
    last = ledger.last_published(target)
    if found is None and last is None:
        return
    if found is not None and found.ledger_id != ledger.id:
        raise BooksDiffer(
            f"the table of {target} was loaded under another ledger ({found.ledger_id})",
            hint="use the state folder that it was loaded with, or load into another table",
        )
    if found is None or last is None or found.run != last.run:
        raise BooksDiffer(
            f"{target} says that it was published last by {_name(found.run if found else None)}, "
            f"and the ledger says by {_name(last.run if last else None)}",
            hint="somebody dropped, restored or replaced the table or the ledger: restore both from one backup, "
            "or load into another table",
        )


def _name(run: int | None) -> str:
    return "no run" if run is None else f"run {run}"


def destination_of(run: RunRecord) -> Destination:
    """Rebuilds the destination of a run from what the ledger holds of it."""
    return declared(run.destination, f"run {run.run} went to")


def declared(description: Mapping[str, Any], what: str = "there is") -> Destination:
    """Rebuilds a destination from what is held of it. Raises ConfigurationError if its package is not installed."""
    kind = str(description.get("kind"))
    for entry in entry_points(group="rowkeeper.destinations", name=kind):
        return cast("Destination", entry.load().from_description(description))
    raise ConfigurationError(
        f"{what} a destination of the kind {kind}, which is not installed",
        hint="install the package that it comes from",
    )


def reconcile_if_free(workspace: Workspace, destination: Destination) -> list[Finding]:
    """For commands that only look: settles dead runs, unless a live one holds the destination."""
    waits = any(each.target == destination.target for each in waiting(workspace.folder.path))
    if not waits and not workspace.ledger.unfinished(destination.target):
        return []
    try:
        with hold(workspace, destination) as held:
            return reconcile(held)
    except LeaseError:
        return []


def recover(
    workspace: Workspace, *, discard: bool = False, automatic: bool = False, observe: Observer = unobserved
) -> list[Finding]:
    """`rowkeeper recover`: settles every destination, and finishes what was wholly staged.

    Args:
        discard: undo what would otherwise be kept for the pipeline's next run to resume, but for what is in the spool:
            its source may be gone.
        automatic: nobody asked for it: leave alone what a live run holds, and what a person stopped.

    Raises:
        AccessDenied: there are some, and the caller may do this to none of them.
        FrameworkError: the first of them if several destinations refuse: none keeps the others from being settled.
    """
    ledger = workspace.ledger
    left = [run for target in ledger.targets(unfinished=True) for run in ledger.unfinished(target)]
    mine = {run.run: run.target for run in permitted(workspace, "run.resume", left)}
    sweep(workspace)
    findings: list[Finding] = []
    refusals: list[FrameworkError] = []
    for restored in waiting(workspace.folder.path):
        try:
            findings += _put_in_place(workspace, restored)
        except FrameworkError as error:
            if not (automatic and isinstance(error, LeaseError)):
                refusals.append(error)
    for target in dict.fromkeys(mine.values()):
        try:
            findings += _recover_one(workspace, target, mine, discard, automatic, observe)
        except FrameworkError as error:
            if not (automatic and isinstance(error, LeaseError)):
                refusals.append(error)
    if refusals:
        raise refusals[0]
    return findings


def _put_in_place(workspace: Workspace, restored: Waiting) -> list[Finding]:
    """A table on a server of which a restore has decided what it is."""
    with hold(workspace, declared(restored.destination)) as held:
        if put_in_place(workspace.folder.path, held.ledger, held.session, restored.target) is None:
            return []
    note = f"{restored.target} is as it was restored"
    return [_logged(Finding(restored.run, restored.pipeline, "finished", note))]


def _recover_one(  # noqa: PLR0917 - the arguments of `recover`, for one destination
    workspace: Workspace, target: str, mine: Container[int], discard: bool, automatic: bool, observe: Observer
) -> list[Finding]:
    """Settles what is dead, as everybody does who holds a destination; goes on with, or undoes, the caller's alone."""
    unfinished = workspace.ledger.unfinished(target)
    if not unfinished:  # somebody else was faster
        return []
    with hold(workspace, destination_of(unfinished[0]), observe=observe) as held:
        findings = [each for each in reconcile(held) if each.outcome != "kept"]
        left = [run for run in held.ledger.unfinished(target) if run.run in mine]
        return findings + [_finish_or_keep(held, run, discard) for run in left if not (automatic and was_stopped(run))]


def was_stopped(run: RunRecord) -> bool:
    """Whether a person stopped it, and was told that nothing was published: so it stays, until somebody goes on."""
    return (run.error or {}).get("code") == RunInterrupted.code


def _finish_or_keep(held: Hold, run: RunRecord, discard: bool) -> Finding:
    if discard and not run.in_spool:
        return discard_run(held, run, "discarded by recover --discard")
    waiting = _waiting_for(held, run)
    if waiting is not None:
        return waiting
    resumed = take_over(held, run)
    if resumed is None:
        return discard_run(held, run, "its staging area was damaged")
    try:
        with metering.metering():
            metering.measured_run(run.run)
            finish_load(held, resumed, held.session.prepare())
    except FrameworkError as error:
        return _logged(Finding(run.run, run.pipeline, "kept", f"run {run.run} could not be finished: {error}"))
    return _logged(Finding(run.run, run.pipeline, "finished", f"run {run.run} was wholly staged; it is published now"))


def _waiting_for(held: Hold, run: RunRecord) -> Finding | None:
    """What a run waits for that cannot be done without its pipeline; None if it can be finished."""
    if run.status is RunStatus.HELD:
        note = f"run {run.run} is held by its quality gates: rowkeeper staging {run.run} shows it"
        return Finding(run.run, run.pipeline, "held", note)
    if not all(partition.complete for partition in held.ledger.partitions(run.run)):
        note = f"run {run.run} is kept: rowkeeper run goes on where it stopped; recover --discard undoes it"
        return Finding(run.run, run.pipeline, "kept", note)
    if run.gates and held.ledger.override(run.run) is None:
        note = f"run {run.run} is kept: it has quality gates to pass, and rowkeeper run asks them"
        return Finding(run.run, run.pipeline, "kept", note)
    return None


def take_over(
    held: Hold, run: RunRecord, gates: Sequence[str] | None = None, more: Sequence[Partition] = ()
) -> RunRecord | None:
    """Makes a dead or held run this process's own, with exactly the rows that the ledger holds as staged.

    Args:
        gates: names of the quality gates that it has to pass now; None leaves them as they were.
        more: partitions that it is to read besides its own.

    None if the staging area does not hold them; the run can only be discarded then.
    """
    staged = staged_rows(held.ledger.batches(run.run), held.ledger.partitions(run.run))
    resumed = held.ledger.resume_run(held.lease, run.run, gates, more)
    failpoint("reconcile.after_resume")
    log.info("run taken over", run=run.run, pipeline=run.pipeline, token=held.lease.token)
    kept = held.session.stage_resume(run.run, held.lease.token, staged)
    return resumed if kept else None


def discard_run(held: Hold, run: RunRecord, why: str) -> Finding:
    """Drops what a dead run staged, or has in the spool, and closes it; its input is as if never read."""
    held.session.stage_drop(run.run)
    failpoint("reconcile.after_drop")
    held.ledger.fail_run(held.lease, run.run, {"type": "discarded", "what": why, "hint": "run the pipeline again"})
    tidy(held, run.run)
    sweep(held.workspace)
    return _logged(Finding(run.run, run.pipeline, "undone", f"run {run.run}: {why}"))

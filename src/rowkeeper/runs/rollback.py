"""`rowkeeper rollback`: a published run taken back by a reversing entry, itself a run."""

from __future__ import annotations

from rowkeeper import metering
from rowkeeper.errors import PipelineError, RunUnfit
from rowkeeper.ledger import RunKind, RunRecord, RunStatus
from rowkeeper.protocols import Change, Posting
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.asking import run_for
from rowkeeper.runs.hold import Hold, hold
from rowkeeper.runs.interrupt import uninterrupted
from rowkeeper.runs.publishing import publish_and_record
from rowkeeper.runs.reconciling import check_commit, destination_of, reconcile
from rowkeeper.runs.report import Observer, RunReport, unobserved
from rowkeeper.runs.workspace import Workspace


def rollback_run(number: int, workspace: Workspace, observe: Observer = unobserved) -> RunReport:
    """Takes a published run back.

    The last run of a table is taken back whole: the table as it was before is still kept. An earlier one is taken
    back by deleting its rows, which is possible if it only added rows.

    Raises:
        AccessDenied, UnknownRun: the caller may not, or nobody could.
        PipelineError: the run was not published, or can no longer be taken back.
    """
    destination = destination_of(run_for(workspace, "run.rollback", number))
    with metering.metering(), hold(workspace, destination, observe=observe) as held:
        metering.step("open")
        reconcile(held)
        check_commit(held.ledger, held.session, held.target)
        held.session.check_change(Change(reverse=number))
        run = held.ledger.run(number)
        postings = _reversing(held, run)
        with uninterrupted():
            record = publish_and_record(held, _entry(held, run, postings))
        rows = f"{run.account.committed:,} rows"
        note = f"run {number} was taken back: its {rows} are gone, and its input counts as not loaded"
        return RunReport.of(record, (), seconds=held.seconds, notes=(note,))


def _entry(held: Hold, run: RunRecord, postings: tuple[Posting, ...]) -> RunRecord:
    """The reversing entry, prepared: from here on it is finished or undone, whatever dies."""
    entry = held.ledger.start_run(
        held.lease,
        pipeline=run.pipeline,
        target=run.target,
        kind=RunKind.ROLLBACK,
        definition=run.definition,
        source={},
        destination=run.destination,
        partitions=(),
        replaces_all=False,
        drop_rows=(),
        reverses=run.run,
    )
    metering.measured_run(entry.run)
    failpoint("rollback.after_start")
    held.session.stage_open(entry.run, held.lease.token)  # empty: what fences this rollback, should it become a zombie
    columns = held.ledger.schema_versions(run.target)[-1].columns
    prepared = held.ledger.prepare_run(
        held.lease, entry.run, accounts={}, fingerprints={}, postings=postings, columns=columns
    )
    failpoint("rollback.after_prepare")
    return prepared


def _reversing(held: Hold, run: RunRecord) -> tuple[Posting, ...]:
    """The postings that take a run back, or why there are none."""
    if run.status is RunStatus.ROLLED_BACK:
        raise PipelineError(f"run {run.run} was taken back before", hint="rowkeeper runs shows by which run")
    if run.status is not RunStatus.PUBLISHED or run.kind in (RunKind.ROLLBACK, RunKind.RESTORE):
        raise RunUnfit(
            f"run {run.run} published no rows (its status is {run.status.value}, its kind {run.kind.value})",
            hint="rowkeeper runs lists those that did",
        )
    postings = held.ledger.postings(run.run)
    if held.session.undo_kept(run.run):
        return tuple(Posting(each.about_run, -each.change) for each in postings)
    if any(posting.about_run != run.run for posting in postings):
        raise RunUnfit(
            f"run {run.run} replaced rows of earlier runs, which can no longer be put back",
            hint="only the last run of such a table can be taken back, as long as nobody else has written to it; "
            "restore a backup, or load the former input",
        )
    left = held.ledger.balance(run.target).get(run.run)
    return (Posting(run.run, -left),) if left else ()

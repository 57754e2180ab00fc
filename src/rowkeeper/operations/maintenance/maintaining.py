"""The maintenance: every destination under its lease, then the installation. What fails does not stop the rest.

For each destination the tasks of a part are found first; then one entry of the audit trail says what is about to be
done; then it is done. A process that dies in between leaves what the next one finds and does.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain

from rowkeeper.access import of_installation
from rowkeeper.errors import FrameworkError, LeaseHeld, StateError
from rowkeeper.ledger import Lease, RunStatus
from rowkeeper.ledger.audit import Event
from rowkeeper.logs import failure, logger
from rowkeeper.logs.failure import document
from rowkeeper.operations.appointments import is_due, keep
from rowkeeper.operations.maintenance.history import find_old, find_orphans, find_strangers
from rowkeeper.operations.maintenance.installation import find_drafts, find_upkeep
from rowkeeper.operations.maintenance.standing import find_alerts, find_slots
from rowkeeper.operations.maintenance.tables import find_crowds, find_leftovers
from rowkeeper.operations.maintenance.task import Maintained, Step, Task
from rowkeeper.protocols import DestinationSession
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.hold import leased
from rowkeeper.runs.placing import put_in_place
from rowkeeper.runs.reconciling import check_commit, destination_of
from rowkeeper.runs.workspace import Workspace

MAINTAIN = "maintain"
SETTLING = (RunStatus.STAGING, RunStatus.PREPARED)
log = logger("maintenance")


def maintain(
    workspace: Workspace, *, dry_run: bool = False, automatic: bool = False, now: datetime | None = None
) -> Maintained | None:
    """Does what is to be done, or only tells of it.

    Args:
        dry_run: nothing is changed, no lease is taken, and nothing is noted.
        automatic: only if it is due by `maintain_schedule`. None is returned if it is not.
        now: by which the age of things is judged.

    Raises AccessDenied; LeaseHeld if it is under way.
    """
    workspace.access.require("maintain.run", of_installation())
    now = now or datetime.now(UTC)
    if dry_run:
        return _maintained(workspace, now, dry_run=True)
    due = functools.partial(is_due, workspace.settings.maintain_schedule, now=now) if automatic else None
    return keep(workspace.ledger, workspace.settings, MAINTAIN, lambda: _maintained(workspace, now), _told, due=due)


def _told(found: Maintained) -> str:
    """What went wrong, as the ledger keeps it; empty for nothing."""
    return "; ".join(f"{each.subject}: {(each.error or {}).get('what')}" for each in found.failed)


def _maintained(workspace: Workspace, now: datetime, *, dry_run: bool = False) -> Maintained:
    work = _Work(workspace, dry_run, now)
    for target in workspace.ledger.targets():
        work.guarded("tables", target, lambda target=target: work.maintain_target(target))  # type: ignore[misc]
    work.guarded("slots", "schedules", work.maintain_slots)
    work.guarded("alerts", "alerts", work.maintain_alerts)
    work.guarded("files", "state folder", work.maintain_files)
    work.guarded("ledger", "ledger", work.maintain_ledger)
    return Maintained(tuple(work.steps), dry_run)


class _Work:
    """One maintenance under way.

    Attributes:
        steps: what became of each task so far.
    """

    def __init__(self, workspace: Workspace, dry_run: bool, now: datetime) -> None:
        self._space = workspace
        self._dry_run = dry_run
        self._now = now
        self.steps: list[Step] = []

    def guarded(self, part: str, subject: str, work: Callable[[], None]) -> None:
        """A part that fails does not take the others along."""
        try:
            work()
        except LeaseHeld as error:
            self.steps.append(Step(part, subject, f"left alone: {error.what}", "left"))
        except (FrameworkError, OSError) as error:
            self._failed(part, subject, "it could not be looked at", error)

    def maintain_target(self, target: str) -> None:
        """One destination: what the ledger has of its runs, and what it holds itself."""
        with self._leased(target) as lease:
            self._do(target, chain(find_old(self._space, target, lease, self._now), find_orphans(self._space, target)))
            unsettled = [run for run in self._space.ledger.unfinished(target) if run.status in SETTLING]
            if unsettled:
                told = f"left alone: run {unsettled[0].run} died or is under way; rowkeeper recover settles it"
                self.steps.append(Step("tables", target, told, "left"))
                return
            newest = self._space.ledger.runs(limit=1, target=target)[0]
            session = destination_of(newest).connect(self._space.site, None)
            try:
                self._maintain_tables(target, session)
            finally:
                session.close()

    def _maintain_tables(self, target: str, session: DestinationSession) -> None:
        ledger, settings = self._space.ledger, self._space.settings
        if not self._dry_run:
            put_in_place(self._space.folder.path, ledger, session, target)
        check_commit(ledger, session, target)
        self._do(target, find_leftovers(ledger, settings, target, session, self._now))
        self._do(target, find_crowds(settings, target, session))

    def maintain_slots(self) -> None:
        """Slots of every pipeline, also of those that no worker serves any more."""
        self._do("schedules", find_slots(self._space, self._now))

    def maintain_alerts(self) -> None:
        """Alerts, silences, and what was told of them."""
        self._do("alerts", find_alerts(self._space, self._now))

    def maintain_files(self) -> None:
        """Files of the state folder that nobody needs."""
        self._do("state folder", chain(find_strangers(self._space), find_drafts(self._space, self._now)))

    def maintain_ledger(self) -> None:
        """The ledger's own database, last: what was removed before is free now."""
        if self._space.ledger.runs_alive():
            self.steps.append(Step("ledger", "ledger", "left alone: runs are under way", "left"))
            return
        self._do("ledger", find_upkeep(self._space))

    @contextmanager
    def _leased(self, target: str) -> Iterator[Lease | None]:
        if self._dry_run:
            if self._space.ledger.lease_alive(target):
                raise LeaseHeld(f"a run holds {target}", hint="try again when it has ended")
            yield None
            return
        with leased(self._space.ledger, target, self._space.settings.lease_seconds) as lease:
            failpoint("maintain.after_lease")
            yield lease

    def _do(self, subject: str, found: Iterable[Task]) -> None:
        tasks = list(found)
        if self._dry_run:
            self.steps += [Step(each.part, each.subject, each.told, "would", each.bytes) for each in tasks]
            return
        if tasks:
            self._note(subject, tasks)
        for task in tasks:
            try:
                task.act()
            except (FrameworkError, OSError) as error:
                self._failed(task.part, task.subject, task.told, error)
                continue
            self.steps.append(Step(task.part, task.subject, task.told, "done", task.bytes))
            log.info("maintained", operation=task.part, target=task.subject, note=task.told)

    def _note(self, subject: str, tasks: Sequence[Task]) -> None:
        """On the record before it is done."""
        counted = Counter(each.part for each in tasks)
        self._space.ledger.audit.record(Event("maintain.run", {"place": subject}, detail=dict(sorted(counted.items()))))
        failpoint("maintain.after_entry")

    def _failed(self, part: str, subject: str, told: str, error: FrameworkError | OSError) -> None:
        if isinstance(error, OSError):
            hint = "see to the disk, and to who owns the state folder"
            error = StateError(f"{told}: {error.strerror or type(error).__name__}", hint=hint)
        self.steps.append(Step(part, subject, told, "failed", error=document(error)))
        log.warning("not maintained", operation=part, target=subject, note=told, **failure(error))

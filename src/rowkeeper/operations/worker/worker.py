"""The work loop: serves schedules, has what died seen to and the spool drained, and watches all that it started.

It does none of the work itself. What runs pipelines, reads pipeline files or reconciles is a process of its own, so
that one that crashes, hangs or leaks does not take the worker along. All that must outlive the worker is in the ledger:
one that was killed, or whose machine was, is replaced by starting it again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rowkeeper.access import of_installation
from rowkeeper.errors import FrameworkError
from rowkeeper.ledger import ScheduleRecord
from rowkeeper.operations.worker.admission import Admission
from rowkeeper.operations.worker.alerting import Alerter
from rowkeeper.operations.worker.appointed import TASKS, Appointed
from rowkeeper.operations.worker.attempt import STOP_SECONDS, Attempt
from rowkeeper.operations.worker.chore import Chore
from rowkeeper.operations.worker.depending import sound
from rowkeeper.operations.worker.duty import Duty, next_at
from rowkeeper.operations.worker.files import Declared, Files, Tell
from rowkeeper.operations.worker.notify import Notifier
from rowkeeper.operations.worker.recovering import Reconciler
from rowkeeper.operations.worker.renewing import Renewer
from rowkeeper.operations.worker.sending import Sender
from rowkeeper.operations.worker.spool import Drainer
from rowkeeper.operations.worker.telling import logged
from rowkeeper.operations.worker.waking import Waker
from rowkeeper.operations.worker.watchdog import Watchdog
from rowkeeper.operations.worker.watching import Watcher
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.workspace import Workspace

ROUND_SECONDS = 1.0


class Worker:
    """Works until it is told to stop.

    Args:
        files: pipeline files; those of their pipelines that have a schedule are run.
        tell: is told what happens, as `tell(event, **facts)`; the log has it as well.
    """

    def __init__(self, workspace: Workspace, files: Sequence[Path], tell: Tell, source: random.Random) -> None:
        self._workspace = workspace
        self._tell = tell = logged(tell)
        self._source = source
        self._files = Files(files, tell)
        self._duties: dict[str, Duty] = {}
        self._leaving: list[Duty] = []  # no longer declared, and still under way
        self._admission = Admission(workspace, tell)
        self._reconciler = Reconciler(workspace, tell, source)
        others = (each(workspace, tell, source) for each in (Drainer, Renewer, Sender, Alerter))
        appointed = (Appointed(workspace, tell, source, task) for task in TASKS)
        watcher = Watcher(workspace, tell, source, self._files.good)
        self._chores: tuple[Chore, ...] = (self._reconciler, *others, *appointed, watcher)
        self._notifier = Notifier()
        self._waker = Waker()
        self._watchdog = Watchdog()
        self._declared_anew = False
        self._announced = False
        self._unsure = False  # something comes after a pipeline that a file may declare which is not read yet

    def work(self) -> None:
        """Returns when it was told to stop and all its children are gone.

        What it starts asks once more, each for itself: a child is the same user of the operating system.

        Raises AccessDenied.
        """
        self._workspace.access.require("worker.run", of_installation())
        with self._waker.listening(), self._watchdog.watching():
            try:
                while not self._waker.stops:
                    self._round()
                    failpoint("worker.after_round")
                    self._waker.wait(self._round_seconds)
                self._stop()
            finally:
                self._kill()

    @property
    def _round_seconds(self) -> float:
        asked = self._notifier.watchdog_seconds
        return ROUND_SECONDS if asked is None else min(ROUND_SECONDS, asked / 3)

    # ------------------------------------------------------------------ one round

    def _round(self) -> None:
        if self._waker.reload:
            self._waker.reload = False
            self._announced = False
            self._notifier.reloading()
            self._files.read_again()
        self._guarded(self._serve)
        for chore in self._chores:
            self._guarded(chore.look)
        if self._files.all_read and not self._declared_anew and not self._announced:
            self._announced = True
            self._notifier.ready(self._status())
            self._tell("ready", pipelines=sorted(self._duties))

    def _guarded(self, step: Callable[[], None]) -> None:
        """What the ledger or the disk refuses now may be granted in the next round: the worker stays."""
        self._watchdog.beat()
        self._notifier.alive(self._status())
        try:
            step()
        except FrameworkError as error:
            self._tell("refused", error=error.what, code=error.code)
        except OSError as error:  # no process, no descriptor, no space for a child
            self._tell("refused", error=f"{error.strerror or error}", code="")

    def _serve(self) -> None:
        self._declared_anew = self._files.look() or self._declared_anew or (self._unsure and self._files.all_read)
        if self._declared_anew:
            self._guarded(self._take_on)
        for duty in self._every():
            self._guarded(duty.hold)
            self._guarded(duty.look)
        self._part()
        self._hasten()
        self._start_due()

    def _part(self) -> None:
        """Lets go of what is no longer declared, once its run has ended."""
        for duty in [each for each in self._leaving if each.attempt is None]:
            self._leaving.remove(duty)
            self._guarded(duty.let_go)

    def _take_on(self) -> None:
        """Brings the duties in line with what the files declare now; all of them, or none if the ledger refuses."""
        declared = self._sound()
        for each in declared:
            self._workspace.ledger.schedules.declare(each.pipeline, str(each.file), each.timing)
        former, self._duties = self._duties, {}
        for each in declared:
            duty = former.pop(each.pipeline, None) or self._new_duty(each)
            duty.declared = each
            self._duties[duty.name] = duty
        self._leaving += former.values()
        for duty in former.values():
            if duty.follows:
                duty.stop()
        self._declared_anew = False

    def _sound(self) -> list[Declared]:
        """What is declared, without what comes after pipelines that nobody knows; while files are read, nobody can."""
        declared = list(self._files.declared())
        if not any(each.timing.after for each in declared):
            return declared
        schedules = {each.pipeline for each in self._workspace.ledger.schedules.all()}
        known = self._files.names() | schedules | set(self._workspace.ledger.pipelines())

        self._unsure = False

        def refuse(each: Declared, why: str) -> None:
            self._unsure = not self._files.all_read
            if not self._unsure:
                self._tell("ignored", file=str(each.file), pipeline=each.pipeline, error=why)

        return sound(declared, known, refuse)

    def _new_duty(self, declared: Declared) -> Duty:
        settings, ledger = self._workspace.settings, self._workspace.ledger
        limits = settings.lease_seconds, settings.worker_run_seconds_max
        return Duty(declared, ledger, self._tell, *limits, self._source)

    def _hasten(self) -> None:
        """A run of ours that died, and that the reconciler has kept, is gone on with."""
        for pipeline in self._reconciler.died():
            if pipeline in self._duties:
                self._duties[pipeline].urgent = True

    def _start_due(self) -> None:
        """Streams first, which are counted nowhere; then the one that waits longest."""
        now = datetime.now(UTC)
        records = self._workspace.ledger.schedules.all()
        for record in sorted(records, key=lambda each: (not each.timing.follows, next_at(each, now) or now)):
            duty = self._duties.get(record.pipeline)
            if duty is None:
                continue
            duty.heed(record)
            if duty.wants(record, now):
                if not self._may_start(duty, record):
                    return
                self._guarded(partial(duty.start, record))

    def _may_start(self, duty: Duty, record: ScheduleRecord) -> bool:
        """Whether there is room for one more; what a dead worker's child does is under way, and only watched."""
        counted = sum(not each.follows and each.attempt is not None for each in self._every())
        if not duty.follows and counted >= self._workspace.settings.worker_runs_max:
            return False
        if record.is_under_way:
            return True
        return self._admission.grants({attempt.pid for attempt in self._attempts()})

    def _attempts(self) -> list[Attempt]:
        return [duty.attempt for duty in self._every() if duty.attempt is not None]

    def _every(self) -> list[Duty]:
        return [*self._duties.values(), *self._leaving]

    def _under_way(self) -> int:
        return len(self._attempts())

    def _status(self) -> str:
        held = f", held back: {self._admission.why}" if self._admission.why else ""
        return f"{len(self._duties)} schedules, {self._under_way()} under way{held}"

    # ------------------------------------------------------------------ the end

    def _stop(self) -> None:
        """Children finish their batch; after `STOP_SECONDS`, or at a second signal, they are killed."""
        self._notifier.stopping()
        self._tell("stopping", under_way=self._under_way())
        every = self._every()
        for duty in every:
            duty.stop()
        for chore in self._chores:
            chore.stop()
        deadline = time.monotonic() + STOP_SECONDS
        while self._busy(every) and self._waker.stops == 1 and time.monotonic() < deadline:
            self._waker.wait(0.2)
        self._tell("stopped", killed=self._kill())
        for duty in every:
            self._guarded(duty.let_go)

    def _busy(self, every: Sequence[Duty]) -> bool:
        for duty in every:
            self._guarded(duty.look)
        return any(duty.attempt is not None for duty in every) or any(each.busy for each in self._chores)

    def _kill(self) -> int:
        """Ends whatever is left of what it started; how many runs that were."""
        self._files.kill()
        for chore in self._chores:
            chore.kill()
        left = [duty for duty in self._every() if duty.attempt is not None]
        for duty in left:
            duty.kill()
        return len(left)

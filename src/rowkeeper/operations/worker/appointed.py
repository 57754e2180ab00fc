"""The worker's care for what the installation does at times of its own: maintenance, backups, their pruning, drills.

The command keeps the appointment (see `operations/appointments.py`); the worker gives it when it is due.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rowkeeper.ledger import Ledger
from rowkeeper.ledger.appointments import Appointment, appointment_lease
from rowkeeper.operations.appointments import is_due
from rowkeeper.operations.backups.due import BACKUP, DRILL, PRUNE, backup_due, drill_due, prune_due
from rowkeeper.operations.maintenance.maintaining import MAINTAIN
from rowkeeper.operations.worker.chore import Chore
from rowkeeper.operations.worker.files import Tell
from rowkeeper.operations.worker.pausing import BUSY
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings

SECONDS_MAX = 24 * 3600.0
AT_IT = (*BUSY, "RK-7022")  # somebody else is; the last by a drill that was asked for


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One appointment, as the worker has it kept.

    Attributes:
        name: of the appointment.
        words: of the command.
        is_set: whether it is ever due; otherwise the ledger is not asked.
        due: whether it is due now.
        kept: the event that tells that it was kept.
        facts: of that event, by the command's document.
        failed: the event that tells that it could not be kept.
    """

    name: str
    words: tuple[str, ...]
    is_set: Callable[[Settings], bool]
    due: Callable[[Settings, Ledger, Appointment, datetime], bool]
    kept: str
    facts: Callable[[Mapping[str, Any]], dict[str, Any]]
    failed: str


def _steps(document: Mapping[str, Any]) -> dict[str, int]:
    done = sum(each["outcome"] == "done" for each in document["steps"])
    return {"steps": done, "left": len(document["steps"]) - done}


TASKS = (
    Task(
        MAINTAIN,
        ("maintain",),
        is_set=lambda settings: True,
        due=lambda settings, ledger, found, now: is_due(settings.maintain_schedule, found, now=now),
        kept="maintained",
        facts=_steps,
        failed="not maintained",
    ),
    Task(
        BACKUP,
        ("backup", "create"),
        is_set=lambda settings: settings.backup_to is not None,
        due=backup_due,
        kept="backed up",
        facts=lambda document: {"backup": document["id"], "size": document["size"]},
        failed="not backed up",
    ),
    Task(
        PRUNE,
        ("backup", "prune"),
        is_set=lambda settings: settings.backup_keep is not None,
        due=lambda settings, ledger, found, now: prune_due(settings, found, now),
        kept="backups pruned",
        facts=lambda document: {"removed": len(document["removed"]), "kept": len(document["kept"])},
        failed="backups not pruned",
    ),
    Task(
        DRILL,
        ("backup", "drill"),
        is_set=lambda settings: settings.backup_to is not None,
        due=drill_due,
        kept="drill passed",
        facts=lambda document: {"backup": document["backup"], "rows": document["rows"]},
        failed="drill failed",
    ),
)


class Appointed(Chore):
    """Gives a command when its appointment is due and nobody is at it."""

    def __init__(self, workspace: Workspace, tell: Tell, source: random.Random, task: Task) -> None:
        super().__init__(workspace, tell, source, (*task.words, "--automatic"), SECONDS_MAX)
        self._task = task

    def _waiting(self) -> Sequence[str]:
        settings, ledger, task = self._workspace.settings, self._workspace.ledger, self._task
        if not task.is_set(settings) or ledger.lease_alive(appointment_lease(task.name)):
            return ()
        return [task.name] if task.due(settings, ledger, ledger.appointments.of(task.name), datetime.now(UTC)) else ()

    def _take_in(self, document: Mapping[str, Any]) -> None:
        error = document.get("error") or ({} if document else {"what": "its process ended without a word"})
        if error and error.get("code") not in AT_IT:
            self._tell(self._task.failed, error=error.get("what", ""), code=error.get("code", ""))
        elif not error and document.get("status") != "not due":
            self._tell(self._task.kept, **self._task.facts(document))

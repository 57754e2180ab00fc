"""Backups that nobody asks for: made, pruned, and restored to try them, when it is due.

Each is an appointment of the installation (see `operations/appointments.py`): made once for each time, whoever dies.
"""

from __future__ import annotations

from datetime import UTC, datetime

from rowkeeper.access import of_installation
from rowkeeper.errors import BackupDamaged, BackupMissing
from rowkeeper.logs import failure, logger
from rowkeeper.operations.appointments import keep
from rowkeeper.operations.backups.creating import BOUNDARY_SECONDS_MAX, CreatedBackup, create_backup
from rowkeeper.operations.backups.due import BACKUP, DRILL, PRUNE, backup_due, drill_due, full_due, prune_due
from rowkeeper.operations.backups.pruning import Pruned, prune_backups
from rowkeeper.operations.backups.store import backup_store
from rowkeeper.operations.restoring.drilling import Drilled, drill
from rowkeeper.operations.restoring.restoring import Tell, Wanted
from rowkeeper.runs.workspace import Workspace

log = logger("backup")


def backup_if_due(workspace: Workspace) -> CreatedBackup | None:
    """Makes a backup if one is due; None if none is. Raises as `create_backup`.

    Where no backup can go on from the newest, as that is damaged or lacks its base, a full one is made.
    """
    workspace.access.require("backup.create", of_installation())
    settings, ledger, now = workspace.settings, workspace.ledger, datetime.now(UTC)

    def make() -> CreatedBackup:
        full = full_due(settings.backup_full_every, _ids(workspace), now)
        try:
            return create_backup(workspace, full=full)
        except (BackupDamaged, BackupMissing) as error:
            if full:
                raise
            log.warning("no backup can go on from the newest, a full one is made", **failure(error))
            return create_backup(workspace, full=True)

    due = lambda found: backup_due(settings, ledger, found, now)  # noqa: E731
    return keep(ledger, settings, BACKUP, make, _well, due=due)


def backup_now(
    workspace: Workspace, *, full: bool, quick: bool, wait_seconds: float = BOUNDARY_SECONDS_MAX
) -> CreatedBackup:
    """Makes a backup because somebody asks for it, where the settings say, and notes it as the worker's are noted.

    Raises as `create_backup`.
    """
    workspace.access.require("backup.create", of_installation())

    def make() -> CreatedBackup:
        return create_backup(workspace, full=full, quick=quick, wait_seconds=wait_seconds)

    made = keep(workspace.ledger, workspace.settings, BACKUP, make, _well)
    assert made is not None
    return made


def prune_if_due(workspace: Workspace) -> Pruned | None:
    """Prunes backups if that is due; None if it is not. Raises as `prune_backups`."""
    workspace.access.require("backup.prune", of_installation())
    settings, now = workspace.settings, datetime.now(UTC)

    def told(pruned: Pruned) -> str:
        return "; ".join(f"{id}: {error['what']}" for id, error in pruned.refused.items())

    due = lambda found: prune_due(settings, found, now)  # noqa: E731
    return keep(workspace.ledger, settings, PRUNE, lambda: prune_backups(workspace), told, due=due)


def drill_if_due(workspace: Workspace, tell: Tell = lambda _: None) -> Drilled | None:
    """Restores the newest backup to try it, if that is due; None if it is not. Raises as `drill`."""
    workspace.access.require("backup.drill", of_installation())
    settings, now = workspace.settings, datetime.now(UTC)
    due = lambda found: drill_due(settings, workspace.ledger, found, now)  # noqa: E731
    return keep(workspace.ledger, settings, DRILL, lambda: drill(workspace, Wanted(None, None), tell), _well, due=due)


def _well(_done: object) -> str:
    """What is not well raises."""
    return ""


def _ids(workspace: Workspace) -> list[str]:
    with backup_store(workspace) as store:
        return store.ids()

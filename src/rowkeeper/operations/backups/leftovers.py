"""What processes that died while they made a backup have left: half a backup in the place, and work in the engine's
folder. Nobody else makes one while the lease is held.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.errors import BackupForeign, StoreForbidden
from rowkeeper.logs import failure, logger
from rowkeeper.operations.backups.store import BackupStore
from rowkeeper.runs.workspace import Workspace

log = logger("backup")


def remove_leftovers(workspace: Workspace, store: BackupStore) -> list[str]:
    """Takes them away; returns the ids of those in the place that are gone. Raises StoreError, OSError.

    Where we may write and not delete, they stay, and are no backups all the same. Raises BackupForeign, before anything
    is taken away, for what another installation has begun.
    """
    left = store.begun()
    for id in left:
        if store.begun_by(id) != workspace.ledger.id:
            raise BackupForeign(
                f"another installation is making a backup in {store.place}, or has begun one: {id}",
                hint="a place is for the backups of one installation: set ROWKEEPER_BACKUP_TO to another",
            )
    for each in _work(workspace):
        shutil.rmtree(each, ignore_errors=True)
    store.remove_drafts()
    removed = []
    for id in left:
        try:
            store.remove(id)
        except StoreForbidden as error:
            log.warning("leftover not removed", backup=id, **failure(error))
            continue
        removed.append(id)
    return removed


def _work(workspace: Workspace) -> list[Path]:
    folder = EnginePlaces.under(workspace.folder.path).backups
    return sorted(folder.iterdir()) if folder.is_dir() else []

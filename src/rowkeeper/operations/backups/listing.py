"""`rowkeeper backup list`: which backups there are, and which of them can be used."""

from __future__ import annotations

import dataclasses
from typing import Any

from rowkeeper.access import of_installation
from rowkeeper.errors import BackupDamaged, BackupForeign
from rowkeeper.operations.backups.chain import manifest_of
from rowkeeper.operations.backups.manifest import ID, Manifest
from rowkeeper.operations.backups.store import backup_store
from rowkeeper.operations.backups.verifying import key_of_backups, sizes_differ
from rowkeeper.runs.workspace import Workspace

COMPLETE, BEGUN, BROKEN = "complete", "begun", "broken"


@dataclasses.dataclass(frozen=True, slots=True)
class ListedBackup:
    """A backup as it is told of.

    Attributes:
        manifest: None where it cannot be read, or is not there yet.
        state: `complete`; `begun`, and being made or left by a process that died; `broken`: it cannot be restored.
        told: why it is broken; empty otherwise.
    """

    id: str
    manifest: Manifest | None
    state: str
    told: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        made, kind = self.manifest, ID.fullmatch(self.id)
        points = made.points if made is not None else ()
        return {
            "id": self.id,
            "kind": kind[2] if kind is not None else None,
            "state": self.state,
            "told": self.told,
            "boundary": made.boundary.isoformat() if made is not None else None,
            "base": made.base if made is not None else None,
            "needs": list(made.needs) if made is not None else [],
            "size": made.size if made is not None else None,
            "run": made.run if made is not None else None,
            "points": list(points),
            "tables": [each.target for each in made.tables] if made is not None else [],
            "left_out": dict(made.left_out) if made is not None else {},
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Backups:
    """What lies in a place.

    Attributes:
        backups: oldest first.
    """

    place: str
    backups: tuple[ListedBackup, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {"place": self.place, "backups": [each.as_dict() for each in self.backups]}


def list_backups(workspace: Workspace, *, place: str | None = None) -> Backups:
    """All backups, oldest first. Their files are looked for, and not read: that is what `verify` does.

    Args:
        place: where they are; None is where the settings say.

    Raises:
        AccessDenied: the caller may not.
        BackupForeign: they are another installation's.
        StoreError: the place cannot be read.
    """
    workspace.access.require("backup.list", of_installation())
    key_of, found = key_of_backups(workspace), list[ListedBackup]()
    with backup_store(workspace, place) as store:
        for id in store.ids():
            try:
                manifest = manifest_of(store, id, key_of, workspace.ledger.id)
            except BackupForeign:
                raise
            except BackupDamaged as error:
                found.append(ListedBackup(id, None, BROKEN, error.what))
                continue
            fault = next(sizes_differ(store, manifest), "")
            found.append(ListedBackup(id, manifest, BROKEN if fault else COMPLETE, fault))
        begun = [ListedBackup(id, None, BEGUN) for id in store.begun()]
        return Backups(store.place, tuple(sorted(_with_chains(found) + begun, key=lambda each: each.id)))


def _with_chains(found: list[ListedBackup]) -> list[ListedBackup]:
    """A backup is of no use without each one that it needs."""
    whole = {each.id for each in found if each.state == COMPLETE}
    return [_with_chain(each, whole) for each in found]


def _with_chain(listed: ListedBackup, whole: set[str]) -> ListedBackup:
    needs = listed.manifest.needs if listed.manifest is not None else ()
    missing = [each for each in needs if each not in whole]
    if listed.state != COMPLETE or not missing:
        return listed
    return dataclasses.replace(listed, state=BROKEN, told=f"it needs {missing[0]}, which is missing or broken")

"""`rowkeeper backup prune`: backups that are kept no longer are removed, by `keeping.py`, without breaking a chain.

    1  under the lease of backups: nobody makes one, and nobody goes on from one that is about to go
    2  every manifest is read and authenticated, and every file looked for: what is not good takes nobody's place
    3  the decision, and an entry of the audit trail with it
    4  each backup: first its manifest, so that what is half removed claims nothing; then its files, then its beginning
    5  what dead processes left: backups that were begun, or half removed

Whatever needs another backup goes before it. Where the store refuses to remove one (it is locked, or these credentials
may not), that one stays whole, and so does all that it needs; the others go.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from rowkeeper.access import of_installation
from rowkeeper.errors import BackupDamaged, BackupForeign, KeyRevoked, SettingsError, StoreForbidden
from rowkeeper.ledger.audit import Event
from rowkeeper.ledger.leases import BACKUPS as LEASE
from rowkeeper.logs import failure, logger
from rowkeeper.logs.failure import document
from rowkeeper.operations.backups.chain import manifest_of
from rowkeeper.operations.backups.keeping import HINT, Condition, Decision, Known, Policy, decide
from rowkeeper.operations.backups.manifest import moment_of
from rowkeeper.operations.backups.store import BackupStore, backup_store
from rowkeeper.operations.backups.verifying import key_of_backups, sizes_differ
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.hold import leased
from rowkeeper.runs.workspace import Workspace

log = logger("backup")


@dataclasses.dataclass(frozen=True, slots=True)
class Pruned:
    """What became of the backups of a place.

    Attributes:
        kept: by id, why.
        removed: in the order in which they went; or would go, of a dry run.
        leftovers: what dead processes had left, and is gone.
        refused: by id, the error of the store that keeps it there.
        bytes: of the files of those removed.
    """

    place: str
    dry_run: bool
    kept: Mapping[str, tuple[str, ...]]
    removed: tuple[str, ...]
    leftovers: tuple[str, ...]
    refused: Mapping[str, Mapping[str, Any]]
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "status": "would" if self.dry_run else "refused" if self.refused else "pruned",
            "place": self.place,
            "kept": {id: list(why) for id, why in self.kept.items()},
            "removed": list(self.removed),
            "leftovers": list(self.leftovers),
            "refused": {id: dict(error) for id, error in self.refused.items()},
            "bytes": self.bytes,
            **({"error": dict(next(iter(self.refused.values())))} if self.refused else {}),
        }


def prune_backups(
    workspace: Workspace,
    *,
    keep: str | None = None,
    dry_run: bool = False,
    damaged: bool = False,
    place: str | None = None,
) -> Pruned:
    """Removes the backups that are kept no longer.

    Args:
        keep: how many of them are; None is as the settings say.
        dry_run: nothing is removed, no lease is taken, and nothing is noted.
        damaged: what cannot be restored goes too. Without, it stays until somebody decides.
        place: where they are; None is where the settings say.

    Raises:
        AccessDenied: the caller may not.
        SettingsError: it is not set how many are kept, or not understood.
        LeaseHeld: a backup is being made.
        StoreError: the place cannot be read. Nothing is removed then.
    """
    workspace.access.require("backup.prune", of_installation())
    policy = _policy(keep or workspace.settings.backup_keep)
    with backup_store(workspace, place, pruning=True) as store:
        if dry_run:
            return _Pruning(workspace, store, dry_run=True).prune(policy, damaged=damaged)
        with leased(workspace.ledger, LEASE, workspace.settings.lease_seconds):
            return _Pruning(workspace, store, dry_run=False).prune(policy, damaged=damaged)


def _policy(text: str | None) -> Policy:
    if text is None:
        raise SettingsError("it is not set how many backups are kept", hint=f"ROWKEEPER_BACKUP_KEEP, {HINT}")
    return Policy.parse(text)


class _Pruning:
    """One pruning under way."""

    def __init__(self, workspace: Workspace, store: BackupStore, *, dry_run: bool) -> None:
        self._workspace, self._store, self._dry_run = workspace, store, dry_run
        self._sizes: dict[str, int] = {}
        self._refused: dict[str, Mapping[str, Any]] = {}

    def prune(self, policy: Policy, *, damaged: bool) -> Pruned:
        known = {each.id: each for each in self._known()}
        found, begun = decide(known.values(), policy, damaged=damaged), self._begun()
        if self._dry_run:
            return self._pruned(found, found.removed, begun)
        if found.removed or begun:
            self._note(found, begun)
        removed = [id for id in found.removed if self._remove(id, self._needed(known))]
        leftovers = [id for id in begun if self._remove(id, ())]
        return self._pruned(found, removed, leftovers)

    def _begun(self) -> list[str]:
        """What this installation has begun, and nobody is at. What another one has is not for us to remove."""
        return [id for id in self._store.begun() if self._store.begun_by(id) == self._workspace.ledger.id]

    def _known(self) -> Iterator[Known]:
        key_of, own = key_of_backups(self._workspace), self._workspace.ledger.id
        for id in self._store.ids():
            at = moment_of(id)
            try:
                manifest = manifest_of(self._store, id, key_of, own)
            except BackupForeign:
                yield Known(id, at, condition=Condition.FOREIGN)
                continue
            except (BackupDamaged, KeyRevoked):
                yield Known(id, at, condition=Condition.DAMAGED)
                continue
            self._sizes[id] = manifest.size
            fault = next(sizes_differ(self._store, manifest), "")
            yield Known(id, at, manifest.needs, Condition.DAMAGED if fault else Condition.GOOD)

    def _needed(self, known: Mapping[str, Known]) -> set[str]:
        """What those need that the store refused to remove."""
        return {each for id in self._refused if id in known for each in known[id].needs}

    def _note(self, found: Decision, begun: list[str]) -> None:
        """On the record before anything is removed."""
        detail = {"removed": list(found.removed), "kept": len(found.kept), "leftovers": begun}
        self._workspace.ledger.audit.record(Event("backup.prune", {"place": self._store.place}, detail=detail))
        failpoint("prune.after_entry")

    def _remove(self, id: str, needed: set[str] | tuple[str, ...]) -> bool:
        if id in needed:
            return False
        try:
            self._store.remove(id)
        except StoreForbidden as error:
            self._refused[id] = document(error)
            log.warning("backup not removed", backup=id, **failure(error))
            return False
        log.info("backup removed", backup=id)
        failpoint("prune.after_remove")
        return True

    def _pruned(self, found: Decision, removed: tuple[str, ...] | list[str], leftovers: list[str]) -> Pruned:
        kept = {**found.kept, **dict.fromkeys(self._refused, ("the store refuses to remove it",))}
        kept |= {id: ("needed by one that the store keeps",) for id in found.removed if id not in (*removed, *kept)}
        size = sum(self._sizes.get(id, 0) for id in removed)
        ordered = dict(sorted(kept.items()))
        return Pruned(
            self._store.place, self._dry_run, ordered, tuple(removed), tuple(leftovers), dict(self._refused), size
        )

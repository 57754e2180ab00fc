"""`rowkeeper backup verify`: every byte of a backup, and of all that it needs, against the manifests."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from rowkeeper.access import of_installation
from rowkeeper.errors import BackupDamaged, BackupError, BackupForeign, BackupMissing, ObjectMissing
from rowkeeper.ledger.audit import Event
from rowkeeper.ledger.audit.event import Outcome
from rowkeeper.operations.backups.chain import ChainReader, KeyOf, chain_of, manifest_of
from rowkeeper.operations.backups.manifest import Manifest, StoredFile
from rowkeeper.operations.backups.store import BackupStore, backup_store
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.keysets import BACKUPS

READ_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class BackupCheck:
    """What was found of one backup and its chain.

    Attributes:
        findings: what is wrong, a sentence each.
        files, size: how many files, and bytes, were read.
    """

    id: str
    findings: tuple[str, ...]
    files: int
    size: int

    @property
    def sound(self) -> bool:
        """Whether it can be restored, as far as its files can tell."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {**dataclasses.asdict(self), "findings": list(self.findings), "sound": self.sound}


def verify_backups(workspace: Workspace, ids: Sequence[str] = (), *, place: str | None = None) -> list[BackupCheck]:
    """Reads all files of these backups, and of those that they need, and compares them with their manifests.

    Args:
        ids: which; none is all that there are.
        place: where they are; None is where the settings say.

    Raises:
        AccessDenied: the caller may not.
        BackupMissing: there is none of this name, or none at all.
        BackupForeign: they are another installation's.
        StoreError: the place cannot be read.
    """
    workspace.access.require("backup.verify", of_installation())
    key_of = key_of_backups(workspace)
    with backup_store(workspace, place) as store:
        there = store.ids()
        for id in ids:
            if id not in there:
                store.read_manifest(id)  # which says that there is none
        if not there:
            raise BackupMissing(f"there is no backup in {store.place}", hint="rowkeeper backup create makes one")
        known: dict[str, tuple[Manifest | None, tuple[str, ...]]] = {}
        checks = [_checked(store, id, key_of, workspace.ledger.id, known) for id in ids or there]
    for check in checks:
        outcome = Outcome.DONE if check.sound else Outcome.FAILED
        detail = {"sound": check.sound, "findings": len(check.findings)}
        workspace.ledger.audit.record(Event("backup.verify", {"backup": check.id}, outcome=outcome, detail=detail))
    return checks


def key_of_backups(workspace: Workspace) -> KeyOf:
    """The keys that backups of this installation are sealed with."""
    return lambda number: workspace.folder.keysets.of(BACKUPS).key(number)


def _checked(
    store: BackupStore,
    id: str,
    key_of: KeyOf,
    ledger_id: str,
    known: dict[str, tuple[Manifest | None, tuple[str, ...]]],
) -> BackupCheck:
    """One backup with its chain; `known` keeps what was found of each, so that none is read twice."""
    manifest, findings = _looked_at(store, id, key_of, ledger_id, known)
    chain = [] if manifest is None else [manifest]
    found = list(findings)
    for each in manifest.needs if manifest is not None else ():
        needed, faults = _looked_at(store, each, key_of, ledger_id, known)
        found += faults
        chain += [] if needed is None else [needed]
    files = [file for each in chain for file in each.files]
    return BackupCheck(id, tuple(found), len(files), sum(file.size for file in files))


def _looked_at(
    store: BackupStore,
    id: str,
    key_of: KeyOf,
    ledger_id: str,
    known: dict[str, tuple[Manifest | None, tuple[str, ...]]],
) -> tuple[Manifest | None, tuple[str, ...]]:
    if id not in known:
        try:
            manifest = manifest_of(store, id, key_of, ledger_id)
        except BackupForeign:
            raise
        except (BackupMissing, BackupDamaged) as error:
            known[id] = (None, (error.what,))
        else:
            known[id] = (manifest, tuple(faults_of(store, manifest, key_of)))
    return known[id]


def faults_of(store: BackupStore, manifest: Manifest, key_of: KeyOf) -> Iterator[str]:
    """What is wrong with the files of one backup, each read whole."""
    sound = True
    for file in manifest.files:
        fault = _fault(store, manifest.id, file)
        if fault is not None:
            sound = False
            yield f"the backup {manifest.id}: {file.name} {fault}"
    if sound:
        try:  # what the hashes vouch for must also be what can be opened
            ChainReader(store, [manifest], key_of).index()
        except BackupError as error:
            yield error.what


def sizes_differ(store: BackupStore, manifest: Manifest) -> Iterator[str]:
    """What is wrong with the files of one backup as far as a listing tells: which are missing, or have other sizes."""
    there = store.files(manifest.id)
    for file in manifest.files:
        if there.get(file.name) != file.size:
            what = "is not there" if file.name not in there else "has another size than it was written with"
            yield f"the backup {manifest.id}: {file.name} {what}"


def refuse_damaged(store: BackupStore, id: str, key_of: KeyOf, ledger_id: str, *, quick: bool) -> list[Manifest]:
    """The chain that another backup is to go on from, looked at. Raises BackupMissing, BackupDamaged."""
    chain = chain_of(store, id, key_of, ledger_id)
    for manifest in chain:
        for fault in sizes_differ(store, manifest) if quick else faults_of(store, manifest, key_of):
            raise BackupDamaged(
                f"no backup can go on from {id}: {fault}",
                hint="make a full one: rowkeeper backup create --full; rowkeeper backup verify looks at all of them",
            )
    return chain


def _fault(store: BackupStore, id: str, file: StoredFile) -> str | None:
    digest, size = hashlib.sha256(), 0
    try:
        with store.open(id, file.name) as opened:
            while data := opened.read(READ_BYTES):
                digest.update(data)
                size += len(data)
    except ObjectMissing:
        return "is not there"
    if size != file.size:
        return f"has {size:,} bytes, and was written with {file.size:,}"
    return None if digest.hexdigest() == file.sha256 else "was changed since it was written"

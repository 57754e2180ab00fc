"""Backups as they lie in a place, made by hand: whole manifests with files of some bytes, and no tables in them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from rowkeeper.operations.backups.manifest import ID_FORMAT, Kind, Manifest, StoredFile
from rowkeeper.operations.backups.store import BackupStore, backup_store
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.keysets import BACKUPS

FILES = {"index": b"what lies where", "sealed-0": b"ledger and keys", "tables-0": b"rows"}


def id_of(at: datetime, kind: Kind) -> str:
    return f"{at.astimezone(UTC).strftime(ID_FORMAT)}-{kind.value}"


def begin(space: Workspace, place: Path | str, id: str, files: int = 2) -> None:
    """What a process leaves that dies before it has written the manifest."""
    with backup_store(space, str(place)) as store:
        _send(space, store, id, files)


def make(space: Workspace, place: Path | str, id: str, needs: tuple[str, ...] = (), ledger_id: str = "") -> Manifest:
    """A whole backup."""
    manifest = Manifest(
        id=id,
        kind=Kind(id.rpartition("-")[2]),
        base=needs[-1] if needs else None,
        needs=needs,
        ledger_id=ledger_id or space.ledger.id,
        home_id=space.folder.id,
        boundary=datetime.now(UTC),
        made_at=datetime.now(UTC),
        run=None,
        order=0,
        tables=(),
        elsewhere=(),
        left_out={},
        keys={},
        files=tuple(StoredFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in FILES.items()),
        index="index",
        rowkeeper="1",
        schema="0",
    )
    with backup_store(space, str(place)) as store:
        _send(space, store, id, len(FILES))
        store.complete(manifest, space.folder.keysets.of(BACKUPS).primary)
    return manifest


def _send(space: Workspace, store: BackupStore, id: str, files: int) -> None:
    store.begin(id, space.ledger.id)
    for name, data in list(FILES.items())[:files]:
        store.put(id, name, data)

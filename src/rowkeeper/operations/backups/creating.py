"""`rowkeeper backup create`: a moment is captured, ClickHouse backs up its tables, and all of it is sealed and sent.

The order is the proof that a backup is whole or is none:

    begin     its name is noted in the place, so that what a dead process leaves is found
    capture   tables, ledger and files as they were between two runs
    native    ClickHouse's own backup of the embedded engine's tables
    send      everything into packs, and into them the rows of tables on servers
    complete  what was sent is made durable, and only then the manifest is written: now the backup is there

Nothing that was there before is touched on the way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from rowkeeper.access import of_installation
from rowkeeper.errors import BackupDamaged, FrameworkError
from rowkeeper.ledger import Lease
from rowkeeper.ledger.audit import Event
from rowkeeper.ledger.leases import BACKUPS as LEASE
from rowkeeper.logs import logger
from rowkeeper.operations.backups.capturing import Capture, Captured
from rowkeeper.operations.backups.chain import ChainReader, KeyOf, manifest_of
from rowkeeper.operations.backups.leftovers import remove_leftovers
from rowkeeper.operations.backups.manifest import ID_FORMAT, Kind, Manifest, StoredFile, moment_of
from rowkeeper.operations.backups.packing import INDEX, Packer
from rowkeeper.operations.backups.packs import Entry
from rowkeeper.operations.backups.rows import RowsKnown, RowsSending
from rowkeeper.operations.backups.store import BackupStore, backup_store
from rowkeeper.operations.backups.verifying import key_of_backups, refuse_damaged
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.hold import leased
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.keysets import BACKUPS

BOUNDARY_SECONDS_MAX = 600.0
NATIVE = ".backup"  # ClickHouse's description of its own backup

log = logger("backup")
Observe = Callable[[str], None]


def unobserved(_step: str) -> None:
    """For who does not look on."""


@dataclasses.dataclass(frozen=True, slots=True)
class CreatedBackup:
    """A backup that was made just now.

    Attributes:
        place: where it is.
        seconds: how long it took; `held_seconds` of them publishes had to wait.
        removed: ids of backups that dead processes had begun, and that were taken away.
    """

    manifest: Manifest
    place: str
    seconds: float
    held_seconds: float
    removed: tuple[str, ...]
    why_full: str | None

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        made = self.manifest
        return {
            "id": made.id,
            "kind": made.kind.value,
            "base": made.base,
            "place": self.place,
            "boundary": made.boundary.isoformat(),
            "run": made.run,
            "size": made.size,
            "files": len(made.files),
            "tables": [{"target": each.target, "run": each.run, "rows": each.fingerprint} for each in made.tables],
            "points": list(made.points),
            "elsewhere": list(made.elsewhere),
            "left_out": dict(made.left_out),
            "seconds": round(self.seconds, 3),
            "held_seconds": round(self.held_seconds, 3),
            "removed": list(self.removed),
            "why_full": self.why_full,
        }


@dataclasses.dataclass(frozen=True, slots=True)
class _Base:
    """What an incremental backup goes on from; nothing for a full one."""

    chain: Sequence[Manifest] = ()
    why_full: str | None = None

    @property
    def manifest(self) -> Manifest | None:
        return self.chain[-1] if self.chain else None


def create_backup(
    workspace: Workspace,
    *,
    full: bool = False,
    quick: bool = False,
    place: str | None = None,
    wait_seconds: float = BOUNDARY_SECONDS_MAX,
    observe: Observe = unobserved,
) -> CreatedBackup:
    """Makes a backup: an incremental one where there is one to go on from, otherwise a full one.

    Args:
        full: a full one in any case.
        quick: the base is looked at as far as a listing tells, and not read.
        place: where it goes; None is where the settings say.
        wait_seconds: how long to wait for a moment between runs.

    Raises:
        AccessDenied: the caller may not.
        BackupError: it is not set up; what there is cannot be backed up; the base is missing or damaged; the place is
            another installation's.
        LeaseHeld: another backup is being made, or runs leave no moment between them.
        StoreError, DiskFull: there is no room, or no permission, where it is to go. Nothing that was there is touched.
    """
    workspace.access.require("backup.create", of_installation())
    started = time.monotonic()
    workspace.ledger.refuse_uncopied()
    with (
        leased(workspace.ledger, LEASE, workspace.settings.lease_seconds) as lease,
        backup_store(workspace, place) as store,
    ):
        key_of = key_of_backups(workspace)
        observe("base")
        base = _base(workspace, store, key_of, full=full, quick=quick)
        removed = remove_leftovers(workspace, store)
        is_settled = place is None or place == workspace.settings.backup_to
        making = _Making(workspace, store, key_of, base, lease=lease, is_settled=is_settled)
        manifest, held_seconds = making.make(wait_seconds, observe)
        made = CreatedBackup(
            manifest, store.place, time.monotonic() - started, held_seconds, tuple(removed), base.why_full
        )
    log.info("backup made", backup=manifest.id, outcome=manifest.kind.value, seconds=made.seconds, bytes=manifest.size)
    return made


class _Making:
    """One backup in the making."""

    def __init__(
        self,
        workspace: Workspace,
        store: BackupStore,
        key_of: KeyOf,
        base: _Base,
        *,
        lease: Lease,
        is_settled: bool,
    ) -> None:
        self._workspace, self._store, self._key_of = workspace, store, key_of
        self._base = base
        self._key = workspace.folder.keysets.of(BACKUPS).primary
        self._kind = Kind.FULL if base.manifest is None else Kind.INCREMENTAL
        self._id = _new_id(store, self._kind)
        self._is_settled = is_settled
        self._lease = lease

    def make(self, wait_seconds: float, observe: Observe) -> tuple[Manifest, float]:
        """From begin to complete; and for how many seconds publishes were held back."""
        base, workspace = self._base.manifest, self._workspace
        with self._begun(), Capture(workspace, self._id, base.order if base is not None else 0) as capture:
            observe("capture")
            captured = capture.take(wait_seconds)
            observe("native")
            known, rows, native = self._fetch_base(capture)
            capture.back_up_tables(captured, native)
            observe("send")
            files = self._send(capture, captured, known, rows)
            failpoint("backup.after_send")
            manifest = self._manifest(captured, files)
            observe("complete")
            # Whoever took over after a long silence has removed what was sent, and perhaps the base.
            workspace.ledger.renew_lease(self._lease, workspace.settings.lease_seconds)
            self._store.complete(manifest, self._key)
            failpoint("backup.after_manifest")
            if self._is_settled:  # what was kept for the backups that are set up is not for one that goes elsewhere
                capture.forget_kept(captured)
            detail = {"kind": manifest.kind.value, "base": manifest.base, "size": manifest.size, "run": manifest.run}
            workspace.ledger.audit.record(Event("backup.create", {"backup": manifest.id}, detail=detail))
            return manifest, capture.held_seconds

    @contextmanager
    def _begun(self) -> Iterator[None]:
        """Takes away what was sent if it comes to nothing; if that fails as well, the next backup does."""
        self._store.begin(self._id, self._workspace.ledger.id)
        failpoint("backup.after_begin")
        try:
            yield
        except BaseException:
            with contextlib.suppress(FrameworkError, OSError):
                if self._id not in self._store.ids():
                    self._store.remove(self._id)
            raise

    def _fetch_base(self, capture: Capture) -> tuple[dict[str, Entry], RowsKnown, str | None]:
        """What the base holds, of tables on servers too; and the name of its native backup, whose description is there
        now, if it has one.

        By that ClickHouse knows what is new.
        """
        base = self._base.manifest
        if base is None:
            return {}, RowsKnown(None, {}), None
        reader = ChainReader(self._store, self._base.chain, self._key_of)
        index = reader.index()
        known = RowsKnown(reader, index)
        description = index.get(f"native/{NATIVE}")
        if description is None:  # it has no tables of the embedded engine
            return index, known, None
        folder = capture.base(base.id)
        reader.unpack([description], lambda _: folder / NATIVE)
        return index, known, base.id

    def _send(
        self, capture: Capture, captured: Captured, known: dict[str, Entry], rows: RowsKnown
    ) -> tuple[StoredFile, ...]:
        """Everything into the place, in packs."""
        with Packer(self._store, self._id, self._key, known) as packer:
            for path, file in sorted(captured.files.items()):
                packer.add(path, file)
            for file in sorted(each for each in capture.native.rglob("*") if each.is_file()):
                packer.add_native(f"native/{file.relative_to(capture.native).as_posix()}", file)
            capture.send_rows(captured, RowsSending(self._id, packer, rows))
        packer.finish_index()
        beside = []
        for name, data in captured.beside.items():
            self._store.put(self._id, name, data)
            beside.append(StoredFile(name, len(data), hashlib.sha256(data).hexdigest()))
        return tuple(sorted([*packer.files, *beside], key=lambda each: each.name))

    def _manifest(self, captured: Captured, files: tuple[StoredFile, ...]) -> Manifest:
        base = self._base.manifest
        return Manifest(
            id=self._id,
            kind=self._kind,
            base=None if base is None else base.id,
            needs=() if base is None else base.chain,
            ledger_id=self._workspace.ledger.id,
            home_id=self._workspace.folder.id,
            boundary=captured.boundary,
            made_at=datetime.now(UTC),
            run=captured.run,
            order=captured.order,
            tables=captured.tables,
            elsewhere=captured.elsewhere,
            left_out=captured.left_out,
            keys=captured.keys,
            files=files,
            index=INDEX,
            rowkeeper=version("rowkeeper"),
            schema=self._workspace.ledger.schema(),
        )


def _base(workspace: Workspace, store: BackupStore, key_of: KeyOf, *, full: bool, quick: bool) -> _Base:
    """What the next backup goes on from.

    The newest, if the ledger still has the run that it ends with where it was: after a restore to an earlier run the
    ledger goes another way, and begins with a full one.
    """
    ids = store.ids()
    if not ids:
        return _Base(why_full="it is the first")
    try:
        newest = manifest_of(store, ids[-1], key_of, workspace.ledger.id)
    except BackupDamaged:
        if not full:
            raise
        return _Base()
    if full:
        return _Base()
    if workspace.ledger.history.at(newest.order) != newest.run:
        return _Base(why_full=f"the ledger has gone another way since {newest.id}")
    return _Base(refuse_damaged(store, newest.id, key_of, workspace.ledger.id, quick=quick))


def _new_id(store: BackupStore, kind: Kind) -> str:
    """Names sort by time, also where the clock went back."""
    moment, taken = datetime.now(UTC).replace(microsecond=0), store.taken()
    if taken:
        moment = max(moment, moment_of(taken[-1]) + timedelta(seconds=1))
    return f"{moment.strftime(ID_FORMAT)}-{kind.value}"

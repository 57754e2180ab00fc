"""Where backups lie: a folder of this machine, or a bucket. One place is for one installation.

manifests/ID.json     the manifest; a backup is there once this is
manifests/ID.begun    written before anything else, so that what a dead process left is found by one listing
ID/...                the files that the manifest names
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from rowkeeper.durable import opened, sync_volume
from rowkeeper.errors import BackupMissing, ObjectMissing, SettingsError, StoreUnavailable
from rowkeeper.operations.backups.manifest import ID, Manifest, Read, read
from rowkeeper.protocols import Site
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.keysets import Key
from rowkeeper.settings import Settings
from rowkeeper.stores.folder import DRAFT
from rowkeeper.stores.opening import open_store
from rowkeeper.stores.settled import place_of_backups
from rowkeeper.stores.store import FileStore, Item, Writing

MANIFESTS, JSON, BEGUN = "manifests/", ".json", ".begun"


@dataclasses.dataclass(frozen=True, slots=True)
class BackupStore:
    """A place with backups, opened.

    Attributes:
        prefix: what comes before each name: the folder in a bucket, with `/` at its end; empty for a folder.
        place: where it is, for people.
        folder: that of this machine; None for a bucket.

    Its methods raise what stores raise: StoreError and its narrower ones, EgressRefused, TLSError, DeadlineExceeded.
    """

    store: FileStore
    prefix: str
    place: str
    folder: Path | None

    def ids(self) -> list[str]:
        """The backups that there are, by time."""
        return self._named(JSON)

    def begun(self) -> list[str]:
        """Those that were begun and are not there: being made now, or left by a process that died."""
        return sorted(set(self._named(BEGUN)) - set(self.ids()))

    def taken(self) -> list[str]:
        """All ids that must not be given again."""
        return sorted({*self._named(BEGUN), *self.ids()})

    def read_manifest(self, id: str) -> Read:
        """A manifest, whose MAC is still to be checked. Raises BackupMissing, BackupDamaged."""
        try:
            return read(id, self.store.read(self._manifest(id)))
        except ObjectMissing as error:
            raise BackupMissing(
                f"there is no backup {id} in {self.place}", hint="rowkeeper backup list shows those that there are"
            ) from error

    def begin(self, id: str, ledger_id: str) -> None:
        """Says that a backup is being made, and of which ledger. Raises ObjectExists for an id that was given."""
        self.store.put(self._name(f"{MANIFESTS}{id}{BEGUN}"), ledger_id.encode(), if_absent=True)

    def begun_by(self, id: str) -> str:
        """The ledger of which a backup was begun. Raises ObjectMissing."""
        return self.store.read(self._name(f"{MANIFESTS}{id}{BEGUN}")).decode(errors="replace")

    def complete(self, manifest: Manifest, key: Key) -> None:
        """Makes a backup's files durable, then writes its manifest: from here on it is there."""
        if self.folder is not None:
            _to_disk(self.folder)
        self.store.put(self._manifest(manifest.id), manifest.written(key), if_absent=True)

    def head(self, id: str, name: str) -> Item:
        """What the store says of a file of a backup. Raises ObjectMissing."""
        return self.store.head(self._name(f"{id}/{name}"))

    def open(self, id: str, name: str) -> IO[bytes]:
        """A file of a backup as a stream. Raises ObjectMissing."""
        return self.store.open(self._name(f"{id}/{name}"))

    def read(self, id: str, name: str) -> bytes:
        """A small file of a backup. Raises ObjectMissing."""
        return self.store.read(self._name(f"{id}/{name}"))

    def writing(self, id: str, name: str) -> AbstractContextManager[Writing]:
        """Writes a file of a backup in pieces."""
        return self.store.writing(self._name(f"{id}/{name}"))

    def put(self, id: str, name: str, data: bytes) -> None:
        """Writes a small file of a backup."""
        self.store.put(self._name(f"{id}/{name}"), data)

    def files(self, id: str) -> dict[str, int]:
        """The files that lie in a backup's folder, whatever its manifest says: name to size."""
        folder = self._name(f"{id}/")
        return {each.name.removeprefix(folder): each.size for each in self.store.list(folder)}

    def remove(self, id: str) -> None:
        """Takes a backup away: first its manifest, so that it never claims to be there with half of its files."""
        self.store.delete(self._manifest(id))
        failpoint("backup.after_unmade")
        for name in self.files(id):
            self.store.delete(self._name(f"{id}/{name}"))
            failpoint("backup.after_file_removed")
        if self.folder is not None:  # what was being written there is in no list
            shutil.rmtree(self.folder / id, ignore_errors=True)
        self.store.delete(self._name(f"{MANIFESTS}{id}{BEGUN}"))

    def remove_drafts(self) -> None:
        """Takes away manifests that were being written when their process died. Nobody may be writing one."""
        if self.folder is not None:
            for path in (self.folder / MANIFESTS).glob(f"{DRAFT}*"):
                with contextlib.suppress(OSError):
                    path.unlink()

    def _named(self, ending: str) -> list[str]:
        folder = self._name(MANIFESTS)
        names = [each.name.removeprefix(folder) for each in self.store.list(folder)]
        ids = [name.removesuffix(ending) for name in names if name.endswith(ending)]
        return sorted(each for each in ids if ID.fullmatch(each))

    def _manifest(self, id: str) -> str:
        return self._name(f"{MANIFESTS}{id}{JSON}")

    def _name(self, name: str) -> str:
        return self.prefix + name


@contextmanager
def backup_store(workspace: Workspace, place: str | None = None, *, pruning: bool = False) -> Iterator[BackupStore]:
    """The place of backups, opened.

    Args:
        place: where they are; None is where the settings say.
        pruning: as whoever removes some of them.

    Raises BackupsNotSetUp; SettingsError for a place that there cannot be.
    """
    with opened_store(workspace.settings, workspace.site, workspace.folder.path, place, pruning=pruning) as store:
        yield store


@contextmanager
def opened_store(
    settings: Settings, site: Site, home: Path, place: str | None = None, *, pruning: bool = False
) -> Iterator[BackupStore]:
    """The same where there is no workspace, as on a machine that is to be restored. Raises as `backup_store`.

    Args:
        home: the state folder that they are of.
    """
    address, access = place_of_backups(settings, place, pruning=pruning)
    if address.is_remote:
        prefix = f"{address.path.strip('/')}/" if address.path.strip("/") else ""
        with open_store(address, access, site) as store:
            yield BackupStore(store, prefix, f"{store.place}/{prefix}".rstrip("/"), None)
        return
    folder = Path(address.path).expanduser().absolute()
    if folder.is_relative_to(home):
        raise SettingsError(
            f"backups would lie in {folder}, inside the state folder that they are of",
            hint="set ROWKEEPER_BACKUP_TO to a place outside it, best on another machine",
        )
    with open_store(dataclasses.replace(address, path=str(folder)), None, site) as store:
        yield BackupStore(store, "", str(folder), folder)


def _to_disk(folder: Path) -> None:
    """Makes everything on the volume durable: folders that were made on the way as well, which no file's fsync does."""
    with opened(folder) as descriptor:
        try:
            sync_volume(descriptor)
        except OSError as error:
            raise StoreUnavailable(
                f"{folder}: what was written could not be made durable: {error.strerror}",
                hint="see to the disk; no backup was made",
            ) from error

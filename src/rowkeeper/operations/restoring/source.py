"""The backups that are restored from, and the keys that open them: found with nothing but the place and the master key.

1. The newest manifest names the installation. If there is a state folder already, it must be the same one's.
2. `home.json` and `keys.json` lie beside it as they are: keysets are wrapped with the master key. They are laid into
   the folder that is being built, which is opened as any state folder is: a wrong key is refused there.
3. Only now manifests can be authenticated, and with them every file that they name, those two included.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rowkeeper.errors import (
    BackupDamaged,
    BackupForeign,
    BackupMissing,
    KeysetsDamaged,
    KeyUnusable,
    ObjectMissing,
    WrongKey,
)
from rowkeeper.operations.backups.chain import ChainReader, KeyOf, chain_of, manifest_of
from rowkeeper.operations.backups.manifest import Manifest, Read, damaged
from rowkeeper.operations.backups.store import BackupStore, opened_store
from rowkeeper.protocols import DiskKeys, Site
from rowkeeper.resilience.calls import Calls
from rowkeeper.runs.journal import log_breaker, log_try
from rowkeeper.runs.reaching import gateway_of
from rowkeeper.runs.secrets import secrets_of
from rowkeeper.security.keydocument import NAME as KEYS
from rowkeeper.security.keyfile import replace_private
from rowkeeper.security.keysets import BACKUPS, Key
from rowkeeper.security.references.vault import Vault
from rowkeeper.security.statefolder import CERTIFICATE, open_state_folder
from rowkeeper.security.tls import default_tls
from rowkeeper.settings import Settings


@contextmanager
def place_opened(settings: Settings, home: Path) -> Iterator[tuple[BackupStore, Vault | None]]:
    """The place of backups, without a ledger; and the vault, where one is configured. References can be followed."""
    calls = Calls(listeners=[log_breaker], observers=[log_try])
    gateway = gateway_of(settings)
    site = Site(
        home=home, disk_keys=_no_keys, ledger_id="", calls=calls, way_out=gateway, default_tls=default_tls(settings)
    )
    with secrets_of(settings, calls, gateway) as vault, opened_store(settings, site, home) as store:
        yield store, vault


def _no_keys() -> DiskKeys:
    raise AssertionError("no engine is started before there are keys")


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Backups that can be restored.

    Attributes:
        newest: the one whose ledger, keys and sealed files are taken.
    """

    store: BackupStore
    newest: Manifest
    key_of: KeyOf

    def reader(self, manifest: Manifest) -> ChainReader:
        """The files of a backup and of its chain. Raises BackupMissing if one of that is gone."""
        return ChainReader(self.store, chain_of(self.store, manifest.id, self.key_of, manifest.ledger_id), self.key_of)

    def manifests(self) -> list[Manifest]:
        """All up to the newest, that first; without those that are damaged, which nobody can restore from."""
        found = []
        for id in reversed(self.store.ids()):
            if id <= self.newest.id:
                try:
                    found.append(manifest_of(self.store, id, self.key_of, self.newest.ledger_id))
                except BackupDamaged:
                    continue
        return found


def open_source(
    store: BackupStore, settings: Settings, vault: Vault | None, *, draft: Path, home: Path | None, id: str | None
) -> Source:
    """Finds the backup to take ledger and keys from, and opens its keysets.

    Args:
        draft: gets `home.json` and `keys.json`, if it has none yet: otherwise they are the live state's.
        home: the live state, if there is one: it must be of the same installation.
        id: of the backup; None is the newest one.

    Raises:
        BackupMissing: there is none, or not this one.
        BackupForeign: it is another installation's.
        WrongKey, SecurityError: the master key is not the one of these backups, or cannot be had.
        BackupDamaged: it is not what was written.
    """
    ids = store.ids()
    if not ids:
        raise BackupMissing(
            f"there is no backup in {store.place}", hint="see that ROWKEEPER_BACKUP_TO, or --from, leads to them"
        )
    found = store.read_manifest(id or ids[-1])
    refuse_foreign(store, found.manifest, home)
    if not (draft / CERTIFICATE).exists():
        _lay_keys(store, found.manifest, draft)
    key_of = _keys_opened(store, settings, vault, draft)
    manifest = found.check(_key_of_manifest(found, key_of))
    return Source(store, manifest, key_of)


def refuse_foreign(store: BackupStore, manifest: Manifest, home: Path | None) -> None:
    """Raises BackupForeign if there is a state folder, and it is not the one that was backed up."""
    if home is None or not (home / CERTIFICATE).exists():
        return
    try:
        mine = json.loads((home / CERTIFICATE).read_text())["id"]
    except (ValueError, KeyError, TypeError, OSError):
        return  # damaged: nobody can tell, and it is set aside, not removed
    if mine != manifest.home_id:
        raise BackupForeign(
            f"the backups in {store.place} are of another installation ({manifest.home_id}) than {home} ({mine})",
            hint="restore them into an empty folder: --into FOLDER",
        )


def _lay_keys(store: BackupStore, manifest: Manifest, draft: Path) -> None:
    """Lays them as the manifest has them, which is authenticated with what is in them."""
    for name in (CERTIFICATE, KEYS):
        stored = manifest.file(name)
        try:
            data = store.read(manifest.id, name)
        except ObjectMissing as error:
            raise damaged(manifest.id, f"{name} is missing") from error
        if (len(data), hashlib.sha256(data).hexdigest()) != (stored.size, stored.sha256):
            raise damaged(manifest.id, f"{name} is not as it was written")
        replace_private(draft / name, data)


def _key_of_manifest(found: Read, key_of: KeyOf) -> Key:
    try:
        return key_of(found.key_id)
    except KeyUnusable as error:
        raise damaged(found.manifest.id, "its manifest was authenticated with a key that was never made") from error


def _keys_opened(store: BackupStore, settings: Settings, vault: Vault | None, draft: Path) -> KeyOf:
    try:
        folder = open_state_folder(draft, settings.key_reference, vault)
    except WrongKey as error:
        raise WrongKey(
            f"the key is not the one of the backups in {store.place}",
            hint="set ROWKEEPER_KEY_FILE, or ROWKEEPER_KEY, to the master key of the installation that was backed up",
        ) from error
    except KeysetsDamaged as error:
        raise BackupDamaged(
            f"the keysets in {store.place} are not what was written", hint="name another backup: --backup ID"
        ) from error
    return folder.keysets.of(BACKUPS).key

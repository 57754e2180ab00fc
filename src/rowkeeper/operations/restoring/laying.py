"""What a state folder holds besides its tables, laid into the folder that is being built.

It comes from the backup. Over a live state whose keys and ledger are sound it comes from there: so that nothing is
forgotten that happened since the backup, neither a run nor an audit entry nor who may do what.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.durable import link_or_copy
from rowkeeper.errors import BackupDamaged, KeysetsDamaged
from rowkeeper.ledger.copying import files_of_copy
from rowkeeper.operations.backups.chain import ChainReader
from rowkeeper.operations.backups.packs import Entry
from rowkeeper.security import keydocument
from rowkeeper.security.statefolder import CERTIFICATE

LEDGER = "ledger.sqlite"
STATE, SETTINGS, NATIVE = "state/", "settings/", "native/"
SETTLED = "restored-settings"
SEALED = ("quarantine", "samples", "spool")
# Of a live state, what is not taken over: the engine's tables, which are what is restored; the ledger, which is copied
# as a database; locks.
LEFT = ("engine", LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", "publish.lock", "keys.lock")


def keysets_missing(home: Path) -> str:
    """Why nothing can be gone on with that a live state has, in a few words; empty if it can."""
    if not (home / CERTIFICATE).exists():
        return "it has no keysets"
    try:
        keydocument.read(home / keydocument.NAME, json.loads((home / CERTIFICATE).read_text())["id"])
    except (KeysetsDamaged, ValueError, KeyError, TypeError):
        return "its keysets are missing or damaged"
    return ""


def lay_live(home: Path, draft: Path) -> None:
    """Takes over what a live state has besides its ledger. Raises OSError."""
    for path in home.iterdir():
        if path.name in LEFT or path.is_socket():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, draft / path.name, symlinks=True, copy_function=_linked(path.name))
        else:
            shutil.copy2(path, draft / path.name, follow_symlinks=False)


def _linked(folder: str) -> Callable[[str, str], object]:
    """Sealed files never change: a link is as good as a copy, and takes no room, where there can be one."""
    return link_or_copy if folder in SEALED else shutil.copy2


def lay_backup(reader: ChainReader, draft: Path) -> None:
    """Lays all of it that a backup holds; a ledger that is there already is gone on with.

    Raises BackupDamaged, BackupMissing, OSError.
    """
    index = reader.index()
    live = f"{STATE}{LEDGER}" if (draft / LEDGER).exists() else None
    _unpack(reader, (entry for path, entry in index.items() if path.startswith(STATE) and path != live), draft)
    settings = [entry for path, entry in index.items() if path.startswith(SETTINGS)]
    reader.unpack(settings, functools.partial(_placed, draft / SETTLED, SETTINGS))
    _make_private(draft)


def lay_missing(reader: ChainReader, draft: Path) -> int:
    """Lays sealed files that the ledger knows and that the live state has lost. Returns how many."""
    known = {f"{STATE}{name}" for name in files_of_copy(draft / LEDGER)}
    lost = [
        entry
        for path, entry in reader.index().items()
        if path in known and not (draft / path.removeprefix(STATE)).exists()
    ]
    _unpack(reader, lost, draft)
    _make_private(draft)
    return len(lost)


def _unpack(reader: ChainReader, entries: Iterable[Entry], draft: Path) -> None:
    reader.unpack(entries, functools.partial(_placed, draft, STATE))


def _make_private(draft: Path) -> None:
    """Whatever the umask: others can open nothing of it."""
    for path in draft.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o600)


def lay_tables(readers: Iterable[ChainReader], draft: Path) -> None:
    """Lays ClickHouse's own backups where the engine reads them, each with all that it goes on from.

    Raises BackupDamaged, BackupMissing, OSError.
    """
    places = EnginePlaces.under(draft)
    for folder in (places.folder, places.backups):
        folder.mkdir(mode=0o700, exist_ok=True)
    for id, entries, reader in _native(readers):
        own = places.backups / id
        own.mkdir(mode=0o700, exist_ok=True)
        reader.unpack(entries, functools.partial(_placed, own, NATIVE))


def bytes_of_tables(readers: Iterable[ChainReader]) -> int:
    """Of what `lay_tables` lays."""
    return sum(entry.size for _, entries, _ in _native(readers) for entry in entries)


def _native(readers: Iterable[ChainReader]) -> Iterator[tuple[str, list[Entry], ChainReader]]:
    """Each backup once, however many go on from it."""
    seen = set()
    for reader in readers:
        for id in reader.manifest.chain:
            if id not in seen:
                seen.add(id)
                yield id, [entry for path, entry in reader.index(id).items() if path.startswith(NATIVE)], reader


def _placed(folder: Path, part: str, entry: Entry) -> Path:
    """Where a file of a part of the backup goes. Raises BackupDamaged for one that would lie elsewhere."""
    name = Path(entry.path.removeprefix(part))
    if name.is_absolute() or ".." in name.parts:
        raise BackupDamaged(
            f"the backup {entry.backup} would write outside the folder that is built", hint="use another backup"
        )
    return folder / name

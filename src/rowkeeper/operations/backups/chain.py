"""Backups as they are read again: a manifest, its chain, and the files in their packs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import IO

from rowkeeper.errors import BackupForeign, BackupMissing, KeyUnusable, ObjectMissing
from rowkeeper.operations.backups.manifest import Manifest, StoredFile, damaged
from rowkeeper.operations.backups.packing import INDEX
from rowkeeper.operations.backups.packs import Entry, index_read, opened
from rowkeeper.operations.backups.store import BackupStore
from rowkeeper.security.keysets import Key

READ_BYTES = 1 << 20
KeyOf = Callable[[int], Key]


def manifest_of(store: BackupStore, id: str, key_of: KeyOf, ledger_id: str) -> Manifest:
    """A manifest, authenticated.

    Raises BackupMissing; BackupForeign if another installation made it; BackupDamaged; KeyRevoked.
    """
    found = store.read_manifest(id)
    foreign = BackupForeign(
        f"the backup {id} in {store.place} is another installation's (its ledger is {found.manifest.ledger_id})",
        hint="a place is for the backups of one installation: set ROWKEEPER_BACKUP_TO to another",
    )
    try:
        manifest = found.check(key_of(found.key_id))
    except KeyUnusable as error:
        if found.manifest.ledger_id != ledger_id:
            raise foreign from error
        raise damaged(id, "its manifest was authenticated with a key that this installation never had") from error
    if manifest.ledger_id != ledger_id:
        raise foreign
    return manifest


def chain_of(store: BackupStore, id: str, key_of: KeyOf, ledger_id: str) -> list[Manifest]:
    """A backup with all that it needs, the full one first. Raises as `manifest_of`."""
    last = manifest_of(store, id, key_of, ledger_id)
    chain = []
    for each in last.needs:
        try:
            chain.append(manifest_of(store, each, key_of, ledger_id))
        except BackupMissing as error:
            raise BackupMissing(
                f"the backup {id} cannot be used: it goes on from {each}, which is not in {store.place}",
                hint="put that one back; or restore an earlier one, and make a full one now: "
                "rowkeeper backup create --full",
            ) from error
    return [*chain, last]


class ChainReader:
    """The files of a backup, wherever in its chain they lie.

    Args:
        chain: as `chain_of` gives it.
    """

    def __init__(self, store: BackupStore, chain: Sequence[Manifest], key_of: KeyOf) -> None:
        self.manifest = chain[-1]
        self._store, self._key_of = store, key_of
        self._manifests = {each.id: each for each in chain}

    def index(self, id: str | None = None) -> dict[str, Entry]:
        """What a backup of the chain holds, by path; that of the last one without an id.

        Raises BackupDamaged, BackupMissing.
        """
        manifest = self._manifests[id or self.manifest.id]
        document = b"".join(self.pieces(manifest.id, manifest.index))
        return index_read(manifest.id, document)

    def read(self, entry: Entry) -> bytes:
        """One file, in memory."""
        found = bytearray()
        self._unpack(entry.backup, entry.pack, [(entry, found.extend)])
        return bytes(found)

    def each(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bytes]]:
        """Files one after the other, each in memory; each pack is read once. For what lies in sealed packs: whatever is
        given out was authenticated.

        Raises BackupDamaged, BackupMissing.
        """
        ordered = sorted(entries, key=lambda each: (each.backup, each.pack, each.offset))
        for (id, pack), group in groupby(ordered, key=lambda each: (each.backup, each.pack)):
            yield from self._files(id, pack, list(group))

    def unpack(self, entries: Iterable[Entry], place: Callable[[Entry], Path]) -> None:
        """Writes files where `place` says; folders are made (0700), each pack is read once.

        What is written is only to be used once this has returned: that a pack is as it was written is known at its end.

        Raises BackupDamaged, BackupMissing, OSError.
        """
        ordered = sorted(entries, key=lambda each: (each.backup, each.pack, each.offset))
        for (id, pack), group in groupby(ordered, key=lambda each: (each.backup, each.pack)):
            wanted = []
            for entry in group:
                path = place(entry)
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                wanted.append((entry, _Appending(path)))
            self._unpack(id, pack, wanted)

    def _files(self, id: str, pack: str, entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes]]:
        found = bytearray()
        for entry, part in self._parts(id, pack, entries):
            found += part
            if len(found) == entry.size:
                yield entry, bytes(found)
                found.clear()

    def _unpack(self, id: str, pack: str, wanted: Sequence[tuple[Entry, Callable[[bytes], object]]]) -> None:
        """Gives each of the entries, in the order of their offsets, its bytes."""
        takers = {entry.path: take for entry, take in wanted}
        for entry, part in self._parts(id, pack, [entry for entry, _ in wanted]):
            takers[entry.path](part)

    def _parts(self, id: str, pack: str, entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes]]:
        """Each of the entries, in the order of their offsets, in parts; an empty one comes as one that is empty."""
        pieces, piece, start = self.pieces(id, pack), b"", 0
        for entry in entries:
            if not entry.size:
                yield entry, b""
            at, end = entry.offset, entry.offset + entry.size
            while at < end:
                if start + len(piece) <= at:
                    start += len(piece)
                    following = next(pieces, None)
                    if following is None:
                        raise damaged(id, f"{pack} ends before {entry.path}")
                    piece = following
                    continue
                part = piece[at - start : end - start]
                yield entry, part
                at += len(part)
        for _ in pieces:  # to its end, where its hash is checked
            pass

    def pieces(self, id: str, name: str) -> Iterator[bytes]:
        """What a pack holds, piece by piece; at its end it is known whether all of it is as it was written.

        Raises BackupDamaged, BackupMissing.
        """
        stored = self._manifests[id].file(name)
        try:
            with self._store.open(id, name) as file:
                checked = _Checked(file, id, stored)
                if name == INDEX or name.startswith("sealed-"):
                    yield from opened(checked, self._key_of, id, name)
                else:
                    while piece := checked.read(READ_BYTES):
                        yield piece
                checked.finish()
        except ObjectMissing as error:
            raise BackupMissing(
                f"the file {name} of the backup {id} is not in {self._store.place}", hint="use another backup"
            ) from error


class _Appending:
    """Writes pieces to a file, which is open only while one is written: there may be very many."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.unlink(missing_ok=True)

    def __call__(self, data: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(data)


class _Checked:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: IO[bytes], id: str, stored: StoredFile) -> None:
        self._file, self._id, self._stored = file, id, stored
        self._hash, self._size = hashlib.sha256(), 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        self._size += len(data)
        return data

    def finish(self) -> None:
        while self.read(READ_BYTES):
            pass
        if (self._size, self._hash.hexdigest()) != (self._stored.size, self._stored.sha256):
            raise damaged(self._id, f"{self._stored.name} is not as it was written")

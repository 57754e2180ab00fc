"""Keysets: for each purpose a few keys, of which one, the primary, writes, and all read."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rowkeeper.errors import ConfigurationError, KeyInUse, KeyRevoked, KeysetsDamaged, KeyUnusable, SecurityError
from rowkeeper.logs.secrets import learn
from rowkeeper.nearest import did_you_mean
from rowkeeper.security import keydocument
from rowkeeper.security.keydocument import FROM_A_BACKUP, KeyDocument, KeyRecord, WrappedKeyset, locked
from rowkeeper.security.keyfile import KEY_BYTES
from rowkeeper.security.keyproviders import KeyProvider, NotUnwrapped

AUDIT, ENGINE, QUARANTINE, SAMPLES, SPOOL = "audit", "engine", "quarantine", "samples", "spool"
BACKUPS = "backups"
LOGIN = "login"  # seals second factors, and names who failed to sign in
# Before there were keysets, these keys were derived from the state folder's one key. They are kept under these numbers,
# so that what they wrote is read.
FIRST_IDS = {ENGINE: 1, QUARANTINE: 2, SAMPLES: 3, SPOOL: 4, AUDIT: 5}
ID_MIN, ID_MAX = 16, 2**32 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One key of a keyset.

    Attributes:
        id: 32 bits, unique in its state folder; what was written with the key carries it.
        material: 32 random bytes, from which the keys of algorithms are derived.
    """

    id: int
    material: bytes = dataclasses.field(repr=False)

    def derive(self, use: str, size_bytes: int = 32) -> bytes:
        """A key for one algorithm or column alone (HKDF-SHA256, RFC 5869)."""
        info = f"rowkeeper {use}".encode()
        return HKDF(algorithm=hashes.SHA256(), length=size_bytes, salt=None, info=info).derive(self.material)


@dataclasses.dataclass(frozen=True, slots=True)
class Keyset:
    """The keys of one purpose.

    Attributes:
        purpose: what they are for, such as `quarantine` or `pseudonym.billing`.
        primary: writes.
        keys: all that read, the primary among them.
        revoked: ids of keys that were destroyed, and when.
    """

    purpose: str
    primary: Key
    keys: tuple[Key, ...]
    revoked: Mapping[int, datetime] = dataclasses.field(default_factory=dict)

    def key(self, id: int) -> Key:
        """The key that something was written with.

        Raises KeyRevoked if it was revoked, KeyUnusable if the keyset never had one of this id.
        """
        for each in self.keys:
            if each.id == id:
                return each
        if id in self.revoked:
            raise KeyRevoked(
                f"key {id:08x} of {self.purpose} was revoked on {self.revoked[id]:%Y-%m-%d}",
                hint="what was written with it can be read from a backup only that holds the key as well",
            )
        raise KeyUnusable(
            f"the keyset {self.purpose} has no key {id:08x}", hint="rowkeeper keys list shows the keys there are"
        )


class Keysets:
    """All keysets of a state folder, by purpose; each is made at its first use. For any number of threads.

    Another process may add, rotate and revoke keys at any time: what is handed out is what is on disk then.

    Args:
        folder: the state folder.
        home_id: its id; a keyset of another folder is refused.
        provider: wraps the keysets.
        reopen: the provider of a reference, for when another process has wrapped them with another key.
    """

    def __init__(
        self,
        folder: Path,
        home_id: str,
        provider: KeyProvider,
        reopen: Callable[[str], KeyProvider],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = folder
        self._path = folder / keydocument.NAME
        self._home_id = home_id
        self._provider = provider
        self._reopen = reopen
        self._now = now
        self._turn = threading.RLock()
        self._seen: tuple[int, int, int] | None = None
        self._document: KeyDocument | None = None
        self._checked: KeyDocument | None = None
        self._opened: dict[str, Keyset] = {}

    @property
    def reference(self) -> str:
        """Where the key is that wraps them."""
        return self._provider.reference

    def of(self, purpose: str) -> Keyset:
        """The keyset of a purpose.

        Raises SecurityError if it cannot be opened, StateError or DiskFull if a new one cannot be written.
        """
        with self._turn:
            document = self._read()
            if purpose not in document.keysets:
                document = self._add(purpose)
            return self._open(purpose, document)

    def records(self) -> Mapping[str, WrappedKeyset]:
        """What is told of all keysets; their document is as it was written. Raises SecurityError."""
        with self._turn:
            document = self._read()
            self._check(document)
            return document.keysets

    def rotate(self, purpose: str) -> Keyset:
        """Gives a keyset a new primary; the former ones go on reading.

        Raises ConfigurationError if there is no such keyset.
        """
        with self._turn, locked(self._folder):
            document = self._read_checked()
            keyset = self._known(purpose, document)
            key = self._new_key(document)
            records = {**document.keysets[purpose].keys, key.id: KeyRecord(made=self._now())}
            self._write(document, {purpose: (Keyset(purpose, key, (*keyset.keys, key)), records)})
            return self.of(purpose)

    def revoke(self, purpose: str, number: int, reason: str | None) -> None:
        """Destroys a key for good.

        Raises KeyInUse if it is the primary, KeyRevoked or KeyUnusable if there is none of this id.
        """
        with self._turn, locked(self._folder):
            document = self._read_checked()
            keyset = self._known(purpose, document)
            keyset.key(number)
            if keyset.primary.id == number:
                raise KeyInUse(
                    f"key {number:08x} is the one that {purpose} is written with",
                    hint=f"rowkeeper keys rotate {purpose} puts another in its place",
                )
            kept = tuple(each for each in keyset.keys if each.id != number)
            records = dict(document.keysets[purpose].keys)
            records[number] = records[number].model_copy(update={"revoked": self._now(), "reason": reason})
            self._write(document, {purpose: (Keyset(purpose, keyset.primary, kept), records)})

    def rewrap(self, provider: KeyProvider) -> None:
        """Wraps all keysets with another key, or with the newest version of the same. No data are touched."""
        with self._turn, locked(self._folder):
            document = self._read_checked()
            opened = {
                purpose: (self._open(purpose, document), stored.keys) for purpose, stored in document.keysets.items()
            }
            self._write(document, opened, provider)
            self._provider = provider

    def found(self, first: Mapping[str, bytes]) -> None:
        """Writes the document of a new state folder, or of one that had no keysets. The lock is held.

        Args:
            first: the keys that it had until now, by purpose.
        """
        document = self._empty()
        made = {purpose: Key(FIRST_IDS[purpose], material) for purpose, material in first.items()}
        changes = {
            purpose: (Keyset(purpose, key, (key,)), {key.id: KeyRecord(made=self._now())})
            for purpose, key in made.items()
        }
        self._write(document, changes)

    def check(self) -> None:
        """Looks whether they can be opened with the key there is, if it is at hand. Raises SecurityError."""
        with self._turn:
            document = self._read()
            if document.check:  # what a vault holds is asked of it when it is needed
                self._check(document)

    # ---------------------------------------------------------------------------------------- the document

    def _empty(self) -> KeyDocument:
        return KeyDocument(home=self._home_id, key="", check="", keysets={})

    def _read(self) -> KeyDocument:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return keydocument.read(self._path, self._home_id)  # which says what that means
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if self._document is None or seen != self._seen:
            self._document, self._seen = keydocument.read(self._path, self._home_id), seen
        return self._document

    def _read_checked(self) -> KeyDocument:
        """Anew, for whoever changes it."""
        self._document = None
        document = self._read()
        self._check(document)
        return document

    def _check(self, document: KeyDocument) -> None:
        if self._checked is document:
            return
        fits = document.check == self._provider.check() and (document.check or document.key == self.reference)
        if self._checked is not None and not fits:  # it fitted before: another process has wrapped them anew
            self._provider = self._reopen(document.key)
        document.check_seal(self._path, self._provider)
        self._checked = document

    def _write(
        self,
        document: KeyDocument,
        changes: Mapping[str, tuple[Keyset, Mapping[int, KeyRecord]]],
        provider: KeyProvider | None = None,
    ) -> None:
        from rowkeeper.security import tinkformat  # noqa: PLC0415 - takes 0.15 s

        provider = provider or self._provider
        changed = {}
        for purpose, (keyset, records) in changes.items():
            materials = {key.id: key.material for key in keyset.keys}
            destroyed = [number for number, record in records.items() if record.revoked is not None]
            tink = tinkformat.wrapped(keyset.primary.id, materials, destroyed, provider, self._about(purpose))
            changed[purpose] = WrappedKeyset(primary=keyset.primary.id, keys=dict(records), tink=tink)
        whole = KeyDocument(
            home=self._home_id,
            key=provider.reference,
            check=provider.check(),
            keysets={**document.keysets, **changed},
        )
        keydocument.write(self._path, whole.sealed(provider))

    # ---------------------------------------------------------------------------------------- one keyset

    def _add(self, purpose: str) -> KeyDocument:
        with locked(self._folder):
            document = self._read_checked()
            if purpose not in document.keysets:  # otherwise another process was first
                key = self._new_key(document)
                self._write(document, {purpose: (Keyset(purpose, key, (key,)), {key.id: KeyRecord(made=self._now())})})
            return self._read()

    def _known(self, purpose: str, document: KeyDocument) -> Keyset:
        if purpose not in document.keysets:
            known = ", ".join(sorted(document.keysets)) or "none was made yet"
            raise ConfigurationError(
                f"there is no keyset {purpose}", hint=did_you_mean(purpose, document.keysets, f"there are: {known}")
            )
        return self._open(purpose, document)

    def _open(self, purpose: str, document: KeyDocument) -> Keyset:
        stored, known = document.keysets[purpose], self._opened.get(purpose)
        if known and known.primary.id == stored.primary and {key.id for key in known.keys} == stored.enabled:
            return known
        from rowkeeper.security import tinkformat  # noqa: PLC0415 - takes 0.15 s

        stored = self._checked_keyset(purpose, document)
        try:
            primary, materials = tinkformat.unwrapped(stored.tink, self._provider, self._about(purpose))
        except NotUnwrapped as error:
            raise KeysetsDamaged(
                f"the keyset {purpose} in {self._path} was changed, or is of another state folder", hint=FROM_A_BACKUP
            ) from error
        if primary != stored.primary or materials.keys() != stored.enabled or primary not in materials:
            raise KeysetsDamaged(f"the keyset {purpose} in {self._path} is not what is told of it", hint=FROM_A_BACKUP)
        for material in materials.values():
            learn(material.hex())
        revoked = {number: record.revoked for number, record in stored.keys.items() if record.revoked is not None}
        keys = tuple(Key(number, material) for number, material in materials.items())
        self._opened[purpose] = Keyset(purpose, Key(primary, materials[primary]), keys, revoked)
        return self._opened[purpose]

    def _checked_keyset(self, purpose: str, document: KeyDocument) -> WrappedKeyset:
        """As it is in the document; or, where that was wrapped anew with a key that this process cannot have, as it was
        in the one before, if its keys are the same.
        """
        stored, before = document.keysets[purpose], self._checked
        try:
            self._check(document)
        except SecurityError:
            former = before.keysets.get(purpose) if before is not None else None
            if former is None or (former.primary, former.enabled) != (stored.primary, stored.enabled):
                raise
            return former
        return stored

    def _about(self, purpose: str) -> bytes:
        """What a wrapped keyset is bound to."""
        return f"rowkeeper keyset {self._home_id} {purpose}".encode()

    @staticmethod
    def _new_key(document: KeyDocument) -> Key:
        taken: Collection[int] = {number for stored in document.keysets.values() for number in stored.keys}
        number = ID_MIN
        while number in taken or number == ID_MIN:
            number = ID_MIN + secrets.randbelow(ID_MAX - ID_MIN)
        return Key(number, secrets.token_bytes(KEY_BYTES))

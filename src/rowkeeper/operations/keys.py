"""What `rowkeeper keys` does: keysets listed, rotated, wrapped anew; keys revoked."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rowkeeper.access import Resource, ResourceKind, of_key, of_keyset
from rowkeeper.destinations.embedded.diskkeys import files_by_key
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.starting import engine_down
from rowkeeper.errors import ConfigurationError, KeyInUse
from rowkeeper.ledger.audit import Event
from rowkeeper.ledger.audit.notes import Signer, is_signed_by
from rowkeeper.logs import logger
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.keydocument import KeyRecord, WrappedKeyset
from rowkeeper.security.keyproviders import TRANSIT, KeyProvider
from rowkeeper.security.keysets import AUDIT, ENGINE, LOGIN, QUARANTINE, SAMPLES, SPOOL

CERTIFICATES = "certificates"  # as `security.tls.authority` has it, whose import is not quick
NOUNS = {AUDIT: ("checkpoint", "signed"), LOGIN: ("second factor", "sealed")}
PRIMARY, READS, REVOKED = "primary", "reads", "revoked"
log = logger("keys")


@dataclasses.dataclass(frozen=True, slots=True)
class KeyFound:
    """A key, as it is told of.

    Attributes:
        status: `primary` writes; `reads` was rotated away; `revoked` was destroyed.
        files: how many are sealed with it; of `login` second factors, of `audit` checkpoints that it signed; None where
            that cannot be counted.
    """

    purpose: str
    id: int
    status: str
    made: datetime
    revoked: datetime | None
    reason: str | None
    files: int | None

    def as_dict(self) -> dict[str, object]:
        """The JSON document."""
        return {**dataclasses.asdict(self), "id": f"{self.id:08x}"}


@dataclasses.dataclass(frozen=True, slots=True)
class FormerKeys:
    """Keys of a purpose that were rotated away and still read, and what is left that is sealed with them.

    Attributes:
        numbers: of the keys, the oldest first.
        left: how many files; of `login` second factors, of `audit` checkpoints; None where that cannot be counted.
        since: when the last of them was rotated away.
    """

    purpose: str
    numbers: tuple[int, ...]
    left: int | None
    since: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Rewrapped:
    """Keysets that were wrapped anew.

    Attributes:
        before, after: references to the keys.
        made: the file of the key that was made for it; None if it was there.
        set_to: the setting leads to the former key, and is to be changed.
    """

    keysets: Sequence[str]
    before: str
    after: str
    made: Path | None
    set_to: bool


@dataclasses.dataclass(frozen=True, slots=True)
class KeysFound:
    """What keys there are, as far as the caller may see them.

    Attributes:
        wrapped_with: a reference to the key that wraps them; None for who sees none of them.
    """

    keys: tuple[KeyFound, ...]
    wrapped_with: str | None

    def as_dict(self) -> dict[str, object]:
        """The JSON document."""
        return {"wrapped_with": self.wrapped_with, "keys": [each.as_dict() for each in self.keys]}


def list_keys(workspace: Workspace) -> KeysFound:
    """All keys of all keysets, in the order of their making. Raises SecurityError if they cannot be opened."""
    keysets = workspace.folder.keysets
    stored = sorted(keysets.records().items())
    shown = workspace.access.only("key.list", stored, lambda each: of_keyset(each[0]))
    found = tuple(_listed(workspace, shown))
    return KeysFound(found, keysets.reference if shown or not stored else None)


def _listed(workspace: Workspace, shown: Sequence[tuple[str, WrappedKeyset]]) -> Iterator[KeyFound]:
    for purpose, stored in shown:
        counted = _counted(workspace, purpose)
        for number, record in sorted(stored.keys.items(), key=lambda pair: pair[1].made):
            files = None if counted is None else counted[number]
            yield _found(purpose, number, record, number == stored.primary, files)


def former_keys(workspace: Workspace) -> Iterator[FormerKeys]:
    """Of each keyset. Files are looked at only where there are former keys. Raises SecurityError, IntegrityError."""
    for purpose, stored in sorted(workspace.folder.keysets.records().items()):
        former = sorted(stored.enabled - {stored.primary}, key=lambda number: stored.keys[number].made)
        since = stored.keys[stored.primary].made
        if not former:
            yield FormerKeys(purpose, (), 0 if purpose in COUNTS else None, since)
            continue
        counted = _counted(workspace, purpose)
        left = None if counted is None else sum(counted[number] for number in former)
        yield FormerKeys(purpose, tuple(former), left, since)


def rotate(workspace: Workspace, purposes: Sequence[str]) -> list[KeyFound]:
    """Gives each of these keysets a new primary, or all there are if none is named.

    Raises AccessDenied, or ConfigurationError if one is not there; then none was rotated.
    """
    keysets, known = workspace.folder.keysets, workspace.folder.keysets.records()
    for purpose in purposes or sorted(known):
        workspace.access.require("key.change", of_keyset(purpose), change="rotate")
    for purpose in purposes:
        if purpose not in known:
            keysets.rotate(purpose)  # which says that there is none
    rotated = []
    for purpose in purposes or sorted(known):
        _note(workspace, "key.rotate", {"purpose": purpose})
        key = keysets.rotate(purpose).primary
        log.info("keyset rotated", purpose=purpose, key=f"{key.id:08x}")
        if purpose == AUDIT:  # with the new key, so that no checkpoint of now hangs on the former one
            workspace.ledger.audit.load_signers_again()
            _note(workspace, "key.rotate", {"purpose": purpose, "key": f"{key.id:08x}"})
        record = keysets.records()[purpose].keys[key.id]
        counted = _counted(workspace, purpose)
        rotated.append(_found(purpose, key.id, record, True, None if counted is None else counted[key.id]))
    return rotated


def rewrap(workspace: Workspace, to: str | None) -> Rewrapped:
    """Wraps all keysets with another key, or with the newest version of one that is in a vault. No data are touched.

    Raises:
        AccessDenied: the caller may not change each of them.
        ConfigurationError: it is not said which.
        SecurityError: it cannot be had. Then nothing was changed.
    """
    keysets, before = workspace.folder.keysets, workspace.folder.keysets.reference
    for purpose in sorted(keysets.records()):
        workspace.access.require("key.change", of_keyset(purpose), change="rewrap")
    if to is None and not before.startswith(TRANSIT):
        raise ConfigurationError(
            f"the keysets are wrapped with {before}, which has one version",
            hint="name the key to wrap them with: rowkeeper keys rewrap --to file:PATH",
        )
    provider: KeyProvider = workspace.folder.open_provider(to or before)
    _note(workspace, "key.rewrap", {"before": before, "after": provider.reference})
    keysets.rewrap(provider)
    log.info("keysets wrapped anew", before=before, after=provider.reference)
    return Rewrapped(
        sorted(keysets.records()),
        before,
        provider.reference,
        workspace.folder.key_path if provider.made else None,
        workspace.settings.key_reference is not None and before != provider.reference,
    )


def revoke(workspace: Workspace, word: str, *, force: bool, reason: str | None) -> KeyFound:
    """Destroys a key. What is sealed with it is lost.

    Args:
        word: the key's id, 8 hex digits.
        force: also if something is sealed with it, or may be.

    Raises:
        AccessDenied: the caller may not change it, or it is not there and they may not change every one.
        ConfigurationError: there is no such key.
        KeyInUse: it is a primary; or something is sealed with it and it is not forced.
        KeyRevoked: it was revoked before.
    """
    keysets = workspace.folder.keysets
    known = _of_word(workspace, word)
    resource = Resource(ResourceKind.KEY, word) if known is None else of_key(word, known[0])
    workspace.access.require("key.change", resource, change="revoke")
    if known is None:
        raise ConfigurationError(f"there is no key {word}", hint="rowkeeper keys list shows the ids of all keys")
    purpose, number = known
    with _held_still(workspace, purpose):
        stored = keysets.records()[purpose]
        if number != stored.primary and number in stored.enabled and not force:
            _refuse_used(purpose, number, _counted(workspace, purpose))
        _note(workspace, "key.revoke", {"purpose": purpose, "key": f"{number:08x}"}, reason)
        keysets.revoke(purpose, number, reason)
    log.info("key revoked", purpose=purpose, key=f"{number:08x}", note=reason, outcome="forced" if force else "unused")
    counted = _counted(workspace, purpose)
    record = keysets.records()[purpose].keys[number]
    return _found(purpose, number, record, False, None if counted is None else counted[number])


def _refuse_used(purpose: str, number: int, counted: Counter[int] | None) -> None:
    if counted is None:
        what = f"what key {number:08x} of {purpose} was used for is in no files of its own, and is not counted"
    elif counted[number]:
        thing, done = NOUNS.get(purpose, ("file", "sealed"))
        plural = "s are" if counted[number] > 1 else " is"
        what = f"{counted[number]:,} {thing}{plural} still {done} with key {number:08x} of {purpose}"
    else:
        return
    raise KeyInUse(what, hint="with --force --reason TEXT it is revoked all the same, and that is lost")


def _of_word(workspace: Workspace, word: str) -> tuple[str, int] | None:
    for purpose, stored in workspace.folder.keysets.records().items():
        for number in stored.keys:
            if word.lower() == f"{number:08x}":
                return purpose, number
    return None


def _found(purpose: str, number: int, record: KeyRecord, primary: bool, files: int | None) -> KeyFound:
    status = REVOKED if record.revoked is not None else PRIMARY if primary else READS
    return KeyFound(purpose, number, status, record.made, record.revoked, record.reason, files)


# ------------------------------------------------------------------------------------ what is sealed with them


def _files_of_engine(workspace: Workspace) -> Counter[int]:
    keyset = workspace.folder.keysets.of(ENGINE)
    materials = {key.id: key.material for key in keyset.keys}
    return files_by_key(EnginePlaces.under(workspace.folder.path), materials)


def _checkpoints(workspace: Workspace) -> Counter[int]:
    """The checkpoints of the audit trail that can be checked with each key: the head, and those kept elsewhere."""
    trail, keyset = workspace.ledger.audit, workspace.folder.keysets.of(AUDIT)
    notes = {trail.head()[1], *workspace.checkpoints.cosigned_files().values()}
    notes |= {has.note for _, has, _ in workspace.checkpoints.lags()}
    notes |= {path.read_text("utf-8") for path in trail.outside if path.exists()}
    signers = {key.id: Signer(f"rowkeeper/{workspace.ledger.id}", key.derive("ed25519")) for key in keyset.keys}
    return Counter(
        number for note in notes for number, signer in signers.items() if is_signed_by(note, signer.verifier)
    )


def _authority(workspace: Workspace) -> Counter[int]:
    from rowkeeper.security.tls.authority import Authority  # noqa: PLC0415 - `x509` is not quick to import

    return Authority.of(workspace.folder).key_ids()


COUNTS: Mapping[str, Callable[[Workspace], Counter[int]]] = {
    ENGINE: _files_of_engine,
    QUARANTINE: lambda workspace: workspace.quarantine.key_ids(),
    SAMPLES: lambda workspace: workspace.samples.key_ids(),
    SPOOL: lambda workspace: workspace.spool.key_ids(),
    LOGIN: lambda workspace: workspace.ledger.signing_in.factors.key_ids(),
    AUDIT: _checkpoints,
    CERTIFICATES: _authority,
}


def _counted(workspace: Workspace, purpose: str) -> Counter[int] | None:
    """How many files are sealed with each key of a purpose; None where it is not files."""
    return COUNTS[purpose](workspace) if purpose in COUNTS else None


@contextlib.contextmanager
def _held_still(workspace: Workspace, purpose: str) -> Iterator[None]:
    """Nobody begins to write with a key of the engine meanwhile. Files see to that themselves: see `Seal.write`."""
    if purpose != ENGINE:
        yield
        return
    with engine_down(EnginePlaces.under(workspace.folder.path)):
        yield


def _note(workspace: Workspace, action: str, on: Mapping[str, Any], reason: str | None = None) -> None:
    """Puts a change on the record before it is made: keysets are files, which no transaction of the ledger holds."""
    workspace.ledger.audit.record(Event(action, on, reason=reason))

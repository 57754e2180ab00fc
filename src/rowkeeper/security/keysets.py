"""Keysets: for each purpose a few keys, of which one, the primary, writes, and all read."""

from __future__ import annotations

import dataclasses

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rowkeeper.errors import KeyUnusable
from rowkeeper.security.keyfile import derive


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One key of a keyset.

    Attributes:
        id: 32 bits, unique in its keyset; what was written with the key carries it.
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
    """

    purpose: str
    primary: Key
    keys: tuple[Key, ...]

    def key(self, id: int) -> Key:
        """The key that something was written with.

        Raises KeyUnusable if the keyset has none of this id.
        """
        for each in self.keys:
            if each.id == id:
                return each
        raise KeyUnusable(
            f"the keyset {self.purpose} has no key {id:08x}", hint="rowkeeper keys list shows the keys there are"
        )


class Keysets:
    """All keysets of a state folder, by purpose; made at first use."""

    def __init__(self, master: bytes) -> None:
        self._master = master

    def of(self, purpose: str) -> Keyset:
        """The keyset of a purpose."""
        key = Key(1, derive(self._master, purpose))
        return Keyset(purpose, key, (key,))

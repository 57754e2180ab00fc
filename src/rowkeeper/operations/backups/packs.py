"""Packs: many files of a backup in one, so that a store has to take hundreds of files and not hundreds of thousands.

Two kinds. A *sealed* pack holds what would be readable otherwise: the ledger, settings, names of tables and columns,
the index itself. It is compressed (Zstandard), then sealed. A *plain* one holds files that the engine's encrypted disk
has encrypted already (AES-256-CTR), one behind the other as they are; that nobody changes them is seen to by the
SHA-256 of the pack in the manifest.

A sealed pack begins with the magic `RKB1`, the id of the key (4 bytes, big-endian) and 16 random bytes, from which and
the key its own key is derived (HKDF-SHA256). Then come pieces of up to 1 MiB, each AES-256-GCM with a tag of 16 bytes;
their nonce is their number (11 bytes) and whether they are the last (1 byte), so that none can be left out, put
elsewhere, or cut off. Header and name of the pack are bound in.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rowkeeper.errors import KeyUnusable
from rowkeeper.operations.backups.manifest import StoredFile, damaged
from rowkeeper.security.keysets import Key

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b"RKB1"
SALT_BYTES = 16
HEADER_BYTES = len(MAGIC) + 4 + SALT_BYTES
PIECE_BYTES = 1 << 20
TAG_BYTES = 16
USE = "backup pack"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """Where a file is that a backup holds.

    Attributes:
        path: what it is called, with the part of the backup that it is of before it: `state/quarantine/...`,
            `native/data/...`.
        size: bytes.
        sha256: of the file; empty for those of the engine, which are known by their packs.
        backup: the id of the backup in which it lies: this one, or one of its chain.
        pack: the name of the pack there.
        offset: of its first byte, in what the pack holds.
    """

    path: str
    size: int
    sha256: str
    backup: str
    pack: str
    offset: int


def index_written(entries: Iterable[Entry]) -> bytes:
    """All entries as a document."""
    return json.dumps([dataclasses.astuple(each) for each in entries], separators=(",", ":")).encode()


def index_read(id: str, document: bytes) -> dict[str, Entry]:
    """The entries by path. Raises BackupDamaged."""
    try:
        entries = [Entry(*values) for values in json.loads(document)]
    except (ValueError, TypeError) as error:
        raise damaged(id, "its index is not what Rowkeeper wrote") from error
    return {each.path: each for each in entries}


class Sink(Protocol):
    """What takes bytes."""

    def write(self, data: bytes) -> int:
        """Takes some more."""
        ...


class Readable(Protocol):
    """What gives bytes."""

    def read(self, size: int, /) -> bytes:
        """Up to so many; empty at the end."""
        ...


class Hashed:
    """Hashes and counts what goes through."""

    def __init__(self, out: Sink) -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Takes some more."""
        self._hash.update(data)
        self.size += len(data)
        self._out.write(data)
        return len(data)

    def stored(self, name: str) -> StoredFile:
        """What went through, as a file of this name."""
        return StoredFile(name, self.size, self._hash.hexdigest())


class Sealing:
    """Compresses and seals what is written into it. `finish` writes the last piece."""

    def __init__(self, out: Sink, key: Key, name: str) -> None:
        header = MAGIC + key.id.to_bytes(4) + secrets.token_bytes(SALT_BYTES)
        self._out, self._about = out, header + name.encode()
        self._cipher = _cipher(key, header)
        self._compressor = zstd.ZstdCompressor()
        self._pieces = 0
        self._held = bytearray()
        out.write(header)

    def write(self, data: bytes) -> int:
        """Takes some more."""
        self._take(self._compressor.compress(data))
        return len(data)

    def finish(self) -> None:
        """Writes what is left, as the last piece."""
        self._take(self._compressor.flush())
        self._seal(bytes(self._held), last=True)

    def _take(self, data: bytes) -> None:
        self._held += data
        while len(self._held) > PIECE_BYTES:  # the last piece is only known when all is there
            self._seal(bytes(self._held[:PIECE_BYTES]), last=False)
            del self._held[:PIECE_BYTES]

    def _seal(self, piece: bytes, *, last: bool) -> None:
        self._out.write(self._cipher.encrypt(_nonce(self._pieces, last=last), piece, self._about))
        self._pieces += 1


def opened(file: Readable, key_of: Callable[[int], Key], id: str, name: str) -> Iterator[bytes]:
    """What a sealed pack holds, in pieces, each checked before it is given out. Raises BackupDamaged."""
    decompressor = zstd.ZstdDecompressor()
    for piece in _unsealed(file, key_of, id, name):
        held = piece
        while not decompressor.eof:
            yield decompressor.decompress(held, PIECE_BYTES)
            held = b""
            if decompressor.needs_input:
                break


def _unsealed(file: Readable, key_of: Callable[[int], Key], id: str, name: str) -> Iterator[bytes]:
    header = file.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise damaged(id, f"{name} is no sealed pack")
    try:
        key = key_of(int.from_bytes(header[len(MAGIC) : len(MAGIC) + 4]))
    except KeyUnusable as error:
        raise damaged(id, f"{name} was sealed with a key that this installation never had") from error
    cipher, about = _cipher(key, header), header + name.encode()
    piece, number = file.read(PIECE_BYTES + TAG_BYTES), 0
    while True:
        following = file.read(PIECE_BYTES + TAG_BYTES)
        try:
            yield cipher.decrypt(_nonce(number, last=not following), piece, about)
        except (InvalidTag, ValueError) as error:
            raise damaged(id, f"{name} was changed since it was sealed") from error
        if not following:
            return
        piece, number = following, number + 1


def _cipher(key: Key, header: bytes) -> AESGCM:
    salt = header[-SALT_BYTES:]
    return AESGCM(HKDF(SHA256(), 32, salt, f"rowkeeper {USE}".encode()).derive(key.material))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])

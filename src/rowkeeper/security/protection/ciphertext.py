"""What a ciphertext says of itself, so that keys can be rotated: the method, and the id of its key.

    version     1 byte     1: AES-256-GCM, 2: AES-SIV (of the version follows the rest)
    key         4 bytes    the id in the keyset, big-endian
    the rest               1: salt (12 bytes), number (4 bytes), ciphertext with its tag of 16 bytes
                           2: synthetic IV and ciphertext (RFC 5297)

In text columns it is base64url without padding.

The purpose is bound in as associated data: a value that is moved to a column of another purpose does not open.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Iterable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rowkeeper.errors import RevealFailed
from rowkeeper.security.keysets import Key, Keyset

GCM, SIV = 1, 2
SALT_BYTES, NUMBER_BYTES, TAG_BYTES = 12, 4, 16
HEAD_BYTES = 5
NUMBERS_MAX = 1 << 32


def _associated(keyset: Keyset) -> bytes:
    return f"rowkeeper {keyset.purpose}".encode()


def sealed_cells(values: Iterable[bytes], keyset: Keyset, context: Iterable[bytes] | None = None) -> list[bytes]:
    """Encrypts each value by itself with AES-256-GCM: equal values become different ones.

    A call makes a key of its own from the keyset's primary and a random salt, and counts the values: no nonce is met
    twice, however many rows a keyset encrypts. (Random nonces of 12 bytes are good for 2^32 values of one key.)

    Args:
        context: what else each of them is bound to.
    """
    salt = os.urandom(SALT_BYTES)
    head = bytes([GCM]) + keyset.primary.id.to_bytes(4) + salt
    encrypt = AESGCM(_salted(keyset.primary, salt)).encrypt
    about = _associated(keyset)
    if context is None:
        return [
            head + (count := number.to_bytes(NUMBER_BYTES)) + encrypt(salt[:8] + count, each, about)
            for number, each in enumerate(values)
        ]
    return [
        head + (count := number.to_bytes(NUMBER_BYTES)) + encrypt(salt[:8] + count, each, about + b"\0" + bound)
        for number, (each, bound) in enumerate(zip(values, context, strict=True))
    ]


def _salted(key: Key, salt: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, b"rowkeeper aes-256-gcm").derive(key.derive("aes-256-gcm"))


class Opener:
    """Opens ciphertexts of one keyset; keeps the keys that it has derived."""

    def __init__(self, keyset: Keyset) -> None:
        self._keyset = keyset
        self._about = _associated(keyset)
        self._gcm: dict[bytes, AESGCM] = {}
        self._siv: dict[int, AESSIV] = {}

    def open(self, sealed: bytes, bound: bytes | None = None) -> bytes:
        """What was encrypted.

        Raises:
            RevealFailed: it is no ciphertext of this purpose (and of what else it is bound to), or was changed.
            KeyUnusable: its key is no longer in the keyset.
        """
        try:
            if sealed[0] == GCM:
                return self._open_gcm(sealed, bound)
            if sealed[0] == SIV:
                return self._open_siv(sealed)
        except (InvalidTag, ValueError, IndexError):
            pass
        raise RevealFailed(
            f"a value is no ciphertext of {self._keyset.purpose}, or was changed",
            hint="it was written under another purpose or state folder, or before the column was protected",
        ) from None

    def _open_gcm(self, sealed: bytes, bound: bytes | None) -> bytes:
        head = sealed[: HEAD_BYTES + SALT_BYTES]
        if len(sealed) < len(head) + NUMBER_BYTES + TAG_BYTES:
            raise ValueError
        if head not in self._gcm:
            key = self._keyset.key(int.from_bytes(head[1:HEAD_BYTES]))
            self._gcm[head] = AESGCM(_salted(key, head[HEAD_BYTES:]))
        count = sealed[len(head) : len(head) + NUMBER_BYTES]
        about = self._about if bound is None else self._about + b"\0" + bound
        return self._gcm[head].decrypt(head[HEAD_BYTES:][:8] + count, sealed[len(head) + NUMBER_BYTES :], about)

    def _open_siv(self, sealed: bytes) -> bytes:
        number = int.from_bytes(sealed[1:HEAD_BYTES])
        if number not in self._siv:
            self._siv[number] = siv_of(self._keyset.key(number))
        return self._siv[number].decrypt(sealed[HEAD_BYTES:], [self._about])


def siv_of(key: Key) -> AESSIV:
    """AES-256-SIV with two keys of 32 bytes."""
    return AESSIV(key.derive("aes-siv", 64))


def joinable_cells(values: Iterable[bytes], keyset: Keyset, key: Key) -> list[bytes]:
    """Encrypts each value with AES-SIV: equal values become equal ones."""
    head, about = bytes([SIV]) + key.id.to_bytes(4), [_associated(keyset)]
    encrypt: Callable[[bytes, list[bytes]], bytes] = siv_of(key).encrypt
    return [head + encrypt(each, about) for each in values]


def to_text(sealed: bytes) -> str:
    """For a text column."""
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def to_texts(sealed: Sequence[bytes]) -> list[str]:
    """The same of many: one call encodes all of them, each filled up to whole groups of three bytes."""
    joined = b"".join([each + bytes(-len(each) % 3) for each in sealed])
    written = base64.urlsafe_b64encode(joined).decode()
    texts, start = [], 0
    for each in sealed:
        size = len(each)
        texts.append(written[start : start + (size * 4 + 2) // 3])
        start += (size + 2) // 3 * 4
    return texts


def from_text(text: str) -> bytes:
    """The inverse of `to_text`. Raises RevealFailed for anything else."""
    try:
        return base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise RevealFailed(
            "a value is no ciphertext", hint="it was written before the column was protected, or was changed"
        ) from None

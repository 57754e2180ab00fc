"""Checkpoints: what the tree was at one size, signed (c2sp.org/signed-note, c2sp.org/tlog-checkpoint).

    rowkeeper/3f2a...                               origin: the ledger
    1024                                            entries
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=    root
                                                    (an empty line)
    — rowkeeper/3f2a... Az3grlgtzPICa5OS8npVmf1...  key id and Ed25519 signature

A checkpoint is trusted for its signature, wherever it comes from.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
from collections.abc import Sequence
from typing import ClassVar, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from rowkeeper.ledger.audit.merkle import HASH_BYTES, ProofInvalid

ED25519 = b"\x01"  # the signature type of c2sp.org/signed-note
KEY_ID_BYTES = 4
SIGNATURES_MAX = 64
DASH = "\u2014 "


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tree at one size.

    Attributes:
        origin: which log it is of.
        size: entries.
        root: 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Verifier:
    """A public key with its name: `NAME+KEY ID+BASE64`, as other tools write it (vkey).

    Attributes:
        name: the key's name; of ours, the origin.
        key: 32 bytes.
    """

    name: str
    key: bytes
    algorithm: ClassVar[bytes] = ED25519

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a vkey. Raises ProofInvalid if it is none, or of another algorithm."""
        parts = text.strip().split("+", 2)  # base64 may hold a plus
        try:
            name, id_text, key_text = parts
            data = base64.b64decode(key_text, validate=True)
        except ValueError as error:
            raise ProofInvalid("the key is not NAME+ID+BASE64") from error
        found = cls(name, data[1:])
        if data[:1] != cls.algorithm or len(found.key) != HASH_BYTES or found.id.hex() != id_text:
            raise ProofInvalid(f"the key is damaged, or is no key of type {cls.algorithm[0]} (Ed25519)")
        return found

    @property
    def id(self) -> bytes:
        """Four bytes by which signatures name it."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.algorithm + self.key).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_base64(self.algorithm + self.key)}"


class Signer:
    """Signs checkpoints.

    Args:
        name: of the key; without spaces and plus signs.
        seed: 32 secret bytes (the private key of RFC 8032).
    """

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())

    def sign(self, checkpoint: Checkpoint) -> str:
        """The checkpoint as a signed note."""
        text = checkpoint.text()
        signature = self.verifier.id + self._key.sign(text.encode())
        return f"{text}\n{DASH}{self.verifier.name} {_base64(signature)}\n"


def open_checkpoint(note: str, verifiers: Sequence[Verifier]) -> Checkpoint:
    """Checks a signed checkpoint and reads it.

    Args:
        verifiers: the keys that are trusted; one of them must have signed, and none of them wrongly.

    Raises ProofInvalid.
    """
    text, found, signatures = note.rpartition("\n\n")
    if not found or any(ord(letter) < 0x20 and letter != "\n" for letter in note):
        raise ProofInvalid("it is no signed note")
    text += "\n"
    lines = signatures.splitlines()
    if not 0 < len(lines) <= SIGNATURES_MAX:
        raise ProofInvalid("it has no signature, or very many")
    signed = [_is_signed_by(line, text, verifiers) for line in lines]
    if not any(signed):
        raise ProofInvalid("no key that is trusted has signed it")
    return _parsed(text)


def is_signed_by(note: str, verifier: Verifier) -> bool:
    """Whether a checkpoint has a signature of this key that holds."""
    try:
        open_checkpoint(note, [verifier])
    except ProofInvalid:
        return False
    return True


def _is_signed_by(line: str, text: str, verifiers: Sequence[Verifier]) -> bool:
    """Whether the line is a trusted key's signature; those of unknown keys are passed over."""
    name, data = signature_of(line)
    known = [each for each in verifiers if (each.name, each.id) == (name, data[:KEY_ID_BYTES])]
    for each in known:
        try:
            Ed25519PublicKey.from_public_bytes(each.key).verify(data[KEY_ID_BYTES:], text.encode())
        except InvalidSignature as error:
            raise ProofInvalid("its signature is not of this text") from error
    return bool(known)


def signature_of(line: str) -> tuple[str, bytes]:
    """The name of a signature line's key, and what follows it: the key's id and the signature. Raises ProofInvalid."""
    name, _, encoded = line.removeprefix(DASH).rpartition(" ")
    data = _bytes(encoded)
    if not line.startswith(DASH) or not name or data is None or len(data) <= KEY_ID_BYTES:
        raise ProofInvalid("a signature line is damaged")
    return name, data


def _parsed(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0]:
        raise ProofInvalid("it is no checkpoint")
    root = _bytes(lines[2])
    if not (lines[1].isascii() and lines[1].isdigit()) or str(int(lines[1])) != lines[1]:
        raise ProofInvalid("its size is no number")
    if root is None or len(root) != HASH_BYTES:
        raise ProofInvalid("its root is no hash")
    return Checkpoint(lines[0], int(lines[1]), root)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None

"""Proofs that one entry is in the trail, as text that can be checked without the ledger (c2sp.org/tlog-proof@v1).

    c2sp.org/tlog-proof@v1
    extra <base64>          the entry itself: its hash is what is proved
    index 73894
    <base64>                the audit path, a hash on each line, the leaf's sibling first

    <checkpoint>            as it was signed

This file and `merkle.py` and `notes.py` beside it use nothing but Python's library and `cryptography`, and read
nothing but the text of the proof and the public key.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Sequence

from rowkeeper.ledger.audit.merkle import HASH_BYTES, ProofInvalid, check_inclusion, leaf_hash
from rowkeeper.ledger.audit.notes import Checkpoint, Verifier, open_checkpoint

HEADER = "c2sp.org/tlog-proof@v1"


@dataclasses.dataclass(frozen=True, slots=True)
class Proved:
    """What a proof proves: this entry stood at this place when the trail was signed.

    Attributes:
        entry: the entry's bytes.
        index: its number, from 0.
        checkpoint: the tree in which it is.
    """

    entry: bytes
    index: int
    checkpoint: Checkpoint


def proof_text(entry: bytes, index: int, path: Sequence[bytes], checkpoint_note: str) -> str:
    """Writes a proof."""
    lines = [HEADER, f"extra {_encoded(entry)}", f"index {index}", *map(_encoded, path)]
    return "\n".join(lines) + "\n\n" + checkpoint_note


def check_proof(text: str, verifiers: Sequence[Verifier]) -> Proved:
    """Checks a proof against public keys that are trusted. Raises ProofInvalid if it proves nothing.

    1. The checkpoint is signed by a trusted key, and none of them signed it wrongly.
    2. The path leads from the hash of the entry to the checkpoint's root.
    """
    body, found, note = text.partition("\n\n")
    lines = body.split("\n")
    if not found or lines[0] != HEADER or len(lines) < 3:
        raise ProofInvalid(f"it is no proof: it does not begin with {HEADER}, an entry, and its index")
    checkpoint = open_checkpoint(note, verifiers)
    entry = _decoded(_after("extra ", lines[1]))
    number = _after("index ", lines[2])
    if not (number.isascii() and number.isdigit()) or str(int(number)) != number:
        raise ProofInvalid("its index is no number")
    path = [_decoded(line) for line in lines[3:]]
    if any(len(each) != HASH_BYTES for each in path):
        raise ProofInvalid("its path holds what is no hash")
    check_inclusion(leaf_hash(entry), int(number), checkpoint.size, path, checkpoint.root)
    return Proved(entry, int(number), checkpoint)


def _after(word: str, line: str) -> str:
    if not line.startswith(word):
        raise ProofInvalid(f"a line should begin with {word.strip()!r}")
    return line.removeprefix(word)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ProofInvalid("a line is not base64") from error

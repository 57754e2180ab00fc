"""What is said to a witness and what it answers (c2sp.org/tlog-witness, c2sp.org/tlog-cosignature).

A witness keeps, of each log that it knows, the newest checkpoint that it has seen, and cosigns a newer one only if that
is a continuation. So whoever puts back an older copy of the ledger, with all that lies beside it, has the witness
against him.

    old 20852014                                    the size that the witness has seen
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=    the consistency proof from there, a hash on each line
                                                    (an empty line)
    rowkeeper/3f2a...                               the checkpoint, as it was signed

Its answer is a signature line, over the checkpoint and the time at which the witness saw it.
"""

from __future__ import annotations

import base64
import dataclasses
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from rowkeeper.ledger.audit.merkle import ProofInvalid
from rowkeeper.ledger.audit.notes import KEY_ID_BYTES, Verifier, signature_of

COSIGNATURE_V1 = b"\x04"
SIGNED_BYTES = KEY_ID_BYTES + 8 + 64  # id, time, signature
SIZE_TYPE = "text/x.tlog.size"  # of the answer that tells what the witness has seen
SIZE_DIGITS_MAX = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Cosigner(Verifier):
    """A witness's public key with its name, as others write it (a vkey of type 4)."""

    algorithm: ClassVar[bytes] = COSIGNATURE_V1


def submission(old_size: int, proof: Sequence[bytes], note: str) -> str:
    """The body of `add-checkpoint`.

    Args:
        old_size: entries that the witness has seen; 0 if none.
        proof: that the tree of so many entries is the beginning of the checkpoint's.
        note: the signed checkpoint.
    """
    lines = [f"old {old_size}", *(base64.b64encode(each).decode() for each in proof)]
    return "\n".join(lines) + "\n\n" + note


def seen_size(body: str) -> int:
    """The size in the answer of a witness that has seen another than it was told. Raises ProofInvalid."""
    text = body.removesuffix("\n")
    if not (text.isascii() and text.isdigit() and len(text) <= SIZE_DIGITS_MAX) or str(int(text)) != text:
        raise ProofInvalid("it tells no size")
    return int(text)


def cosigned(note: str, answer: str, cosigner: Cosigner) -> tuple[str, datetime]:
    """Adds a witness's cosignatures to a checkpoint, after checking them.

    Args:
        note: the signed checkpoint that was sent.
        answer: signature lines; those of keys that are not known are left out.

    Returns the cosigned checkpoint and the time of the (last) cosignature, UTC. Raises ProofInvalid if there is none by
    this key, or a wrong one.
    """
    lines = [line for line in answer.splitlines() if _is_by(line, cosigner)]
    if not lines:
        raise ProofInvalid("it has not cosigned")
    at = max(check_cosignature(note, line, cosigner) for line in lines)
    return note + "".join(f"{line}\n" for line in lines), at


def check_cosignatures(note: str, cosigner: Cosigner) -> datetime:
    """When a witness cosigned a checkpoint that was kept. Raises ProofInvalid unless it did."""
    body, _, signatures = note.rpartition("\n\n")
    return cosigned(f"{body}\n\n", signatures, cosigner)[1]


def check_cosignature(note: str, line: str, cosigner: Cosigner) -> datetime:
    """The time of a cosignature. Raises ProofInvalid if it is not of this checkpoint by this key."""
    _, data = signature_of(line)
    if len(data) != SIGNED_BYTES:
        raise ProofInvalid("its cosignature is damaged")
    (seconds,) = struct.unpack(">Q", data[KEY_ID_BYTES : KEY_ID_BYTES + 8])
    body = note.rpartition("\n\n")[0] + "\n"
    signed = f"cosignature/v1\ntime {seconds}\n{body}"
    try:
        Ed25519PublicKey.from_public_bytes(cosigner.key).verify(data[KEY_ID_BYTES + 8 :], signed.encode())
        return datetime.fromtimestamp(seconds, UTC)
    except (InvalidSignature, ValueError, OverflowError) as error:
        raise ProofInvalid("its cosignature is not of this checkpoint") from error


def _is_by(line: str, cosigner: Cosigner) -> bool:
    name, data = signature_of(line)
    return (name, data[:KEY_ID_BYTES]) == (cosigner.name, cosigner.id)

"""Which key each file of the encrypted disk was written with.

A file of ClickHouse's encrypted disk begins with `ENC`, its version (2 bytes), its algorithm (2 bytes), and a
fingerprint of its key (16 bytes): SipHash-2-4 of 128 bits of the key, itself keyed with the words `ChEncrypt` and
`tedDiskF` (`FileEncryptionCommon.cpp`, version 2). ClickHouse's SipHash of 128 bits is older than the published one: it
ends after one finalisation and gives the state in two halves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.errors import IntegrityError

UNKNOWN = 0  # no key has this id
SIGNATURE = b"ENC\x02\x00"
FINGERPRINT = slice(7, 23)
SEEDS = (0x4368456E63727970, 0x7465644469736B46)
STATE = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
MASK = 2**64 - 1


def files_by_key(places: EnginePlaces, keys: Mapping[int, bytes]) -> Counter[int]:
    """How many files were written with which of these keys, by their headers; `UNKNOWN` counts those of none of them.

    Raises IntegrityError.
    """
    known = {fingerprint(key): number for number, key in keys.items()}
    counted: Counter[int] = Counter()
    for path in (places.disk / "enc").rglob("*"):
        try:
            if not path.is_file():
                continue
            with path.open("rb") as file:
                header = file.read(FINGERPRINT.stop)
        except FileNotFoundError:
            continue  # merged, or dropped
        except OSError as error:
            raise IntegrityError(f"{path} cannot be read: {error.strerror}", hint="see to the disk") from error
        if len(header) == FINGERPRINT.stop:  # one that is cut off was being written when its engine died
            counted[known.get(header[FINGERPRINT], UNKNOWN) if header.startswith(SIGNATURE) else UNKNOWN] += 1
    return counted


def fingerprint(key: bytes) -> bytes:
    """What stands of a key in the files that were written with it."""
    v0, v1, v2, v3 = (word ^ seed for word, seed in zip(STATE, SEEDS * 2, strict=True))
    words = [int.from_bytes(key[at : at + 8], "little") for at in range(0, len(key), 8)]
    for word in (*words, len(key) << 56 & MASK):
        v0, v1, v2, v3 = _round(*_round(v0, v1, v2, v3 ^ word))
        v0 ^= word
    v2 ^= 0xFF
    for _ in range(4):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return (v0 ^ v1).to_bytes(8, "little") + (v2 ^ v3).to_bytes(8, "little")


def _round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    v0, v2 = (v0 + v1) & MASK, (v2 + v3) & MASK
    v1, v3 = _turned(v1, 13) ^ v0, _turned(v3, 16) ^ v2
    v0 = _turned(v0, 32)
    v2, v0 = (v2 + v1) & MASK, (v0 + v3) & MASK
    v1, v3 = _turned(v1, 17) ^ v2, _turned(v3, 21) ^ v0
    return v0, v1, _turned(v2, 32), v3


def _turned(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & MASK

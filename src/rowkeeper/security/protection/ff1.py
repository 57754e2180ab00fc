"""FF1, format-preserving encryption of NIST SP 800-38G (revision 1), over many texts of one length at once.

The ten rounds are done on whole columns: each takes one call to AES for all of the values, and arithmetic on arrays.
`fastfpe` 0.2.1, the one wheel there is, takes a value at a time and makes its key anew for each, which is four times
slower, and it refuses 18 of Wycheproof's valid vectors: the short texts of the standard's first edition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from numpy.typing import NDArray

ROUNDS = 10
BLOCK_BYTES = 16
RADIX_MAX = 1 << 16
LENGTH_MAX = (1 << 32) - 1
DOMAIN_FIRST_EDITION = 100  # of SP 800-38G; its revision, and `FormatPreserving`, ask for a million
# The halves are 64-bit integers as long as a remainder with 16 bits more behind it is one, else Python's own.
WIDE_MAX = 1 << 48
NARROW_MAX = 1 << 32

Numerals = NDArray[np.uint16]
"""A row for each text, a numeral below the radix for each of its characters."""


class FF1:
    """FF1 with one key and radix.

    Args:
        key: for AES: 16, 24 or 32 bytes.
        radix: from 2 to 65,536.

    Raises ValueError for another key or radix.
    """

    def __init__(self, key: bytes, radix: int) -> None:
        if len(key) not in (16, 24, 32):
            raise ValueError("a key of AES has 16, 24 or 32 bytes")
        if not 2 <= radix <= RADIX_MAX:
            raise ValueError("the radix is from 2 to 65,536")
        self._cipher = Cipher(AES(key), ECB())  # noqa: S305  # nosec B305  # the block cipher itself, which FF1 is built on
        self.radix = radix

    def encrypt(self, texts: Numerals, tweak: bytes = b"") -> Numerals:
        """Encrypts texts that have one length.

        Raises ValueError if they are too short (a domain of less than 100), or a numeral is none of the radix.
        """
        return _Rounds(self, texts, tweak).forward()

    def decrypt(self, texts: Numerals, tweak: bytes = b"") -> Numerals:
        """The inverse of `encrypt`."""
        return _Rounds(self, texts, tweak).backward()

    def blocks(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """AES of each block of 16 bytes by itself, in rows."""
        done = self._cipher.encryptor().update(data.tobytes())
        return np.frombuffer(done, np.uint8).reshape(-1, BLOCK_BYTES)


class _Rounds:
    """The Feistel network over texts of n numerals: A is the first u of them as an integer, B the other v."""

    def __init__(self, ff1: FF1, texts: Numerals, tweak: bytes) -> None:
        n, radix = texts.shape[1], ff1.radix
        if n < 2 or n > LENGTH_MAX or radix**n < DOMAIN_FIRST_EDITION:
            raise ValueError("the text is too short, or too long, for FF1")
        if texts.size and int(texts.max()) >= radix:
            raise ValueError("a numeral is none of the radix")
        self._ff1 = ff1
        self._u, self._v = n // 2, n - n // 2
        self._moduli = (radix**self._u, radix**self._v)
        self._fits = self._moduli[1] <= WIDE_MAX
        self._texts = texts
        # The bytes of B, and of the pseudorandom number that is added to A, in the standard's letters.
        self._b = ((self._moduli[1] - 1).bit_length() + 7) // 8
        self._d = 4 * -(-self._b // 4) + 4
        head = bytes([1, 2, 1]) + radix.to_bytes(3) + bytes([10, self._u % 256])
        head += n.to_bytes(4) + len(tweak).to_bytes(4)
        padded = tweak + bytes((-len(tweak) - self._b - 1) % BLOCK_BYTES)
        self._same, self._rest = self._chained(head + padded)

    def forward(self) -> Numerals:
        a, b = self._halves()
        for number in range(ROUNDS):
            modulus = self._moduli[number % 2]
            a, b = b, (a + self._added(number, b, modulus)) % modulus
        return self._joined(a, b)

    def backward(self) -> Numerals:
        a, b = self._halves()
        for number in reversed(range(ROUNDS)):
            modulus = self._moduli[number % 2]
            a, b = (b + (modulus - self._added(number, a, modulus))) % modulus, a
        return self._joined(a, b)

    # ------------------------------------------------------------------ numerals and integers

    def _halves(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._number(self._texts[:, : self._u]), self._number(self._texts[:, self._u :])

    def _number(self, numerals: Numerals) -> NDArray[Any]:
        total: NDArray[Any] = np.zeros(len(numerals), np.uint64 if self._fits else object)
        for column in numerals.T:
            total = total * self._ff1.radix + column.astype(total.dtype)
        return total

    def _joined(self, a: NDArray[Any], b: NDArray[Any]) -> Numerals:
        made = np.empty(self._texts.shape, np.uint16)
        for rest, first, after in ((a, 0, self._u), (b, self._u, self._u + self._v)):
            for place in reversed(range(first, after)):
                made[:, place] = (rest % self._ff1.radix).astype(np.uint16)
                rest = rest // self._ff1.radix  # noqa: PLW2901 - what is left of it
        return made

    # ------------------------------------------------------------------ the pseudorandom function

    def _chained(self, data: bytes) -> tuple[bytes, bytes]:
        """CBC-MAC over the blocks that all texts share, and what is left behind the last whole one."""
        state = bytes(BLOCK_BYTES)
        whole = len(data) // BLOCK_BYTES * BLOCK_BYTES
        for start in range(0, whole, BLOCK_BYTES):
            block = np.frombuffer(data[start : start + BLOCK_BYTES], np.uint8) ^ np.frombuffer(state, np.uint8)
            state = self._ff1.blocks(block).tobytes()
        return state, data[whole:]

    def _added(self, number: int, b: NDArray[Any], modulus: int) -> NDArray[Any]:
        """y of round `number`, modulo what A is counted by."""
        tail = np.empty((len(b), len(self._rest) + 1 + self._b), np.uint8)
        tail[:, : len(self._rest)] = np.frombuffer(self._rest, np.uint8)
        tail[:, len(self._rest)] = number
        tail[:, len(self._rest) + 1 :] = _bytes_of(b, self._b)
        state: NDArray[np.uint8] = np.frombuffer(self._same, np.uint8)
        for start in range(0, tail.shape[1], BLOCK_BYTES):
            state = self._ff1.blocks(tail[:, start : start + BLOCK_BYTES] ^ state)
        parts = [state]
        for extra in range(1, -(-self._d // BLOCK_BYTES)):
            parts.append(self._ff1.blocks(state ^ np.frombuffer(extra.to_bytes(BLOCK_BYTES), np.uint8)))
        return _remainder(np.concatenate(parts, axis=1)[:, : self._d], modulus)


def _bytes_of(numbers: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """Big-endian, in rows."""
    if numbers.dtype == object:
        joined = b"".join(int(each).to_bytes(size) for each in numbers)
        return np.frombuffer(joined, np.uint8).reshape(-1, size)
    return numbers.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - size :]


def _remainder(numbers: NDArray[np.uint8], modulus: int) -> NDArray[Any]:
    """Big-endian numbers, in rows of a multiple of four bytes, modulo one of up to 48 bits; or of any, by Python."""
    if modulus > WIDE_MAX:
        made: NDArray[Any] = np.empty(len(numbers), object)
        made[:] = [int.from_bytes(row.tobytes()) % modulus for row in numbers]
        return made
    word, bits = (">u4", 32) if modulus <= NARROW_MAX else (">u2", 16)
    words = np.ascontiguousarray(numbers).view(word).astype(np.uint64)
    rest = np.zeros(len(numbers), np.uint64)
    for column in words.T:
        rest = ((rest << np.uint64(bits)) | column) % np.uint64(modulus)
    return rest


def numerals_of(text: str, alphabet: str) -> Numerals:
    """One text as numerals. Raises ValueError for a character that is not in the alphabet."""
    return np.array([[alphabet.index(character) for character in text]], np.uint16).reshape(1, len(text))


def text_of(numerals: Sequence[int] | NDArray[Any], alphabet: str) -> str:
    """The inverse of `numerals_of`, for one row."""
    return "".join(alphabet[number] for number in numerals)

"""FormatPreserving: FF1, for columns whose form must stay what it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rowkeeper.errors import DeclarationError, RevealFailed
from rowkeeper.security.protection.ff1 import FF1, Numerals
from rowkeeper.security.protection.method import Method, Use, checked_purpose
from rowkeeper.security.protection.values import Values

DOMAIN_MIN = 1_000_000  # SP 800-38G revision 1, section 5.1
DIGITS = "0123456789"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SEPARATORS = " -./+()"
INT64_MAX = 2**63 - 1
INVALID = 255

_t = pa.types


@dataclasses.dataclass(frozen=True)
class FormatPreserving(Method):
    """Encrypts with FF1 (NIST SP 800-38G): digits become digits, and there are as many of them.

    Equal values become equal ones in all tables of one purpose. `rowkeeper reveal` turns it back. A text keeps its
    separators where they are. A whole number stays one of as many digits, with its sign. Null stays null.

    What cannot be encrypted rejects its row: a text with another character, and what is shorter than six digits, four
    letters and digits (radix 36), or a whole number of seven digits: there are fewer than a million of those.

    Args:
        radix: 10 for digits, 36 for digits and the letters a to z.
        upper: the letters are A to Z.
        separators: characters that stay as and where they are, and are shown to everybody.
        purpose: what the key is for. By default the field's classification.

    Raises DeclarationError for another radix, or a separator that is of the alphabet.
    """

    radix: Literal[10, 36] = 10
    upper: bool = False
    separators: str = SEPARATORS
    purpose: str | None = None
    word: ClassVar[str] = "format_preserving"
    keyed: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    joins: ClassVar[bool] = True
    repeats: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked_purpose("FormatPreserving", self.purpose)
        if self.radix not in (10, 36) or isinstance(self.radix, bool):
            raise DeclarationError(
                f"FormatPreserving: radix={self.radix!r} is no radix", hint="10 for digits, 36 for letters as well"
            )
        separators = self.separators
        if not isinstance(separators, str) or not separators.isascii() or any(map(str.isalnum, separators)):
            raise DeclarationError(
                "FormatPreserving: separators are neither letters nor digits, and ASCII", hint='such as separators=" -"'
            )

    @property
    def alphabet(self) -> str:
        """The characters that are encrypted."""
        if self.radix == 10:
            return DIGITS
        return DIGITS + (LETTERS.upper() if self.upper else LETTERS)

    @property
    def _length_min(self) -> int:
        return next(length for length in range(1, 32) if self.radix**length >= DOMAIN_MIN)

    def refusal(self, field: pa.Field[Any]) -> str:
        """It takes text, and whole numbers."""
        if _t.is_string(field.type) or _t.is_large_string(field.type):
            return ""
        if _t.is_int64(field.type):
            return "" if self.radix == 10 else "radix 36 is for text"
        return "it is for text and whole numbers"

    def stored(self, field: pa.Field[Any]) -> pa.Field[Any]:
        """The same type, but for the list of values that it was confined to."""
        return pa.field(field.name, field.type, nullable=field.nullable)

    def unfit(self, values: Values) -> list[int]:
        """Those of too few characters, or with one that is neither of the alphabet nor a separator."""
        if _t.is_integer(values.type):
            least = DOMAIN_MIN  # of seven digits: of six there are only 900,000
            listed = values.to_pylist()
            return [place for place, each in enumerate(listed) if abs(each) < least or abs(each) > INT64_MAX]
        text = _Text.of(values, self.alphabet)
        strange = (text.numerals == INVALID) & ~np.isin(text.data, np.frombuffer(self.separators.encode(), np.uint8))
        bad = (text.lengths < self._length_min) | (text.per_value(strange) > 0)
        return np.flatnonzero(bad).tolist()

    def protect(self, values: Values, use: Use) -> Values:
        """All values of one length at once."""
        return self._through(values, use, backward=False)

    def reveal(self, stored: Values, use: Use) -> Values:
        """The inverse. Nothing in a value tells whether it is one: what was never encrypted gives nonsense."""
        if self.unfit(stored):
            raise RevealFailed(
                "a value has not the form that FormatPreserving writes",
                hint="it was written before the column was protected, or was changed",
            )
        return self._through(stored, use, backward=True)

    def _through(self, values: Values, use: Use, *, backward: bool) -> Values:
        ff1 = FF1(use.lasting_key.derive("ff1 aes-256"), self.radix)
        turn = _Turn(ff1, use.purpose.encode(), backward=backward)
        if _t.is_integer(values.type):
            return pa.array(_integers(values.to_pylist(), turn), values.type)
        return _Text.of(values, self.alphabet).turned(turn, self.alphabet)


@dataclasses.dataclass(frozen=True, slots=True)
class _Turn:
    """FF1 with the purpose as its tweak, in one direction."""

    ff1: FF1
    tweak: bytes
    backward: bool

    def __call__(self, numerals: Numerals) -> Numerals:
        return (self.ff1.decrypt if self.backward else self.ff1.encrypt)(numerals, self.tweak)


@dataclasses.dataclass(frozen=True, slots=True)
class _Text:
    """A column of text as its bytes.

    Attributes:
        starts: where in `data` each text begins, and the last one ends.
        numerals: of each byte, `INVALID` for one that is not of the alphabet.
        lengths: how many bytes of each text are of the alphabet.
    """

    kind: pa.DataType
    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    numerals: NDArray[np.uint8]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, values: Values, alphabet: str) -> _Text:
        texts: Any = pa.concat_arrays([values]).cast(pa.large_string())
        _, offsets, data = texts.buffers()
        size = len(texts)
        starts = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + size + 1] if size else np.zeros(1, int)
        whole = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
        numerals = _numerals(alphabet)[whole[starts[0] : starts[-1]]]
        made = cls(values.type, whole[starts[0] : starts[-1]], starts - starts[0], numerals, np.zeros(0, int))
        return dataclasses.replace(made, lengths=made.per_value(numerals != INVALID))

    def per_value(self, marked: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many bytes of each text are marked."""
        total = np.concatenate([[0], np.cumsum(marked, dtype=np.int64)])
        counted: NDArray[np.int64] = np.diff(total[self.starts])
        return counted

    def turned(self, turn: _Turn, alphabet: str) -> Values:
        """The column with what is of the alphabet turned, those of one length together, and all else where it was."""
        inside = self.numerals != INVALID
        numerals = self.numerals[inside].astype(np.uint16)
        firsts = np.cumsum(self.lengths) - self.lengths
        for length in np.unique(self.lengths):
            places = firsts[self.lengths == length][:, None] + np.arange(length)
            numerals[places] = turn(numerals[places])
        data = self.data.copy()
        data[inside] = np.frombuffer(alphabet.encode(), np.uint8)[numerals]
        size = len(self.lengths)
        texts = pa.LargeStringArray.from_buffers(
            size, pa.py_buffer(self.starts.tobytes()), pa.py_buffer(data.tobytes())
        )
        return texts.cast(self.kind)


def _matrices(cores: Sequence[str]) -> list[tuple[list[int], NDArray[np.uint8]]]:
    """By length, where the texts stand, and their ASCII characters in rows."""
    by_length: dict[int, list[int]] = {}
    for place, core in enumerate(cores):
        by_length.setdefault(len(core), []).append(place)
    return [
        (places, np.frombuffer("".join([cores[place] for place in places]).encode(), np.uint8).reshape(-1, length))
        for length, places in by_length.items()
    ]


def _put(made: list[str], places: Sequence[int], letters: NDArray[np.uint8]) -> None:
    joined, length = letters.tobytes().decode(), letters.shape[1]
    for number, place in enumerate(places):
        made[place] = joined[number * length : (number + 1) * length]


def _numerals(alphabet: str) -> NDArray[np.uint8]:
    """By ASCII code, the numeral of a character."""
    table = np.full(256, INVALID, np.uint8)
    table[np.frombuffer(alphabet.encode(), np.uint8)] = np.arange(len(alphabet), dtype=np.uint8)
    return table


def _integers(numbers: Sequence[int], turn: _Turn) -> list[int]:
    """Numbers of as many digits: turned again until one begins with no zero and fits 64 bits (cycle walking).

    The numbers of one length that do so are a cycle's part; walking on from one of them ends at one of them.
    """
    cores = [str(abs(each)) for each in numbers]
    made = [""] * len(cores)
    for places, matrix in _matrices(cores):
        numerals = turn((matrix - ord("0")).astype(np.uint16))
        while len(outside := np.flatnonzero(_is_outside(numerals))):
            numerals[outside] = turn(numerals[outside])
        _put(made, places, (numerals + ord("0")).astype(np.uint8))
    return [int(digits) if number >= 0 else -int(digits) for number, digits in zip(numbers, made, strict=True)]


def _is_outside(numerals: Numerals) -> NDArray[np.bool_]:
    outside: NDArray[np.bool_] = numerals[:, 0] == 0
    if numerals.shape[1] == len(str(INT64_MAX)):  # 10^19 is still an unsigned integer of 64 bits
        total = np.zeros(len(numerals), np.uint64)
        for column in numerals.T:
            total = total * np.uint64(10) + column.astype(np.uint64)
        outside |= total > INT64_MAX
    return outside

"""Encrypt and EncryptJoinable: AES, for columns that somebody may have to read again."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import pyarrow as pa

from rowkeeper.security.protection.ciphertext import Opener, from_text, joinable_cells, sealed_cells, to_texts
from rowkeeper.security.protection.method import Method, Use, as_text, checked_purpose
from rowkeeper.security.protection.pseudonym import refused_identity
from rowkeeper.security.protection.values import Values, bytes_of, is_one_value, values_of


@dataclasses.dataclass(frozen=True)
class Encrypt(Method):
    """Encrypts with AES-256-GCM, randomised: equal values become different ones, and nothing but the length shows.

    `rowkeeper reveal` turns it back. The column becomes text (base64url). Null stays null.

    Args:
        purpose: what the key is for. By default the field's classification.
    """

    purpose: str | None = None
    word: ClassVar[str] = "encrypt"
    keyed: ClassVar[bool] = True
    reversible: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked_purpose("Encrypt", self.purpose)

    def refusal(self, field: pa.Field[Any]) -> str:
        """It takes single values."""
        return "" if is_one_value(field) else "it holds several values in a cell"

    def stored(self, field: pa.Field[Any]) -> pa.Field[Any]:
        """Text."""
        return as_text(field)

    def protect(self, values: Values, use: Use) -> Values:
        """Each value by itself."""
        sealed = sealed_cells(bytes_of(values, use.field).to_pylist(), use.keyset)
        return pa.array(to_texts(sealed), pa.string())

    def reveal(self, stored: Values, use: Use) -> Values:
        """By the key that each value names."""
        return _revealed(stored, use)


@dataclasses.dataclass(frozen=True)
class EncryptJoinable(Method):
    """Encrypts with AES-SIV (RFC 5297): equal values become equal ones in all tables of one purpose, and so still join.

    Who sees the column sees which values are met how often. `rowkeeper reveal` turns it back. The column becomes text
    (base64url). Null stays null.

    Args:
        purpose: what the key is for. By default the field's classification.
    """

    purpose: str | None = None
    word: ClassVar[str] = "encrypt_joinable"
    keyed: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    joins: ClassVar[bool] = True
    repeats: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked_purpose("EncryptJoinable", self.purpose)

    def refusal(self, field: pa.Field[Any]) -> str:
        """It takes what identifies something."""
        return refused_identity(field)

    def stored(self, field: pa.Field[Any]) -> pa.Field[Any]:
        """Text."""
        return as_text(field)

    def protect(self, values: Values, use: Use) -> Values:
        """With the lasting key."""
        sealed = joinable_cells(bytes_of(values, use.field).to_pylist(), use.keyset, use.lasting_key)
        return pa.array(to_texts(sealed), pa.string())

    def reveal(self, stored: Values, use: Use) -> Values:
        """By the key that each value names."""
        return _revealed(stored, use)


def _revealed(stored: Values, use: Use) -> Values:
    opener = Opener(use.keyset)
    opened = [opener.open(from_text(each)) for each in stored.to_pylist()]
    return values_of(pa.array(opened, pa.binary()), use.field)

"""Redact: nothing is left but that there was a value."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import pyarrow as pa

from rowkeeper.security.protection.method import Method, Use, as_text
from rowkeeper.security.protection.values import Values

REDACTED = "[redacted]"


@dataclasses.dataclass(frozen=True)
class Redact(Method):
    """Puts `[redacted]` in the place of every value; the column becomes text. Null stays null.

    It takes columns of every type, lists and structs as well.
    """

    word: ClassVar[str] = "redact"

    def refusal(self, field: pa.Field[Any]) -> str:
        """It takes every column."""
        del field
        return ""

    def stored(self, field: pa.Field[Any]) -> pa.Field[Any]:
        """Text."""
        return as_text(field)

    def protect(self, values: Values, use: Use) -> Values:
        """The same word for all of them."""
        del use
        return pa.repeat(REDACTED, len(values))

    def masked(self, text: str) -> str:
        """As it is stored."""
        del text
        return REDACTED

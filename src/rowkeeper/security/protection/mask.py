"""PartialMask: the first and last characters stay, for people to recognise a value by."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from rowkeeper.errors import DeclarationError
from rowkeeper.security.protection.method import Method, Use, as_text
from rowkeeper.security.protection.values import BYTES, Values, arrow_of, bytes_of, is_one_value

MASK = "***"


@dataclasses.dataclass(frozen=True)
class PartialMask(Method):
    """Keeps the first and last characters of a value, and puts `***` in the place of all between them.

    Never more than half of a value is kept: one that is shorter than twice what would be kept is masked whole. How long
    it was is not shown. The column becomes text; null stays null.

    Args:
        first: how many characters to keep at the beginning.
        last: how many characters to keep at the end.

    Raises DeclarationError for fewer than none, or for none at all.
    """

    first: int = 0
    last: int = 4
    word: ClassVar[str] = "partial_mask"

    def __post_init__(self) -> None:
        kept = (self.first, self.last)
        if any(isinstance(each, bool) or not isinstance(each, int) or each < 0 for each in kept) or not any(kept):
            raise DeclarationError(
                f"PartialMask: first={self.first!r}, last={self.last!r} keep no number of characters",
                hint="whole numbers, such as PartialMask(first=2, last=4); Redact() keeps nothing",
            )

    def refusal(self, field: pa.Field[Any]) -> str:
        """It takes what has characters."""
        takes = is_one_value(field) and not any(test(field.type) for test in (*BYTES, pa.types.is_boolean))
        return "" if takes else "a mask needs characters to keep"

    def stored(self, field: pa.Field[Any]) -> pa.Field[Any]:
        """Text."""
        return as_text(field)

    def protect(self, values: Values, use: Use) -> Values:
        """By column."""
        texts: Any = pl.from_arrow(bytes_of(values, use.field).cast(pa.string()))
        text = pl.col("text")
        shown = pl.when(text.str.len_chars() >= 2 * (self.first + self.last)).then(self._around(text))
        made = pl.DataFrame({"text": texts}).select(shown.otherwise(pl.lit(MASK)))
        return arrow_of(made.to_series(), pa.string())

    def _around(self, text: pl.Expr) -> pl.Expr:
        parts = [text.str.head(self.first)] if self.first else []
        parts.append(pl.lit(MASK))
        parts += [text.str.tail(self.last)] if self.last else []
        return pl.concat_str(parts)

    def masked(self, text: str) -> str:
        """As it would be stored."""
        if len(text) < 2 * (self.first + self.last):
            return MASK
        return text[: self.first] + MASK + text[len(text) - self.last :]

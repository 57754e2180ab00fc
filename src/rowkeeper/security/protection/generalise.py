"""Generalise: a value becomes that of its group."""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal, localcontext
from typing import Any, ClassVar, Literal

import polars as pl
import pyarrow as pa

from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import one_of
from rowkeeper.security.protection.method import Method, Use
from rowkeeper.security.protection.values import Values, arrow_of

INT64_MIN = -(2**63)
DIGITS_MAX = 200  # of a quotient of two decimals of 76 digits, and to spare
EVERY = {"month": "1mo", "year": "1y"}

_t = pa.types


@dataclasses.dataclass(frozen=True)
class Generalise(Method):
    """Makes a value coarse; the column keeps its type. Null stays null.

    Args:
        bucket: for numbers: the lower end of the bucket of this width that the number lies in (34 is 30 for 10).
        truncate: for text: its first characters, as many as this. Text that is not longer becomes empty: it would
            have stayed as it was.
        date: for dates and times: the first instant (UTC) of the `month` or `year`.

    Raises DeclarationError unless one of them is given.
    """

    bucket: int | float | Decimal | None = None
    truncate: int | None = None
    date: Literal["month", "year"] | None = None
    word: ClassVar[str] = "generalise"
    ordered: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.bucket, self.truncate, self.date)) != 1:
            raise DeclarationError(
                "Generalise takes one of bucket=, truncate= and date=", hint='such as rk.Generalise(date="month")'
            )
        if self.bucket is not None and not _is_width(self.bucket):
            raise DeclarationError(f"Generalise: bucket={self.bucket!r} is no width", hint="a number above 0")
        if self.truncate is not None and (not isinstance(self.truncate, int) or isinstance(self.truncate, bool)):
            raise DeclarationError(f"Generalise: truncate={self.truncate!r} is no number of characters", hint="1, 2, 3")
        if self.truncate is not None and self.truncate < 1:
            raise DeclarationError("Generalise: truncate keeps no character", hint="1 or more; Redact() keeps nothing")
        if self.date is not None and self.date not in EVERY:
            raise DeclarationError(f"Generalise: date={self.date!r} is no unit", hint=one_of(str(self.date), EVERY))

    def document(self) -> dict[str, Any]:
        """A decimal as its digits."""
        document = super().document()
        return {**document, "bucket": str(self.bucket)} if isinstance(self.bucket, Decimal) else document

    def refusal(self, field: pa.Field[Any]) -> str:
        """Each argument is for columns of its own kind."""
        kind = field.type
        if self.bucket is not None:
            return self._refused_bucket(kind)
        if self.truncate is not None:
            return "" if _t.is_string(kind) or _t.is_large_string(kind) else "truncate= is for text"
        return "" if _t.is_date32(kind) or _t.is_timestamp(kind) else "date= is for dates, with or without a time"

    def _refused_bucket(self, kind: pa.DataType) -> str:
        if _t.is_int64(kind):
            whole = self.bucket == int(self.bucket or 0) and int(self.bucket or 0) < -INT64_MIN
            return "" if whole else "a bucket of whole numbers has a whole width, of 64 bits"
        if _t.is_decimal(kind):
            exact = Decimal(str(self.bucket))
            fits = exact == round(exact, kind.scale)
            return "" if fits else f"the bucket has more than the {kind.scale} decimal places of the column"
        return "" if _t.is_floating(kind) else "bucket= is for numbers"

    def stored(self, field: pa.Field[Any]) -> pa.Field[Any]:
        """The same type, but for the list of values that it was confined to."""
        return pa.field(field.name, field.type, nullable=field.nullable)

    def protect(self, values: Values, use: Use) -> Values:
        """Group by group."""
        kind = use.field.type
        if isinstance(self.bucket, Decimal) or _t.is_decimal(kind):
            exact = Decimal(str(self.bucket))
            return pa.array([_floored(each, exact, kind) for each in values.to_pylist()], kind)
        column: Any = pl.from_arrow(values)
        if self.bucket is not None:
            return arrow_of(_buckets(column, self.bucket), kind)
        if self.truncate is not None:
            text = pl.col("value")
            longer = text.str.len_chars() > self.truncate
            shown = pl.when(longer).then(text.str.head(self.truncate)).otherwise(pl.lit(""))
            return arrow_of(pl.DataFrame({"value": column}).select(shown).to_series(), kind)
        assert self.date is not None
        return arrow_of(column.dt.truncate(EVERY[self.date]), kind)


def _is_width(given: object) -> bool:
    if isinstance(given, bool) or not isinstance(given, (int, float, Decimal)):
        return False
    return math.isfinite(given) and given > 0


def _buckets(numbers: pl.Series, width: int | float | Decimal) -> pl.Series:
    """The lower ends of the buckets; that of the lowest one may be no 64-bit integer, and is then its upper end."""
    if numbers.dtype.is_integer():
        whole = int(width)
        past = numbers % whole  # not below 0
        lowest = numbers < INT64_MIN + past
        return (numbers - past).set(lowest, -(-INT64_MIN // whole) * whole)
    wide = float(width)
    return (numbers / wide).floor() * wide


def _floored(value: Decimal, width: Decimal, kind: Any) -> Decimal:
    """The same of a decimal, which has as many digits as its type allows."""
    with localcontext() as context:
        context.prec = DIGITS_MAX
        floor = (value / width).to_integral_value("ROUND_FLOOR") * width
        return floor if floor > -(Decimal(10) ** (kind.precision - kind.scale)) else floor + width

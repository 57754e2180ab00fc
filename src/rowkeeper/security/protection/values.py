"""Values as the bytes that are protected, and back.

One form for one value, whatever the type of its column: 42 and "42" have the same bytes, and so the same pseudonym,
in whatever table. Bytes and text are themselves (text as UTF-8). The rest is text: whole numbers in digits, decimals
without zeros at their end, dates and times as Arrow writes them, a UUID in its usual form.
"""

from __future__ import annotations

import uuid
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

Values = Any  # an Arrow array of whatever type, which its stubs cannot say
TYPE_KEY = b"rk:type"  # of a field's metadata, as the contract sets it

_t = pa.types
TEXTS = (_t.is_string, _t.is_large_string)
BYTES = (_t.is_binary, _t.is_large_binary)
WORDS = (_t.is_integer, _t.is_boolean, _t.is_date, _t.is_time, _t.is_timestamp)  # Arrow's own text is read again


def is_uuid(field: pa.Field[Any]) -> bool:
    """Whether a column holds UUIDs, as 16 bytes."""
    return _t.is_fixed_size_binary(field.type) and (field.metadata or {}).get(TYPE_KEY) == b"uuid"


def is_one_value(field: pa.Field[Any]) -> bool:
    """Whether a cell of the column is a single value that has a form of bytes; a list, map or struct has none."""
    kind = field.type
    tests = (*TEXTS, *BYTES, *WORDS, _t.is_floating, _t.is_decimal, _t.is_duration, _t.is_fixed_size_binary)
    return any(test(kind) for test in tests)


def bytes_of(values: Values, field: pa.Field[Any]) -> Values:
    """The values as binary.

    Args:
        values: of the field's type, no null among them.
    """
    kind = field.type
    if is_uuid(field):
        return pa.array([str(uuid.UUID(bytes=each)).encode() for each in values.to_pylist()], pa.binary())
    if any(test(kind) for test in BYTES) or _t.is_fixed_size_binary(kind):
        return values.cast(pa.binary())
    if _t.is_decimal(kind):
        return pa.array([_plain(each) for each in values.to_pylist()], pa.binary())
    if _t.is_duration(kind):
        values = values.cast(pa.int64())
    return values.cast(pa.string()).cast(pa.binary())


def values_of(texts: Values, field: pa.Field[Any]) -> Values:
    """The inverse of `bytes_of`. Raises ValueError (`pa.ArrowInvalid`) where the bytes are none of the type."""
    kind = field.type
    if is_uuid(field):
        return pa.array([uuid.UUID(each.decode()).bytes for each in texts.to_pylist()], kind)
    if any(test(kind) for test in BYTES) or _t.is_fixed_size_binary(kind):
        return texts.cast(kind)
    words: Any = texts.cast(pa.string())
    if _t.is_time(kind):  # Arrow reads no times of day
        instants = pc.binary_join_element_wise("1970-01-01", words, " ").cast(pa.timestamp("us"))
        return instants.cast(pa.int64()).cast(pa.time64("us")).cast(kind)
    if _t.is_duration(kind):
        return words.cast(pa.int64()).cast(kind)
    return words.cast(kind)


def arrow_of(series: pl.Series, kind: pa.DataType) -> Values:
    """A Polars column as an Arrow array of this type."""
    made: Any = series.to_arrow()
    return made.cast(kind)


def _plain(value: Any) -> bytes:
    """A decimal's digits, in one way only: 1.50 and 1.5 are one number."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return b"0" if text in ("", "-0", "0") else text.encode()

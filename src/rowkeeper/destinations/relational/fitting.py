"""Columns as the text that a database reads, and what it cannot read."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

NESTED = (pa.types.is_struct, pa.types.is_map)
NUL, NUL_IN_JSON = "\x00", r"(?:^|[^\\])(?:\\\\)*\\u0000"
WRITER = msgspec.json.Encoder(decimal_format="number")


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def is_document(field: pa.Field[Any]) -> bool:
    """Whether a column is a JSON document in the database: JSON text, structs, maps, lists of anything but scalars."""
    kind = field.type
    if (field.metadata or {}).get(b"rk:type") == b"json":
        return True
    if is_list(kind):
        inner: pa.Field[Any] = kind.value_field
        return is_list(inner.type) or is_document(inner)
    return any(each(kind) for each in NESTED)


def as_json(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """Values as JSON text: decimals as numbers with all their digits, times in ISO 8601, bytes in base64, infinities
    and NaN as strings.
    """
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column.combine_chunks().cast(pa.string())
    written = (None if each is None else WRITER.encode(_plain(each)).decode() for each in _pythonic(column))
    return pa.array(list(written), pa.string())


def _pythonic(column: pa.ChunkedArray[Any]) -> Iterator[Any]:
    maps = pa.types.is_map(column.type)
    for each in column.to_pylist():
        yield dict(each) if maps and each is not None else each


def _plain(value: Any) -> Any:  # noqa: PLR0911 - a table of types
    match value:
        case float():
            return value if math.isfinite(value) else str(value)
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case list():
            if value and all(isinstance(each, tuple) for each in value):  # a map inside
                return {str(key): _plain(each) for key, each in value}
            return [_plain(each) for each in value]
        case datetime.timedelta():
            return value // datetime.timedelta(microseconds=1)
        case uuid.UUID() | decimal.Decimal():
            return value
        case _:
            return value


def hexadecimal(column: pa.ChunkedArray[Any]) -> pl.Series:
    """Bytes as hexadecimal digits."""
    return pl.Series(pl.from_arrow(column.cast(pa.large_binary()).combine_chunks())).cast(pl.Binary).bin.encode("hex")


def places_matching(column: pa.ChunkedArray[Any], pattern: str, *, regex: bool = False) -> list[int]:
    """The positions of texts with this in them."""
    return places_where(pc.match_substring_regex(column, pattern) if regex else pc.match_substring(column, pattern))


def places_where(found: Any) -> list[int]:
    """The positions at which a column of booleans is true."""
    filled: Any = pc.fill_null(found, False)
    places: list[int] = pc.indices_nonzero(filled).to_pylist()
    return places


def places_in_lists(column: pa.ChunkedArray[Any], inner: Sequence[int]) -> list[int]:
    """The positions of lists, by positions in their values laid end to end."""
    parents: Any = pc.list_parent_indices(column.combine_chunks())
    return sorted(set(parents.take(pa.array(inner, pa.int64())).to_pylist()))

"""Values as text that says them exactly, and back: for CSV, and for what JSON has no type for.

| type | text |
|---|---|
| decimals | their digits |
| times of day, dates, instants | ISO 8601, instants in UTC with `Z` |
| bytes | base64 |
| lists, objects, maps | JSON; a map as a list of pairs |
| floats that are no numbers | `nan`, `inf`, `-inf` |
"""

from __future__ import annotations

import base64
import datetime
import decimal
import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

ENCODER = msgspec.json.Encoder(decimal_format="string")
Convert = Callable[[Any], Any]


def is_nested(kind: pa.DataType) -> bool:
    """Whether a value has others in it."""
    return bool(pa.types.is_nested(kind))


def to_text(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """A column as CSV writes it: numbers and booleans as they are, everything else as text."""
    kind = column.type
    if pa.types.is_decimal(kind) or pa.types.is_time(kind) or pa.types.is_date(kind):
        return column.cast(pa.string())
    if pa.types.is_timestamp(kind):
        return pc.replace_substring(column.cast(pa.string()), " ", "T")
    if pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _each(column, lambda value: base64.b64encode(value).decode())
    if is_nested(kind):
        return _each(column, lambda value: ENCODER.encode(jsonable(value)).decode())
    return column


def _each(column: pa.ChunkedArray[Any], convert: Convert) -> pa.ChunkedArray[Any]:
    values: list[Any] = column.to_pylist()
    return pa.chunked_array([pa.array([None if value is None else convert(value) for value in values], pa.string())])


def from_text(column: pa.ChunkedArray[Any], kind: pa.DataType) -> pa.ChunkedArray[Any]:
    """The inverse of `to_text`, of a column that was read as text. Raises ValueError for a text that is no value."""
    if pa.types.is_string(kind):
        return column
    if is_nested(kind):
        return _read_each(column, kind, _nested_reader(kind))
    if pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind) or pa.types.is_time(kind):
        return _read_each(column, kind, converter(kind))
    return column.cast(kind)


def _read_each(column: pa.ChunkedArray[Any], kind: pa.DataType, read: Convert) -> pa.ChunkedArray[Any]:
    values: list[Any] = column.to_pylist()
    return pa.chunked_array([pa.array([None if value is None else read(value) for value in values], kind)])


def _nested_reader(kind: pa.DataType) -> Convert:
    convert = converter(kind)
    return lambda text: convert(msgspec.json.decode(text))


def jsonable(value: Any) -> Any:
    """A value with floats that JSON has no words for as text. Pairs of a map become lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: jsonable(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(each) for each in value]
    return value


def converter(kind: pa.DataType) -> Convert:
    """What makes a value of this type from what JSON has of it. Raises ValueError or TypeError for anything else."""
    if pa.types.is_struct(kind):
        parts = [(kind.field(number).name, _or_none(converter(kind.field(number).type))) for number in range(len(kind))]
        return lambda value: {name: convert(value[name]) for name, convert in parts}
    if pa.types.is_map(kind):
        key, item = converter(kind.key_type), _or_none(converter(kind.item_type))
        return lambda value: [(key(name), item(each)) for name, each in value]
    if pa.types.is_list(kind):
        inner = _or_none(converter(kind.value_type))
        return lambda value: [inner(each) for each in value]
    for fits, convert in _SCALARS:
        if fits(kind):
            return convert
    return lambda value: value


def _or_none(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


_SCALARS: Sequence[tuple[Callable[[pa.DataType], bool], Convert]] = (
    (pa.types.is_decimal, decimal.Decimal),
    (pa.types.is_floating, float),
    (pa.types.is_timestamp, datetime.datetime.fromisoformat),
    (pa.types.is_date, datetime.date.fromisoformat),
    (pa.types.is_time, datetime.time.fromisoformat),
    (pa.types.is_binary, base64.b64decode),
    (pa.types.is_fixed_size_binary, base64.b64decode),
)

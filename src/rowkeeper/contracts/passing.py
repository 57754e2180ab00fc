"""Columns that the contract does not know, passed through beside it (drift="evolve").

They become nullable columns of the type they came with: text from text sources, JSON text for keys of JSON
documents, Arrow's own type from typed sources. Lists, maps, structs and other types that have no nullable
column become JSON text. Times keep their unit; outside the years 1900 to 2299 they reject their row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.batch import Batch, InputMode
from rowkeeper.contracts.columntype import REFUSALS, TYPE_KEY, Column, ColumnType
from rowkeeper.contracts.faults import OUT_OF_RANGE, UNSTORABLE, Unfit
from rowkeeper.contracts.jsontext import json_text
from rowkeeper.contracts.reading import python_values
from rowkeeper.contracts.scalars import DATE_MAX, DATE_MIN, TIME_MAX, TIME_MIN
from rowkeeper.errors import ColumnsDiffer

RESERVED = "_rk_"
UNKNOWN_COLUMNS_MAX = 1000  # of one batch; beyond it the keys are data, and a table is no place for them
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_JSON_METADATA = {TYPE_KEY: b"json"}


def unknown_columns(batch: Batch, known: Collection[str]) -> list[str]:
    """The columns of a table (not of JSON documents) that the contract does not know."""
    if batch.mode is InputMode.JSON:
        return []
    return [name for name in batch.table.column_names if name not in known]


def check_names(names: Iterable[str], taken: Collection[str]) -> None:
    """Whether columns can be passed through under these names.

    Raises:
        SourceError: a name is empty or reserved, or is that of a field which the model fills from elsewhere.
    """
    for count, name in enumerate(names, 1):
        if count > UNKNOWN_COLUMNS_MAX:
            raise ColumnsDiffer(
                f"a batch brings more than {UNKNOWN_COLUMNS_MAX:,} columns that the contract does not know",
                hint='drift="ignore" drops them; a field of type dict[str, Any] keeps them in one column',
            )
        reason = clash(name, taken)
        if reason:
            raise ColumnsDiffer(
                f"the column {name!r} cannot be added to the table: {reason}",
                hint='rename it at the source, or set drift="ignore"',
            )


def clash(name: str, taken: Collection[str]) -> str:
    """Why no column can be passed through under this name; empty if one can."""
    if not name:
        return "it has no name"
    if name.startswith(RESERVED):
        return f"names that begin with {RESERVED} are Rowkeeper's own"
    return "a field of the contract has this name, and is filled from another column" if name in taken else ""


def passed_field(name: str, type: pa.DataType, mode: InputMode) -> pa.Field[Any]:
    """The nullable Arrow field under which an unknown column is stored."""
    if mode is InputMode.JSON:
        return pa.field(name, pa.string(), metadata=_JSON_METADATA)
    if mode is InputMode.STRINGS:
        return pa.field(name, pa.string())
    stored, metadata = _stored_type(type)
    return pa.field(name, stored, metadata=metadata)


def _stored_type(type: pa.DataType) -> tuple[pa.DataType, dict[bytes, bytes] | None]:
    """The type in which a typed column is stored, with its hints; JSON text where there is none."""
    if pa.types.is_dictionary(type):
        return _stored_type(type.value_type)
    if isinstance(type, pa.UuidType):
        return pa.binary(16), {TYPE_KEY: b"uuid"}
    if pa.types.is_decimal(type) and 0 <= type.scale <= type.precision:
        return (pa.decimal128 if type.precision <= 38 else pa.decimal256)(type.precision, type.scale), None
    for tests, stored in _STORED:
        if any(test(type) for test in tests):
            return stored or type, None
    return pa.string(), _JSON_METADATA


_t = pa.types
_STORED: tuple[tuple[tuple[Callable[[Any], bool], ...], pa.DataType | None], ...] = (  # None: as it is
    ((_t.is_boolean, _t.is_integer, _t.is_float32, _t.is_float64, _t.is_timestamp, _t.is_duration), None),
    ((_t.is_float16,), pa.float32()),
    ((_t.is_date,), pa.date32()),
    ((_t.is_time,), pa.time64("us")),
    ((_t.is_binary, _t.is_large_binary, _t.is_fixed_size_binary), pa.binary()),
    ((_t.is_null, _t.is_string, _t.is_large_string), pa.string()),
)


def pass_through(column: pa.ChunkedArray[Any], field: pa.Field[Any]) -> tuple[pa.ChunkedArray[Any], dict[int, Unfit]]:
    """A column as its field stores it, and by position the values that do not fit (null in their place)."""
    if (field.metadata or {}).get(TYPE_KEY) == b"json":
        return _as_json(column, field)
    return fitted(column, field)


def fitted(column: pa.ChunkedArray[Any], field: pa.Field[Any]) -> tuple[pa.ChunkedArray[Any], dict[int, Unfit]]:
    """A column cast to its field's type, and by position the values that do not fit (null in their place)."""
    try:
        whole = column.cast(field.type)
        whole.validate(full=pa.types.is_string(field.type))
    except REFUSALS:
        whole, unfit = _cast_each(column, field)
    else:
        unfit = {}
    for position in _out_of_range(whole):
        unfit[position] = Unfit(OUT_OF_RANGE, "the time is not within the years 1900 to 2299")
    return whole, unfit


def _as_json(column: pa.ChunkedArray[Any], field: pa.Field[Any]) -> tuple[pa.ChunkedArray[Any], dict[int, Unfit]]:
    values, unreadable = python_values(column)
    array, unfit = Column(field.name, ColumnType(pa.string(), json_text, nullable=True)).build(values)
    return pa.chunked_array([array], field.type), unfit | unreadable


def _cast_each(column: pa.ChunkedArray[Any], field: pa.Field[Any]) -> tuple[pa.ChunkedArray[Any], dict[int, Unfit]]:
    chunks: list[pa.Array[Any]] = []
    unfit: dict[int, Unfit] = {}
    for position in range(len(column)):
        try:
            one = column.slice(position, 1).cast(field.type)
            one.validate(full=pa.types.is_string(field.type))
            chunks += one.chunks
        except REFUSALS:
            unfit[position] = Unfit(UNSTORABLE, f"the value of type {column.type} does not fit {field.type}")
            chunks.append(pa.nulls(1, field.type))
    return pa.chunked_array([pa.concat_arrays(chunks)] if chunks else [], field.type), unfit


def _out_of_range(column: pa.ChunkedArray[Any]) -> list[int]:
    type = column.type
    if pa.types.is_timestamp(type):
        scale = _PER_SECOND[type.unit]
        low = int(TIME_MIN.timestamp()) * scale
        high = (int(TIME_MAX.timestamp()) + 1) * scale - 1
        numbers = column.cast(pa.int64())
    elif pa.types.is_date32(type):
        epoch = DATE_MIN.replace(1970)
        low, high = (DATE_MIN - epoch).days, (DATE_MAX - epoch).days
        numbers = column.cast(pa.int32()).cast(pa.int64())
    else:
        return []
    if low < -(2**63) or high >= 2**63:  # nanoseconds end in 2262 by themselves
        low, high = max(low, -(2**63)), min(high, 2**63 - 1)
    outside: Any = pc.or_(
        pc.less(numbers, pa.scalar(low, pa.int64())), pc.greater(numbers, pa.scalar(high, pa.int64()))
    )
    found: list[int] = pc.indices_nonzero(pc.fill_null(outside, False)).to_pylist()
    return found


def json_columns(
    rows: Sequence[Mapping[str, str | None] | None], fields: Iterable[pa.Field[Any]]
) -> list[pa.ChunkedArray[Any]]:
    """Columns of the unknown keys of JSON documents.

    Args:
        rows: for each row of the result, its unknown keys with their values as JSON text.
        fields: the columns to make.
    """
    texts = ([row.get(field.name) if row else None for row in rows] for field in fields)
    return [pa.chunked_array([pa.array(each, pa.string())]) for each in texts]

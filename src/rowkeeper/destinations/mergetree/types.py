"""Column types: what the contract says in Arrow, in ClickHouse's words."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from rowkeeper.errors import ContractError

PRECISION = {"s": 0, "ms": 3, "us": 6, "ns": 9}
PLAIN = {
    pa.bool_(): "Bool",
    pa.int8(): "Int8",
    pa.int16(): "Int16",
    pa.int32(): "Int32",
    pa.int64(): "Int64",
    pa.uint8(): "UInt8",
    pa.uint16(): "UInt16",
    pa.uint32(): "UInt32",
    pa.uint64(): "UInt64",
    pa.float32(): "Float32",
    pa.float64(): "Float64",
    pa.string(): "String",
    pa.large_string(): "String",
    pa.binary(): "String",
    pa.large_binary(): "String",
    pa.date32(): "Date32",
}
ENUM8_VALUES_MAX = 127


def column_type(field: pa.Field[Any], *, low_cardinality: bool = False) -> str:
    """The ClickHouse type of a column.

    Times carry their zone (UTC where the contract has none) and microseconds; durations are whole microseconds;
    strings with a fixed set of values are enums.

    Raises ContractError for a type that no ClickHouse column holds.
    """
    inner = _enum(field) or _inner(field)
    if low_cardinality and inner in ("String", "Date32", "Int64"):
        return f"LowCardinality({f'Nullable({inner})' if field.nullable else inner})"
    return f"Nullable({inner})" if field.nullable else inner


def _enum(field: pa.Field[Any]) -> str | None:
    values = json.loads((field.metadata or {}).get(b"rk:enum", b"null"))
    if not values or not all(isinstance(value, str) for value in values):
        return None
    width = 8 if len(values) <= ENUM8_VALUES_MAX else 16
    return f"Enum{width}({', '.join(f'{literal(value)} = {number}' for number, value in enumerate(values, 1))})"


def _inner(field: pa.Field[Any]) -> str:
    kind = field.type
    if kind in PLAIN:
        return PLAIN[kind]
    return _parametrised(field) or _nested(field)


def _parametrised(field: pa.Field[Any]) -> str | None:
    kind = field.type
    if pa.types.is_decimal(kind):
        return f"Decimal({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return f"DateTime64({PRECISION[kind.unit]}, {literal(kind.tz or 'UTC')})"
    if pa.types.is_time(kind):
        return f"Time64({PRECISION[kind.unit]})"
    if pa.types.is_duration(kind):
        return "Int64"
    if pa.types.is_fixed_size_binary(kind):
        uuid = (field.metadata or {}).get(b"rk:type") == b"uuid" and kind.byte_width == 16
        return "UUID" if uuid else f"FixedString({kind.byte_width})"
    return None


def _nested(field: pa.Field[Any]) -> str:
    kind = field.type
    if field.nullable:
        raise ContractError(
            f"the column {field.name} would be null or {kind}, which no ClickHouse column holds",
            hint="give it a default such as an empty list, or a type of its own",
        )
    if pa.types.is_struct(kind):
        members = [kind.field(index) for index in range(kind.num_fields)]
        return f"Tuple({', '.join(f'{identifier(each.name)} {column_type(each)}' for each in members)})"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"Array({column_type(kind.value_field)})"
    if pa.types.is_map(kind):
        return f"Map({column_type(kind.key_field)}, {column_type(kind.item_field)})"
    raise ContractError(
        f"the column {field.name} is of the type {kind}, which no ClickHouse column holds",
        hint="declare the field with another type",
    )


def identifier(name: str) -> str:
    """A quoted name."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(text: str) -> str:
    """A quoted string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

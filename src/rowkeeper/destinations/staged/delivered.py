"""Rows as they are handed over: plain Arrow types that every format knows, and the engine's types of the same.

UUIDs, enums and durations have types in a contract that few readers share. They are handed over as text (durations as
whole microseconds), and hashed as what they are when they are read back.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from rowkeeper.destinations.mergetree.layout import Columns, row_hash
from rowkeeper.destinations.mergetree.types import identifier, literal

UNSHARED = re.compile(r"(?<!`)\bUUID\b(?!`)|\bEnum(?:8|16)\((?:[^()']|'(?:[^'\\]|\\.)*')*\)")


def delivered(schema: pa.Schema) -> pa.Schema:
    """The contract's columns, as they are handed over."""
    return pa.schema([_delivered(field) for field in schema])


def _delivered(field: pa.Field[Any]) -> pa.Field[Any]:
    metadata, kind = field.metadata or {}, field.type
    is_uuid = pa.types.is_fixed_size_binary(kind) and metadata.get(b"rk:type") == b"uuid"
    if is_uuid or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        kind = pa.string()
    elif pa.types.is_large_binary(kind):
        kind = pa.binary()
    elif pa.types.is_duration(kind):
        kind = pa.int64()
    elif pa.types.is_timestamp(kind):
        kind = pa.timestamp(kind.unit, kind.tz or "UTC")
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = pa.list_(_delivered(kind.value_field))
    elif pa.types.is_struct(kind):
        kind = pa.struct([_delivered(each) for each in kind])
    elif pa.types.is_map(kind):
        kind = pa.map_(_delivered(kind.key_field).type, _delivered(kind.item_field))
    return pa.field(field.name, kind, nullable=field.nullable)


def plain(kind: str) -> str:
    """A ClickHouse type with text in the place of UUIDs and enums."""
    return UNSHARED.sub("String", kind)


def selected(columns: Columns) -> str:
    """What stands after SELECT to get columns in plain types."""
    return ", ".join(
        f"CAST({identifier(name)}, {literal(plain(kind))}) AS {identifier(name)}"
        if plain(kind) != kind
        else identifier(name)
        for name, kind in columns
    )


def typed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The engine's answer in the types of `schema`; a column that it does not name stays as it is."""
    fields = []
    for field in table.schema:
        index = schema.get_field_index(field.name)
        fields.append(field if index < 0 else schema.field(index))
    return table.cast(pa.schema(fields))


def hashed(columns: Columns, path: str) -> str:
    """A query for number and hash sum of the rows of an Arrow file that holds these columns in plain types."""
    structure = ", ".join(f"{identifier(name)} {plain(kind)}" for name, kind in columns)
    own = ", ".join(f"CAST({identifier(name)}, {literal(kind)}) AS {identifier(name)}" for name, kind in columns)
    return (
        f"SELECT count(), sum({row_hash(columns)}) FROM "
        f"(SELECT {own} FROM file({literal(path)}, 'Arrow', {literal(structure)}))"
    )


def as_text(schema: pa.Schema) -> str:
    """A schema for the comment of a table."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def from_text(text: str) -> pa.Schema:
    """The inverse of `as_text`; no columns for a text that is none."""
    try:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text, validate=True)))
    except (ValueError, OSError):
        return pa.schema([])


def schema_of(columns: Columns, known: Sequence[pa.Schema]) -> pa.Schema:
    """The types in which these columns are handed over, as far as one of the schemas, the first first, names them."""
    fields = []
    for name, _ in columns:
        named = [each.field(name) for each in known if name in each.names]
        if named:
            fields.append(named[0])
    return pa.schema(fields)

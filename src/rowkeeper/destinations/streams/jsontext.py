"""Rows as JSON texts, a column at a time; and back, for verifying.

Nothing is rounded on the way: integers and decimals are numbers with all their digits, floats the shortest number that
reads back as the same one. What JSON has no word for is text: bytes in base 64, times in ISO 8601 (UTC), days, UUIDs,
and the floats NaN, Infinity and -Infinity.
"""

from __future__ import annotations

import base64
import datetime
import json
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.batch import ROW_ID

NULL = "null"


def texts(rows: pa.Table) -> list[bytes]:
    """Each row as a JSON object of its columns but its address, in their order; null is there as null."""
    names = [name for name in rows.column_names if name != ROW_ID]
    form = "{" + ",".join(encode_basestring(name).replace("%", "%%") + ":%s" for name in names) + "}"
    columns = [_values(rows[name]) for name in names]
    return [(form % row).encode() for row in zip(*columns, strict=True)]


def plain(column: pa.ChunkedArray[Any]) -> list[str | None]:
    """A column's values as keys and headers have them: text as it is, all else as in JSON."""
    if IS_TEXT(column.type):
        return cast("list[str | None]", column.to_pylist())
    return [None if text == NULL else text.strip('"') for text in _values(column)]


def _values(column: pa.ChunkedArray[Any]) -> list[str]:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return _filled(column.cast(pa.string()))
    if pa.types.is_date(kind) or pa.types.is_time(kind):
        return _quoted(column.cast(pa.string()), '"')
    if pa.types.is_timestamp(kind):
        clock = column.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.timestamp(kind.unit)).cast(pa.string())
        return _quoted(pc.replace_substring(clock, " ", "T"), 'Z"')
    one = _text_of(kind)
    return [NULL if value is None else one(value) for value in column.to_pylist()]


def _filled(column: Any) -> list[str]:
    return cast("list[str]", pc.fill_null(column, NULL).to_pylist())


def _quoted(column: Any, end: str) -> list[str]:
    joined: Any = pc.binary_join_element_wise
    return _filled(joined('"', column, end, ""))


def _text_of(kind: pa.DataType) -> Callable[[Any], str]:
    """Makes a value of a type, which is not null, a JSON text."""
    for is_one, writer in WRITERS:
        if is_one(kind):
            return writer(kind)
    return str


def _list_writer(kind: Any) -> Callable[[Any], str]:
    item = _or_null(_text_of(kind.value_type))
    return lambda value: "[" + ",".join(map(item, value)) + "]"


def _struct_writer(kind: Any) -> Callable[[Any], str]:
    members = [(encode_basestring(each.name), each.name, _or_null(_text_of(each.type))) for each in kind]
    return lambda value: "{" + ",".join(f"{name}:{text(value[key])}" for name, key, text in members) + "}"


def _map_writer(kind: Any) -> Callable[[Any], str]:
    named, item = _text_of(kind.key_type), _or_null(_text_of(kind.item_type))
    return lambda value: "{" + ",".join(f"{_key(named(key))}:{item(each)}" for key, each in value) + "}"


def _or_null(one: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: NULL if value is None else one(value)


def _key(text: str) -> str:
    return text if text.startswith('"') else f'"{text}"'


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


def _moment(value: datetime.datetime) -> str:
    return '"' + value.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z") + '"'


def _any_of(*checks: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda kind: any(check(kind) for check in checks)


IS_TEXT = _any_of(pa.types.is_string, pa.types.is_large_string)
IS_BYTES = _any_of(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
IS_LIST = _any_of(pa.types.is_list, pa.types.is_large_list)
WRITERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Callable[[Any], str]]], ...] = (
    (IS_TEXT, lambda _kind: encode_basestring),
    (pa.types.is_floating, lambda _kind: _number),
    (pa.types.is_decimal, lambda _kind: lambda value: format(value, "f")),
    (IS_BYTES, lambda _kind: lambda value: '"' + base64.b64encode(value).decode() + '"'),
    (IS_LIST, _list_writer),
    (pa.types.is_struct, _struct_writer),
    (pa.types.is_map, _map_writer),
    (pa.types.is_timestamp, lambda _kind: _moment),
    (_any_of(pa.types.is_date, pa.types.is_time), lambda _kind: lambda value: f'"{value.isoformat()}"'),
    (pa.types.is_boolean, lambda _kind: lambda value: "true" if value else "false"),
)


# ---------------------------------------------------------------------------------------------- and back


def table_of(payloads: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    """The rows of such texts in these types; a member that is missing is null, one that no column has is left out.

    Raises ValueError if one is not such a text.
    """
    documents = [_document(each) for each in payloads]
    columns = []
    for field in schema:
        back = _back(field.type)
        found = (document.get(field.name) for document in documents)
        try:
            columns.append(pa.array([None if each is None else back(each) for each in found], field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ArithmeticError, KeyError) as error:
            raise ValueError(f"a value of {field.name} is none of its type") from error
    return pa.Table.from_arrays(columns, schema=pa.schema([pa.field(each.name, each.type) for each in schema]))


def _document(payload: bytes) -> Mapping[str, Any]:
    found = json.loads(payload, parse_float=str)
    if not isinstance(found, dict):
        raise ValueError("a message is no JSON object")
    return found


def _back(kind: pa.DataType) -> Callable[[Any], Any]:
    """Makes what JSON reads a value of a type."""
    for is_one, reader in READERS:
        if is_one(kind):
            return reader(kind)
    return lambda value: value


def _list_reader(kind: Any) -> Callable[[Any], Any]:
    item = _back_or_none(_back(kind.value_type))
    return lambda value: [item(each) for each in value]


def _struct_reader(kind: Any) -> Callable[[Any], Any]:
    members = [(each.name, _back_or_none(_back(each.type))) for each in kind]
    return lambda value: {name: back(value.get(name)) for name, back in members}


def _map_reader(kind: Any) -> Callable[[Any], Any]:
    named, item = _back_of_key(kind.key_type), _back_or_none(_back(kind.item_type))
    return lambda value: [(named(key), item(each)) for key, each in value.items()]


def _back_or_none(back: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else back(value)


def _back_of_key(kind: pa.DataType) -> Callable[[str], Any]:
    if pa.types.is_integer(kind):
        return int
    if pa.types.is_boolean(kind):
        return lambda value: value == "true"
    return _back(kind)


READERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Callable[[Any], Any]]], ...] = (
    (pa.types.is_floating, lambda _kind: float),
    (pa.types.is_decimal, lambda _kind: lambda value: Decimal(str(value))),
    (IS_BYTES, lambda _kind: lambda value: base64.b64decode(value, validate=True)),
    (IS_LIST, _list_reader),
    (pa.types.is_struct, _struct_reader),
    (pa.types.is_map, _map_reader),
    (pa.types.is_timestamp, lambda _kind: datetime.datetime.fromisoformat),
    (pa.types.is_date, lambda _kind: datetime.date.fromisoformat),
    (pa.types.is_time, lambda _kind: datetime.time.fromisoformat),
)

"""Rows as JSON, each time the same: a batch that is sent again has the same bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
import pyarrow as pa

from rowkeeper.batch import ROW_ID

Form = Literal["array", "lines", "object", "single"]
FORMS = ("array", "lines", "object", "single")
CONTENT_TYPES: Mapping[str, str] = {"lines": "application/x-ndjson"}
WRITER = msgspec.json.Encoder(decimal_format="number")


def records(table: pa.Table, documents: frozenset[str]) -> Iterator[tuple[int, bytes]]:
    """The rows of a table: address, and a JSON object with all columns in order.

    Numbers have all their digits, times are ISO 8601 with their zone, bytes base64, durations whole microseconds; NaN
    and infinities are strings.

    Args:
        documents: columns that hold JSON text, which goes in as what it is.
    """
    names = [name for name in table.column_names if name != ROW_ID]
    maps = {name for name in names if pa.types.is_map(table.schema.field(name).type)}
    for row in table.to_pylist():
        values = {name: _value(row[name], name in maps, name in documents) for name in names}
        yield int(row[ROW_ID]), WRITER.encode(values)


def _value(value: Any, is_map: bool, is_document: bool) -> Any:
    if is_document and value is not None:
        return msgspec.Raw(value.encode())
    return _plain(dict(value)) if is_map and value is not None else _plain(value)


def _plain(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else str(value)
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() if value and all(isinstance(each, tuple) for each in value):  # a map inside
            return {str(key): _plain(each) for key, each in value}
        case list():
            return [_plain(each) for each in value]
        case _:
            return value


def body(lines: Sequence[bytes], form: Form, field: str, beside: Mapping[str, Any]) -> bytes:
    """A batch as it is sent.

    Args:
        field: in an object, the member that holds the records.
        beside: further members of the object.
    """
    match form:
        case "lines":
            return b"".join(line + b"\n" for line in lines)
        case "single":
            (line,) = lines
            return line
        case "array":
            return b"[" + b",".join(lines) + b"]"
        case "object":
            members = [WRITER.encode(name) + b":" + WRITER.encode(value) for name, value in beside.items()]
            return b"{" + b",".join([*members, WRITER.encode(field) + b":[" + b",".join(lines) + b"]"]) + b"}"

"""PostgreSQL's types: how each value is asked for, and as what it is read, so that nothing of it is lost.

COPY gives every value as PostgreSQL itself writes it as text, which reads back to the same value. What Arrow's CSV
reader takes exactly is read as typed columns. Where a batch has a value that the type cannot hold (`infinity`, a date
before Christ, 24:00, NaN in a numeric), the column of that batch is text, and the contract says what it thinks of it.
"""

from __future__ import annotations

import binascii
import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.sources.database.described import Column

INTEGERS = {"int2": pa.int64(), "int4": pa.int64(), "int8": pa.int64(), "oid": pa.int64()}
PLAIN: dict[str, pa.DataType] = {
    **INTEGERS,
    "float4": pa.float32(),
    "float8": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}
JSON = pa.json_()
ANY_DECIMAL = pa.decimal128(38, -1)  # of which nothing is known
DECIMAL128_DIGITS, DECIMAL_DIGITS_MAX = 38, 76
# A day of PostgreSQL is 24 hours, as Python's is; a month is nothing that a duration could hold.
INTERVAL = (
    "CASE WHEN extract(year FROM {0}) = 0 AND extract(month FROM {0}) = 0 AND isfinite({0}) THEN "
    "CASE WHEN {0} < interval '0' THEN '-' ELSE '' END || 'PT' || abs(extract(epoch FROM {0}))::text || 'S' "
    "ELSE {0}::text END"
)
FLOATS = ("float4", "float8")


@dataclasses.dataclass(frozen=True, slots=True)
class Type:
    """A row of pg_type.

    Attributes:
        kind: `typtype`: b, c (composite), d, e (enum), r (range), m, p.
        element: the name of what an array is made of; empty for what is none.
        written: as it is written in SQL, with length and precision.
    """

    name: str
    kind: str
    element: str
    written: str


def column(name: str, found: Type, modifier: int, *, nullable: bool) -> Column:
    """How a column is read."""
    made = _of(found, modifier)
    return dataclasses.replace(made, name=name, type=found.written, nullable=nullable)


def _of(found: Type, modifier: int) -> Column:  # noqa: PLR0911 - a table of kinds
    if found.element and found.name.startswith("_"):
        return _array(found.element)
    if found.kind == "c":
        return Column("", "", "to_json({})", meaning=JSON)
    if found.name in PLAIN:
        arrow = PLAIN[found.name]
        return Column(
            "", "", arrow=arrow, finish=_written_as_iso if pa.types.is_temporal(arrow) else None, meaning=arrow
        )
    match found.name:
        case "numeric":
            return _numeric(modifier)
        case "money":  # written in the manner of the server's country
            return Column("", "", "{}::numeric", meaning=ANY_DECIMAL)
        case "interval":
            return Column("", "", INTERVAL.replace("{0}", "{}"), meaning=pa.duration("us"))
        case "bytea":
            return Column("", "", "encode({}, 'hex')", finish=_bytes, meaning=pa.binary())
        case "uuid":
            return Column("", "", meaning=pa.uuid())
        case "json" | "jsonb":
            return Column("", "", meaning=JSON)
    return Column("", "", meaning=pa.string())


def _numeric(modifier: int) -> Column:
    if modifier < 4:
        return Column("", "", meaning=ANY_DECIMAL)
    precision = (modifier - 4) >> 16 & 0xFFFF
    scale = ((modifier - 4 & 0x7FF) ^ 1024) - 1024
    if not 0 <= scale <= precision <= DECIMAL_DIGITS_MAX:
        return Column("", "", meaning=ANY_DECIMAL)
    if precision > DECIMAL128_DIGITS:  # Arrow's CSV reader makes no wider ones: text loses nothing
        return Column("", "", meaning=pa.decimal256(precision, scale))
    arrow = pa.decimal128(precision, scale)
    return Column("", "", arrow=arrow, meaning=arrow)


def _array(element: str) -> Column:
    """Arrays come as JSON, which says how they are nested; what JSON has no exact form for, as text in it."""
    if element in INTEGERS:
        return _listed("array_to_json({})", pa.int64(), None, pa.int64())
    if element == "bool":
        return _listed("array_to_json({})", pa.bool_(), None, pa.bool_())
    if element in FLOATS:
        return _listed("array_to_json({}::text[])", PLAIN[element], float, pa.float64())
    if element == "bytea":
        return _listed("array_to_json({}::text[])", pa.binary(), lambda text: bytes.fromhex(text[2:]), pa.binary())
    meaning = column("", Type(element, "b", "", ""), -1, nullable=True).meaning
    return _listed("array_to_json({}::text[])", pa.string(), None, meaning or pa.string())


def _listed(select: str, item: pa.DataType, convert: Callable[[Any], Any] | None, meaning: pa.DataType) -> Column:
    def finish(values: pa.ChunkedArray[Any]) -> Any:
        lists = [None if text is None else json.loads(text) for text in values.to_pylist()]
        if convert is not None:
            lists = [_converted(each, convert) for each in lists]
        wanted: pa.DataType = item
        for _ in range(max([_depth(each) for each in lists if each is not None], default=1) or 1):
            wanted = pa.list_(wanted)
        return pa.array(lists, wanted)

    return Column("", "", select, finish=finish, meaning=pa.list_(meaning))


def _converted(value: Any, convert: Callable[[Any], Any]) -> Any:
    if isinstance(value, list):
        return [_converted(each, convert) for each in value]
    return None if value is None else convert(value)


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _bytes(values: pa.ChunkedArray[Any]) -> Any:
    return pa.array([None if text is None else binascii.unhexlify(text) for text in values.to_pylist()], pa.binary())


def _written_as_iso(values: pa.ChunkedArray[Any]) -> Any:
    """Times that had to stay text: with a zone as ISO 8601 writes it, so that those that are in order are read."""
    if not pa.types.is_string(values.type):
        return values
    return pc.replace_substring_regex(values, r"\+00$", "Z")


LITERAL = re.compile("\x00")


def literal(text: str) -> str:
    """A text in SQL. Raises ValueError for one that PostgreSQL cannot hold."""
    if LITERAL.search(text):
        raise ValueError("a NUL")
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'

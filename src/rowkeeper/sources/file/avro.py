"""Avro: rows of records, with logical types exact. Read by fastavro, a block at a time, without its logical types.

fastavro makes Python's datetimes of timestamps, which end at microseconds and at the year 9999. So the schema is given
to it without logical types, and what it reads (whole numbers, bytes) becomes Arrow's types here: nanoseconds stay, and
decimals have all their digits. A block that was read by an earlier run is passed over without being decoded.
"""

from __future__ import annotations

import dataclasses
import decimal
import io
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, NoReturn

import pyarrow as pa

from rowkeeper.errors import ColumnsDiffer, SourceDamaged, SourceError
from rowkeeper.extras import library
from rowkeeper.sources.file.delimited import Piece, Reopen, row_places, row_range

ROWS_AT_A_TIME = 4096
DECIMAL_DIGITS_MAX = 76
DAMAGES = (ValueError, EOFError, IndexError, KeyError, StopIteration, TypeError, AttributeError)
Convert = Callable[[Any], Any] | None
"""Makes of what fastavro reads what Arrow takes; None where it takes it as it is."""
Schema = Any

PLAIN: Mapping[str, pa.DataType] = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
}
LOGICAL: Mapping[tuple[str, str], pa.DataType] = {
    ("int", "date"): pa.date32(),
    ("int", "time-millis"): pa.time32("ms"),
    ("long", "time-micros"): pa.time64("us"),
    ("long", "timestamp-millis"): pa.timestamp("ms", "UTC"),
    ("long", "timestamp-micros"): pa.timestamp("us", "UTC"),
    ("long", "timestamp-nanos"): pa.timestamp("ns", "UTC"),
    ("long", "local-timestamp-millis"): pa.timestamp("ms"),
    ("long", "local-timestamp-micros"): pa.timestamp("us"),
    ("long", "local-timestamp-nanos"): pa.timestamp("ns"),
}
WIDER = (
    (frozenset({pa.int32(), pa.int64()}), pa.int64()),
    (frozenset({pa.float32(), pa.float64()}), pa.float64()),
    (frozenset({pa.int32(), pa.float64()}), pa.float64()),
)
"""What values of several types are in one column, where that loses nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class AvroFile:
    """The head of a file.

    Attributes:
        plain: its schema without logical types, as fastavro parsed it.
        columns: by name, in their order, the Arrow type and how a value comes to it.
    """

    plain: Schema
    columns: Mapping[str, tuple[pa.DataType, Convert]]


def head_of(name: str, stream: IO[bytes]) -> AvroFile:
    """What the head of a file says.

    Raises SourceDamaged if it is no Avro file, ColumnsDiffer for a schema that is no table.
    """
    return _head(name, _blocks(name, stream))


def pieces(name: str, reopen: Reopen, keep: Sequence[str], *, batch_rows: int, start_row: int) -> Iterator[Piece]:
    """The rows of a file from `start_row` on.

    Raises SourceDamaged if it is damaged, or breaks off within a block. At the end of a block nobody can tell: Avro
    does not say how many there are.
    """
    import fastavro  # noqa: PLC0415 - of an extra

    with reopen() as stream:
        blocks = _blocks(name, stream)
        head = _head(name, blocks)
        rows, first = min(batch_rows, ROWS_AT_A_TIME), 0
        while (block := _next(name, blocks)) is not None:
            end = first + block.num_records
            if end > start_row:
                data, done = io.BytesIO(block.bytes_.read()), first
                while done < end:
                    count = min(rows, end - done)
                    try:
                        records = [fastavro.schemaless_reader(data, head.plain, None) for _ in range(count)]
                    except DAMAGES as error:
                        raise _damaged(name) from error
                    numbers = row_range(done, done + count)
                    done += count
                    if done > start_row:
                        table = _table(name, head, records, keep)
                        yield Piece(table, numbers, row_places(numbers), (), done).since(start_row)
            first = end


def _blocks(name: str, stream: IO[bytes]) -> Any:
    fastavro = library("fastavro", "avro", "Avro files need a library")
    try:
        return fastavro.block_reader(stream)
    except DAMAGES as error:
        if "codec" in str(error).lower():
            raise SourceError(
                f"{name} is packed in a way that cannot be read here", hint="deflate and zstandard can"
            ) from error
        raise _damaged(name) from error


def _next(name: str, blocks: Any) -> Any:
    try:
        return next(blocks, None)
    except DAMAGES as error:
        if "codec" in str(error).lower() or "library" in str(error).lower():
            raise SourceError(
                f"{name} is packed with {blocks.codec}, which cannot be read here",
                hint="write it with deflate or zstandard",
            ) from error
        raise _damaged(name) from error


def _head(name: str, blocks: Any) -> AvroFile:
    import fastavro  # noqa: PLC0415

    schema = blocks.writer_schema
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise ColumnsDiffer(f"{name} holds no records, but values", hint="an Avro file of records is expected")
    types = _Types(name)
    columns = {each["name"]: types.of(each["type"], each["name"]) for each in types.fields(schema)}
    try:
        return AvroFile(fastavro.parse_schema(_without_logical(schema)), columns)
    except fastavro.schema.SchemaParseException as error:
        raise _damaged(name) from error


def _table(name: str, head: AvroFile, records: list[Any], keep: Sequence[str]) -> pa.Table:
    arrays = {}
    for column in keep:
        type, convert = head.columns[column]
        values = [record[column] for record in records]
        if convert is not None:
            values = [None if value is None else convert(value) for value in values]
        try:
            arrays[column] = pa.array(values, type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise SourceDamaged(
                f"{name}: a value of {column} is beyond its own type", hint="see to whoever writes it"
            ) from error
    return pa.table(arrays)


class _Types:
    """Arrow's types for those of a schema."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._named: dict[str, Schema] = {}
        self._open: list[str] = []

    def fields(self, record: Schema) -> list[Any]:
        """The fields of a record, whose name is known from now on."""
        self._named[record["name"]] = record
        return list(record["fields"])

    def of(self, schema: Schema, column: str) -> tuple[pa.DataType, Convert]:
        """The type, and how a value comes to it. Raises ColumnsDiffer for what no column can hold as it is."""
        if isinstance(schema, list):
            return self._union(schema, column)
        if isinstance(schema, str):
            return (PLAIN[schema], None) if schema in PLAIN else self._of_name(schema, column)
        kind = schema["type"]
        if not isinstance(kind, str):
            return self.of(kind, column)
        logical = self._logical(kind, schema, column)
        if logical is not None:
            return logical
        return (PLAIN[kind], None) if kind in PLAIN else self._complex(kind, schema, column)

    def _complex(self, kind: str, schema: Schema, column: str) -> tuple[pa.DataType, Convert]:
        if kind == "array":
            type, convert = self.of(schema["items"], column)
            return pa.list_(type), convert and (lambda values: [_converted(convert, each) for each in values])
        if kind == "map":
            type, convert = self.of(schema["values"], column)
            return pa.map_(pa.string(), type), lambda values: [
                (name, _converted(convert, each)) for name, each in values.items()
            ]
        self._named.setdefault(schema.get("name", ""), schema)
        if kind == "enum":
            return pa.string(), None
        if kind == "fixed":
            return pa.binary(int(schema["size"])), None
        if kind in ("record", "error"):
            return self._record(schema, column)
        return self._of_name(kind, column)

    def _record(self, schema: Schema, column: str) -> tuple[pa.DataType, Convert]:
        name = schema["name"]
        if name in self._open:
            self._refuse(column, "a record that holds itself")
        self._open.append(name)
        members = {each["name"]: self.of(each["type"], column) for each in self.fields(schema)}
        self._open.pop()
        type = pa.struct([pa.field(each, members[each][0]) for each in members])
        if all(convert is None for _, convert in members.values()):
            return type, None
        return type, lambda value: {each: _converted(members[each][1], value[each]) for each in members}

    def _of_name(self, name: str, column: str) -> tuple[pa.DataType, Convert]:
        if name not in self._named:
            self._refuse(column, "a type that its schema does not explain")
        return self.of(self._named[name], column)

    def _union(self, branches: list[Schema], column: str) -> tuple[pa.DataType, Convert]:
        found = [self.of(each, column) for each in branches if each != "null"]
        if not found:
            return pa.null(), None
        if len(found) == 1:
            return found[0]
        types = {type for type, _ in found}
        if all(convert is None for _, convert in found):
            if len(types) == 1:
                return found[0]
            for several, one in WIDER:
                if types == several:
                    return one, float if one == pa.float64() else None
        return self._refuse(column, "values of several types, which no one type holds as they are")

    def _logical(self, kind: str, schema: Schema, column: str) -> tuple[pa.DataType, Convert] | None:
        """What a logical type makes of a plain one; an unknown one makes nothing of it (Avro 1.12, Logical Types)."""
        logical = schema.get("logicalType")
        if (kind, logical) in LOGICAL:
            return LOGICAL[kind, logical], None
        if kind == "fixed":
            self._named.setdefault(schema.get("name", ""), schema)
        if logical == "decimal" and kind in ("bytes", "fixed"):
            precision, scale = int(schema.get("precision", 0)), int(schema.get("scale", 0))
            if not 0 < precision <= DECIMAL_DIGITS_MAX or not 0 <= scale <= precision:
                self._refuse(column, f"decimals of {precision} digits, {scale} of them after the point")
            decimals = pa.decimal128 if precision <= 38 else pa.decimal256
            return decimals(precision, scale), lambda raw: _decimal(raw, scale)
        if logical == "uuid" and kind == "string":
            return pa.string(), None
        if logical == "uuid" and kind == "fixed" and schema.get("size") == 16:
            return pa.string(), lambda raw: str(uuid.UUID(bytes=raw))
        if logical == "duration" and kind == "fixed" and schema.get("size") == 12:
            return pa.string(), _duration
        return None

    def _refuse(self, column: str, what: str) -> NoReturn:
        raise ColumnsDiffer(
            f"{self._name}: its column {column} has {what}",
            hint="let whoever writes it write a type that a column can have",
        )


def _converted(convert: Convert, value: Any) -> Any:
    return value if convert is None or value is None else convert(value)


def _decimal(raw: bytes, scale: int) -> decimal.Decimal:
    """Two's complement, most significant byte first (Avro 1.12, Decimal); no digit is rounded."""
    number = int.from_bytes(raw, "big", signed=True)
    digits = tuple(map(int, str(abs(number))))
    return decimal.Decimal((int(number < 0), digits, -scale))


def _duration(raw: bytes) -> str:
    """Months, days and milliseconds, which do not add up (Avro 1.12, Duration), in the words of ISO 8601."""
    months, days, millis = (int.from_bytes(raw[at : at + 4], "little") for at in (0, 4, 8))
    date = (f"{months}M" if months else "") + (f"{days}D" if days else "")
    seconds = f"{millis // 1000}.{millis % 1000:03}".rstrip("0").rstrip(".")
    return f"P{date}T{seconds}S" if millis or not date else f"P{date}"


def _without_logical(schema: Schema) -> Schema:
    if isinstance(schema, list):
        return [_without_logical(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    dropped = ("logicalType", "default", "doc", "aliases", "order")
    kept = {
        name: value
        for name, value in schema.items()
        if name not in dropped and not name.startswith("__") and (name not in ("precision", "scale"))
    }
    for name in ("type", "items", "values"):
        if name in kept:
            kept[name] = _without_logical(kept[name])
    if "fields" in kept:
        kept["fields"] = [_without_logical(each) for each in kept["fields"]]
    return kept


def _damaged(name: str) -> SourceDamaged:
    return SourceDamaged(
        f"{name} is no whole Avro file: it is damaged or truncated", hint="fetch it again, then run again"
    )

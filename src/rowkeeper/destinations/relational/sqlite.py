"""SQLite, by the standard library's driver: exact values as text where SQLite has no type for them.

The declared type of a column says what its text is, and has TEXT or INT in it, so that SQLite keeps values as they were
given: `DECIMAL_TEXT(38,9)`, `TIMESTAMP_TEXT`. What compares and adds such values, and what hashes rows, are functions
of ours that connections of ours have.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import re
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.batch import ROW_ID
from rowkeeper.destinations.relational.dialect import HASH, NOT_NULL, RUN, Columns, Cursor, bare_kind
from rowkeeper.destinations.relational.fitting import as_json, hexadecimal, is_document, is_list, places_where
from rowkeeper.destinations.relational.functions import HASHED_AT_ONCE, add_functions
from rowkeeper.destinations.relational.names import Names, identifier, literal
from rowkeeper.errors import ContractError, DestinationRefused, DestinationUnreachable, DiskFull, FrameworkError
from rowkeeper.measures import Figure
from rowkeeper.resilience.deadline import remaining, seconds_left
from rowkeeper.resilience.outcomes import Judgement

HIDDEN = dict.fromkeys((RUN, ROW_ID, HASH), f"INTEGER{NOT_NULL} DEFAULT 0")
BUSY_SECONDS_MAX = 30.0
STEPS = 10_000  # of SQLite's virtual machine, between two looks at the deadline
PLAIN = {
    pa.bool_(): "BOOLEAN_INT",
    pa.int8(): "INTEGER",
    pa.int16(): "INTEGER",
    pa.int32(): "INTEGER",
    pa.int64(): "INTEGER",
    pa.uint8(): "INTEGER",
    pa.uint16(): "INTEGER",
    pa.uint32(): "INTEGER",
    pa.uint64(): "DECIMAL_TEXT(20,0)",
    pa.float32(): "REAL",
    pa.float64(): "REAL",
    pa.string(): "TEXT",
    pa.large_string(): "TEXT",
    pa.binary(): "BLOB",
    pa.large_binary(): "BLOB",
    pa.date32(): "DATE_TEXT",
    pa.duration("us"): "MICROSECONDS_INT",
}
ARROW: Mapping[str, pa.DataType] = {
    "BOOLEAN_INT": pa.bool_(),
    "INTEGER": pa.int64(),
    "REAL": pa.float64(),
    "BLOB": pa.binary(),
    "DATE_TEXT": pa.date32(),
    "TIMESTAMP_UTC_TEXT": pa.timestamp("us", "UTC"),
    "TIMESTAMP_TEXT": pa.timestamp("us"),
    "TIME_TEXT": pa.time64("us"),
    "MICROSECONDS_INT": pa.duration("us"),
}
DECIMAL = re.compile(r"DECIMAL_TEXT\((\d+),(\d+)\)")
TIMES = ("DATE_TEXT", "TIMESTAMP_TEXT", "TIMESTAMP_UTC_TEXT")
DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class SQLite:
    """Implements `dialect.Dialect`."""

    schema = "main"
    hidden = HIDDEN
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: str) -> None:
        self._path = path

    # ------------------------------------------------------------------------------------------ connections

    def connect(self) -> Any:
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=0)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.set_progress_handler(_out_of_time, STEPS)
        add_functions(connection)
        return connection

    def begin(self, connection: Any) -> Cursor:
        wait = seconds_left(BUSY_SECONDS_MAX)
        connection.execute(f"PRAGMA busy_timeout = {int((wait or BUSY_SECONDS_MAX) * 1000)}")
        cursor: Cursor = connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        return cursor

    def is_lost(self, connection: Any) -> bool:
        return False

    def judge(self, error: BaseException) -> Judgement | None:
        return None

    def told(self, error: Exception, place: str) -> FrameworkError:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in DISK:
            return DiskFull(f"{place} could not be written", hint="free some space, or see to the disk, and run again")
        if code in BUSY:
            return DestinationUnreachable(
                f"another process keeps {place} locked",
                hint="run again when it is done; a stopped process keeps its lock",
            )
        if code == sqlite3.SQLITE_INTERRUPT:
            seconds_left()  # raises, as that is why
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        return DestinationRefused(
            f"{place} refused a statement: {name}",
            hint="see to the file, its rights and its layout, then run again",
            context={"sqlite": name},
        )

    def mark(self, connection: Any, mark: str) -> None:
        del connection, mark

    def stop(self, cursor: Cursor, mark: str) -> None:
        """What another process has under way holds the lock that this transaction waited for."""
        del cursor, mark

    # ------------------------------------------------------------------------------------------ tables

    def column_type(self, field: pa.Field[Any]) -> str:
        kind = field.type
        found = "JSON_TEXT" if is_document(field) or is_list(kind) else PLAIN.get(kind)
        if found is None and pa.types.is_decimal(kind) and kind.scale >= 0:
            found = f"DECIMAL_TEXT({kind.precision},{kind.scale})"
        elif found is None and pa.types.is_timestamp(kind) and kind.unit != "ns":
            found = "TIMESTAMP_UTC_TEXT" if kind.tz else "TIMESTAMP_TEXT"
        elif found is None and pa.types.is_time(kind):
            found = "TIME_TEXT"
        elif found is None and pa.types.is_fixed_size_binary(kind):
            is_uuid = (field.metadata or {}).get(b"rk:type") == b"uuid" and kind.byte_width == 16
            found = "UUID_TEXT" if is_uuid else "BLOB"
        if found is None:
            raise ContractError(
                f"the column {field.name} is of the type {kind}, which no column of SQLite holds",
                hint="declare the field with another type",
            )
        return found + ("" if field.nullable else NOT_NULL)

    def unfit(self, field: pa.Field[Any], column: pa.ChunkedArray[Any]) -> tuple[Sequence[int], str]:
        if not pa.types.is_floating(field.type):
            return (), ""
        return places_where(pc.is_nan(column)), "the number is NaN, which SQLite takes for null"

    def tables(self, cursor: Cursor, schema: str) -> list[str]:
        cursor.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")
        return [str(name) for (name,) in cursor.fetchall()]

    def columns_of(self, cursor: Cursor, schema: str, table: str) -> Columns:
        rows = self._table_info(cursor, table)
        return tuple((name, kind + (NOT_NULL if not_null else "")) for name, kind, not_null, _ in rows)

    def optional(self, cursor: Cursor, schema: str, table: str) -> frozenset[str]:
        rows = self._table_info(cursor, table)
        return frozenset(name for name, _, not_null, default in rows if default or not not_null)

    @staticmethod
    def _table_info(cursor: Cursor, table: str) -> list[tuple[str, str, bool, bool]]:
        cursor.execute(
            f"SELECT name, upper(type), \"notnull\", dflt_value FROM pragma_table_info({literal(table)}, 'main')"
        )
        return [
            (name, kind, bool(not_null), default is not None) for name, kind, not_null, default in cursor.fetchall()
        ]

    def row_hash(self, columns: Columns) -> str:
        """The sum of a hash for each column; a function of SQLite takes 127 arguments at most."""
        pairs = [f"{literal(name)}, {identifier(name)}" for name, _ in columns]
        return _hashed(pairs)

    def insert(self, cursor: Cursor, staging: str, run: int, rows: pa.Table, kinds: Mapping[str, str]) -> None:
        given = [name for name in rows.column_names if name != ROW_ID]
        names = ", ".join(map(identifier, given))
        hashed = _hashed([f"{literal(name)}, ?{number}" for number, name in enumerate(given, 1)])
        marks = ", ".join(f"?{number}" for number in range(1, len(given) + 2))
        columns = [_values(rows.column(name), kinds[name]) for name in given]
        many: Any = cursor
        many.executemany(
            f"INSERT INTO {staging} ({names}, {ROW_ID}, {RUN}, {HASH}) VALUES ({marks}, {run}, {hashed})",
            zip(*columns, rows.column(ROW_ID).to_pylist(), strict=True),
        )

    def index(self, names: Names, table: str, columns: str) -> str:
        name = f"{identifier(names.schema)}.{identifier(f'_rk_key__{names.tail}')}"
        return f"CREATE INDEX IF NOT EXISTS {name} ON {identifier(table)} ({columns})"

    def index_keys(self, cursor: Cursor, names: Names, staging: str, key: Sequence[str]) -> None:
        """It joins by indexes alone."""
        bare = staging.partition('"."')[2].removesuffix('"')
        columns = ", ".join(map(identifier, key))
        name = f"{identifier(names.schema)}.{identifier(f'{bare}_key')}"
        cursor.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {identifier(bare)} ({columns})")

    def ordering(self, column: str, kind: str) -> str:
        return identifier(column) + (" COLLATE rk_decimal" if DECIMAL.fullmatch(bare_kind(kind)) else "")

    def is_less(self, one: str, other: str, kind: str) -> str:
        return f"rk_compare({one}, {other}) < 0" if DECIMAL.fullmatch(bare_kind(kind)) else f"{one} < {other}"

    def rename(self, names_schema: str, table: str, to: str) -> str:
        return f"ALTER TABLE {identifier(names_schema)}.{identifier(table)} RENAME TO {identifier(to)}"

    def lock(self, cursor: Cursor, table: str) -> None:
        """The transaction holds the one lock that there is."""
        del cursor, table

    # ------------------------------------------------------------------------------------------ questions

    def explain(self, sql: str) -> str:
        return f"EXPLAIN {sql}"

    def matches(self, column: str, pattern: str) -> str:
        return f"rk_matches({literal(pattern)}, {identifier(column)})"

    def compares(self, column: str, kind: str, sign: str, value: str) -> str:
        if DECIMAL.fullmatch(bare_kind(kind)):
            return f"rk_compare({identifier(column)}, {value}) {sign} 0"
        return f"{identifier(column)} {sign} {value}"

    def value(self, given: Any, kind: str) -> str | None:  # noqa: C901, PLR0911 - a table of types
        if isinstance(given, enum.Enum):
            given = given.value
        match given:
            case bool():
                return str(int(given))
            case int() | float() | decimal.Decimal() if DECIMAL.fullmatch(bare_kind(kind)):
                return literal(_decimal_text(given, kind))
            case int() | float():
                return repr(given)
            case decimal.Decimal():
                return str(given)
            case datetime.datetime():
                return literal(_moment(given))
            case datetime.date():
                return literal(given.isoformat())
            case datetime.time():
                return literal(given.isoformat("microseconds"))
            case datetime.timedelta():
                return str(given // datetime.timedelta(microseconds=1))
            case str() | uuid.UUID():
                return literal(str(given))
            case _:
                return None

    def figure(self, asked: Figure, kind: str) -> str:
        name, exact = identifier(asked.column), DECIMAL.fullmatch(bare_kind(kind))
        match asked.kind:
            case "min" | "max" | "newest":
                word = "min" if asked.kind == "min" else "max"
                return f"rk_decimal_{word}({name})" if exact else f"{word}({name})"
            case "mean":
                return f"avg(CAST({name} AS REAL))"
            case _:
                return f"sum({name})" if bare_kind(kind) == "REAL" else f"rk_total({name})"

    def spread(self, column: str) -> str:
        return f"rk_spread({column})"

    def said_of_typed(self, error: BaseException) -> str:
        return str(error)

    def is_time(self, kind: str) -> bool:
        return bare_kind(kind) in TIMES

    def day(self, column: str, kind: str, zone: str) -> str:
        name = identifier(column)
        return name if bare_kind(kind) == "DATE_TEXT" else f"rk_day({name}, {literal(zone)})"

    def nothing(self, kind: str) -> str:
        del kind
        return "NULL"

    def as_text(self, column: str) -> str:
        return f"CAST({identifier(column)} AS TEXT)"

    def plain(self, column: str, kind: str, characters_max: int | None) -> str:
        name = identifier(column)
        if bare_kind(kind) == "TEXT" and characters_max is not None:
            return f"substr({name}, 1, {characters_max}) AS {name}"
        return f"{name} AS {name}"

    def arrow_type(self, kind: str) -> pa.DataType:
        exact = DECIMAL.fullmatch(bare_kind(kind))
        if exact:
            return pa.decimal128(int(exact[1]), int(exact[2])) if int(exact[1]) <= 38 else pa.string()
        return ARROW.get(bare_kind(kind), pa.string())

    def decoded(self, value: Any, kind: str) -> Any:  # noqa: PLR0911 - a table of types
        if value is None:
            return None
        match bare_kind(kind):
            case "BOOLEAN_INT":
                return bool(value)
            case "DATE_TEXT":
                return datetime.date.fromisoformat(value)
            case "TIMESTAMP_UTC_TEXT" | "TIMESTAMP_TEXT":
                return datetime.datetime.fromisoformat(value)
            case "TIME_TEXT":
                return datetime.time.fromisoformat(value)
            case "MICROSECONDS_INT":
                return datetime.timedelta(microseconds=value)
            case bare if DECIMAL.fullmatch(bare):
                return decimal.Decimal(value)
            case _:
                return value


def _hashed(pairs: Sequence[str]) -> str:
    """Hashes of some columns at a time, added up."""
    pieces = [
        f"rk_hash({', '.join(pairs[start : start + HASHED_AT_ONCE])})" for start in range(0, len(pairs), HASHED_AT_ONCE)
    ]
    found = pieces[0]
    for piece in pieces[1:]:
        found = f"rk_add({found}, {piece})"
    return found


def _out_of_time() -> int:
    left = remaining()
    return int(left is not None and left <= 0)


def _values(column: pa.ChunkedArray[Any], kind: str) -> list[Any]:
    """A column as SQLite's driver takes it."""
    match bare_kind(kind):
        case "JSON_TEXT":
            found: list[Any] = as_json(column).to_pylist()
        case "UUID_TEXT":
            found = [None if each is None else str(uuid.UUID(each)) for each in hexadecimal(column)]
        case "TIMESTAMP_UTC_TEXT" | "TIMESTAMP_TEXT":
            found = [None if each is None else _moment(each) for each in column.to_pylist()]
        case "TIME_TEXT":
            found = [None if each is None else each.isoformat("microseconds") for each in column.to_pylist()]
        case "DATE_TEXT":
            found = column.cast(pa.string()).to_pylist()
        case "MICROSECONDS_INT":
            found = column.cast(pa.int64()).to_pylist()
        case "BOOLEAN_INT":
            found = column.cast(pa.int8()).to_pylist()
        case bare if DECIMAL.fullmatch(bare):
            found = [None if each is None else f"{each:f}" for each in map(_exact, column.to_pylist())]
        case _:
            found = column.to_pylist()
    return found


def _exact(value: Any) -> Any:
    return value if value is None or isinstance(value, decimal.Decimal) else decimal.Decimal(value)


def _decimal_text(given: Any, kind: str) -> str:
    del kind
    return f"{decimal.Decimal(str(given)):f}"


def _moment(given: datetime.datetime) -> str:
    """ISO 8601 with microseconds, in UTC where there is a zone: text that is ordered as the times are."""
    if given.tzinfo is not None:
        given = given.astimezone(datetime.UTC)
    return given.isoformat(" ", "microseconds")

"""PostgreSQL, by psycopg: COPY into a temporary table, from there into the staging area with a hash for each row.

The hash is SHA-256 over the columns as PostgreSQL writes them as text, cut to 64 bits. MD5 is refused by servers in
FIPS mode, and `hashtext` is not promised to stay what it is. A session is told how to write text, so that the same
values are the same text whatever the server's settings are.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from rowkeeper.batch import ROW_ID
from rowkeeper.databases import Place
from rowkeeper.databases.postgresql import connected, driver
from rowkeeper.destinations.relational.copying import csv_of, unfit_in_postgresql
from rowkeeper.destinations.relational.dialect import HASH, NOT_NULL, RUN, Columns, Cursor, bare_kind
from rowkeeper.destinations.relational.fitting import is_document, is_list
from rowkeeper.destinations.relational.names import Names, identifier, literal
from rowkeeper.errors import (
    ContractError,
    DatabaseError,
    DestinationRefused,
    DestinationUnreachable,
    DiskFull,
    FrameworkError,
)
from rowkeeper.ledger.securing import Transport
from rowkeeper.measures import Figure
from rowkeeper.protocols import WayOut
from rowkeeper.resilience.deadline import sql_seconds_left
from rowkeeper.resilience.outcomes import Judgement, Outcome

HIDDEN = dict.fromkeys((RUN, ROW_ID, HASH), f"bigint{NOT_NULL} DEFAULT 0")
SESSION = (
    "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1; "
    "SET bytea_output = 'hex'; SET standard_conforming_strings = on; SET synchronous_commit = on; "
    "SET client_encoding = 'UTF8'; SET lock_timeout = 0"
)
PLAIN = {
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "integer",
    pa.uint32(): "bigint",
    pa.uint64(): "numeric(20,0)",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.large_string(): "text",
    pa.binary(): "bytea",
    pa.large_binary(): "bytea",
    pa.date32(): "date",
    pa.duration("us"): "interval",
}
ARROW: Mapping[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "timestamp with time zone": pa.timestamp("us", "UTC"),
    "timestamp without time zone": pa.timestamp("us"),
    "time without time zone": pa.time64("us"),
    "interval": pa.duration("us"),
}
NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")
INTEGERS = ("smallint", "integer", "bigint")
FULL = "53100"
GOING_DOWN = ("08", "57P01", "57P02")  # what was under way when the server ended the connection may be done
STATE_LENGTH = 5


class PostgreSQL:
    """Implements `dialect.Dialect`."""

    schema = "public"
    hidden = HIDDEN

    def __init__(self, place: Place, password: str | None, transport: Transport, way_out: WayOut | None) -> None:
        self._connect = functools.partial(connected, place, password, transport, way_out, autocommit=False)
        self._driver = psycopg = driver()
        self.errors: tuple[type[Exception], ...] = (psycopg.Error,)

    # ------------------------------------------------------------------------------------------ connections

    def connect(self) -> Any:
        connection = self._connect()
        with connection.cursor() as cursor:
            cursor.execute(SESSION)
        connection.commit()
        return connection

    def begin(self, connection: Any) -> Cursor:
        cursor: Cursor = connection.cursor()
        left = sql_seconds_left()
        limit = 0 if left is None else max(1, int(left * 1000))
        cursor.execute(f"SET LOCAL statement_timeout = {limit}")
        return cursor

    def is_lost(self, connection: Any) -> bool:
        return bool(connection.closed or connection.broken)

    def judge(self, error: BaseException) -> Judgement | None:
        """libpq says no more than this of a server that is gone; who may not in is refused for good."""
        if not isinstance(error, self._driver.OperationalError):
            return None
        if error.sqlstate is not None:
            return Judgement(Outcome.AMBIGUOUS) if error.sqlstate.startswith(GOING_DOWN) else None
        never_there = error.pgconn is not None or isinstance(error, self._driver.errors.ConnectionTimeout)
        if never_there or "connection failed" in str(error):
            return Judgement(Outcome.PERMANENT if "authentication" in str(error) else Outcome.TRANSIENT)
        return Judgement(Outcome.AMBIGUOUS)

    def told(self, error: Exception, place: str) -> FrameworkError:
        state, about = getattr(error, "sqlstate", None), getattr(error, "diag", None)
        if state == FULL:
            return DiskFull(f"the disk of {place} is full", hint="free some space there, and run again")
        kind = type(error).__name__
        if state is None or state.startswith(("08", "57")):
            if "authentication" in str(error):
                return DestinationRefused(
                    f"{place} does not let us in", hint="see to the user in the URL, and to what password= refers to"
                )
            return DestinationUnreachable(
                f"{place} is not to be reached ({kind})", hint="see whether it is up, then run again"
            )
        named = [
            f"{what} {name}"
            for what in ("table", "column", "constraint")
            if (name := getattr(about, f"{what}_name", None))
        ]
        return DestinationRefused(
            f"{place} refused a statement: {kind}{' of ' + ', '.join(named) if named else ''} (SQLSTATE {state})",
            hint="its log has the statement; see to rights and layout, then run again",
            context={"sqlstate": state},
        )

    def mark(self, connection: Any, mark: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET application_name = {literal(mark)}")
        connection.commit()

    def stop(self, cursor: Cursor, mark: str) -> None:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() "
            f"AND usename = current_user AND application_name = {literal(mark)} AND pid <> pg_backend_pid()"
        )
        cursor.fetchall()

    # ------------------------------------------------------------------------------------------ tables

    def column_type(self, field: pa.Field[Any]) -> str:
        kind = _element(field) if not is_document(field) else "jsonb"
        if kind is None and is_list(field.type):
            inner = _element(field.type.value_field)
            kind = None if inner is None else f"{inner}[]"
        if kind is None:
            raise ContractError(
                f"the column {field.name} is of the type {field.type}, which no column of PostgreSQL holds",
                hint="declare the field with another type",
            )
        return kind + ("" if field.nullable else NOT_NULL)

    def unfit(self, field: pa.Field[Any], column: pa.ChunkedArray[Any]) -> tuple[Sequence[int], str]:
        return unfit_in_postgresql(field, column)

    def tables(self, cursor: Cursor, schema: str) -> list[str]:
        cursor.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            f"WHERE n.nspname = {literal(schema)} AND c.relkind IN ('r', 'p')"
        )
        return [str(name) for (name,) in cursor.fetchall()]

    def columns_of(self, cursor: Cursor, schema: str, table: str) -> Columns:
        rows = self._attributes(cursor, schema, table)
        return tuple((name, kind + (NOT_NULL if not_null else "")) for name, kind, not_null, _ in rows)

    def optional(self, cursor: Cursor, schema: str, table: str) -> frozenset[str]:
        rows = self._attributes(cursor, schema, table)
        return frozenset(name for name, _, not_null, default in rows if default or not not_null)

    @staticmethod
    def _attributes(cursor: Cursor, schema: str, table: str) -> list[tuple[str, str, bool, bool]]:
        cursor.execute(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, "
            "a.atthasdef OR a.attidentity <> '' FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            f"JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {literal(schema)} "
            f"AND c.relname = {literal(table)} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        )
        return [
            (str(name), str(kind), bool(not_null), bool(default)) for name, kind, not_null, default in cursor.fetchall()
        ]

    def row_hash(self, columns: Columns) -> str:
        parts = [
            f"CASE WHEN {identifier(name)} IS NULL THEN '' ELSE "
            f"{literal(name + '=')} || octet_length({_text(name)}) || ':' || {_text(name)} || ';' END"
            for name, _ in sorted(columns)
        ]
        text = f"convert_to({' || '.join(parts)}, 'UTF8')"
        return f"('x' || encode(substr(sha256({text}), 1, 8), 'hex'))::bit(64)::bigint"

    def insert(self, cursor: Cursor, staging: str, run: int, rows: pa.Table, kinds: Mapping[str, str]) -> None:
        given = [name for name in rows.column_names if name != ROW_ID]
        typed = tuple((name, kinds[name]) for name in given)
        arriving = identifier("_rk_arriving")
        definitions = ", ".join(f"{identifier(name)} {bare_kind(kind)}" for name, kind in typed)
        cursor.execute(f"CREATE TEMP TABLE {arriving} ({definitions}, {ROW_ID} bigint) ON COMMIT DROP")
        names = ", ".join(map(identifier, given))
        copy: Any = cursor
        with copy.copy(f"COPY {arriving} ({names}, {ROW_ID}) FROM STDIN (FORMAT csv)") as sink:
            for piece in csv_of(rows, {**kinds, ROW_ID: "bigint"}):
                sink.write(piece)
        cursor.execute(
            f"INSERT INTO {staging} ({names}, {RUN}, {ROW_ID}, {HASH}) "
            f"SELECT {names}, {run}, {ROW_ID}, {self.row_hash(typed)} FROM {arriving}"
        )
        if cursor.rowcount != rows.num_rows:
            raise DatabaseError(f"{rows.num_rows} rows were sent and {cursor.rowcount} came", hint="run again")

    def index(self, names: Names, table: str, columns: str) -> str:
        return f"CREATE INDEX IF NOT EXISTS {identifier(f'_rk_key__{names.tail}')} ON {names.quoted(table)} ({columns})"

    def index_keys(self, cursor: Cursor, names: Names, staging: str, key: Sequence[str]) -> None:
        """It joins by hashing; it only has to know how much there is."""
        cursor.execute(f"ANALYZE {staging}")

    def ordering(self, column: str, kind: str) -> str:
        return identifier(column)

    def is_less(self, one: str, other: str, kind: str) -> str:
        return f"{one} < {other}"

    def rename(self, names_schema: str, table: str, to: str) -> str:
        return f"ALTER TABLE {identifier(names_schema)}.{identifier(table)} RENAME TO {identifier(to)}"

    def lock(self, cursor: Cursor, table: str) -> None:
        cursor.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")

    # ------------------------------------------------------------------------------------------ questions

    def explain(self, sql: str) -> str:
        return f"EXPLAIN {sql}"

    def matches(self, column: str, pattern: str) -> str:
        return f"{identifier(column)}::text ~ {literal(pattern)}"

    def compares(self, column: str, kind: str, sign: str, value: str) -> str:
        """PostgreSQL holds NaN for greater than all numbers; here it offends either bound."""
        name = identifier(column)
        if bare_kind(kind) in ("real", "double precision"):
            return f"({name} {sign} {value} AND {name} <> 'NaN')"
        return f"{name} {sign} {value}"

    def value(self, given: Any, kind: str) -> str | None:  # noqa: PLR0911 - a table of types
        if isinstance(given, enum.Enum):
            given = given.value
        match given:
            case bool():
                return "true" if given else "false"
            case int():
                return str(given)
            case float():
                return f"'{given!r}'::double precision"
            case decimal.Decimal():
                return f"'{given}'::numeric"
            case datetime.datetime():
                zoned = "timestamptz" if given.tzinfo else "timestamp"
                return f"{literal(given.isoformat())}::{zoned}"
            case datetime.date() | datetime.time():
                return literal(given.isoformat())
            case datetime.timedelta():
                return f"'{given // datetime.timedelta(microseconds=1)} microseconds'::interval"
            case str() | uuid.UUID():
                return literal(str(given))
            case _:
                return None

    def figure(self, asked: Figure, kind: str) -> str:
        name, bare = identifier(asked.column), bare_kind(kind)
        match asked.kind:
            case "min" | "max" | "newest":
                return f"{'min' if asked.kind == 'min' else 'max'}({name})"
            case "mean":
                return f"avg({name})::double precision"
            case _:
                return f"sum({name})" if bare not in INTEGERS else f"sum({name}::numeric)"

    def spread(self, column: str) -> str:
        return f"('x' || encode(substr(sha256(({column})::text::bytea), 1, 4), 'hex'))::bit(32)::bigint"

    def said_of_typed(self, error: BaseException) -> str:
        about = getattr(error, "diag", None)
        return str(getattr(about, "message_primary", None) or type(error).__name__)

    def is_time(self, kind: str) -> bool:
        return bare_kind(kind).startswith(("date", "timestamp"))

    def day(self, column: str, kind: str, zone: str) -> str:
        name, bare = identifier(column), bare_kind(kind)
        if bare == "date":
            return name
        instant = name if bare == "timestamp with time zone" else f"({name} AT TIME ZONE 'UTC')"
        return f"({instant} AT TIME ZONE {literal(zone)})::date"

    def nothing(self, kind: str) -> str:
        return f"NULL::{bare_kind(kind)}"

    def as_text(self, column: str) -> str:
        return f"{identifier(column)}::text"

    def plain(self, column: str, kind: str, characters_max: int | None) -> str:
        name, bare = identifier(column), bare_kind(kind)
        if bare == "text" and characters_max is not None:
            return f"left({name}, {characters_max}) AS {name}"
        if bare in ("uuid", "jsonb") or (bare.endswith("[]")):
            return f"{name}::text AS {name}"
        return f"{name} AS {name}"

    def arrow_type(self, kind: str) -> pa.DataType:
        bare = bare_kind(kind)
        numeric = NUMERIC.fullmatch(bare)
        if numeric:
            return pa.decimal128(int(numeric[1]), int(numeric[2])) if int(numeric[1]) <= 38 else pa.string()
        return ARROW.get(bare, pa.string())

    def decoded(self, value: Any, kind: str) -> Any:
        return value


def _element(field: pa.Field[Any]) -> str | None:
    """The type of a scalar; None for what is none."""
    kind = field.type
    if kind in PLAIN:
        return PLAIN[kind]
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})" if kind.scale >= 0 else None
    if pa.types.is_timestamp(kind) and kind.unit != "ns":
        return f"timestamp {'with' if kind.tz else 'without'} time zone"
    if pa.types.is_time(kind):
        return "time without time zone"
    if pa.types.is_fixed_size_binary(kind):
        uuid_bytes = (field.metadata or {}).get(b"rk:type") == b"uuid" and kind.byte_width == 16
        return "uuid" if uuid_bytes else "bytea"
    return None


def _text(name: str) -> str:
    return f"{identifier(name)}::text"

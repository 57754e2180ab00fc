"""MySQL and MariaDB: one connection in one consistent snapshot, page by page behind the key.

Several connections cannot share a snapshot here without a lock on all tables, which a reader should not need. Values
come as the text that the server writes, so that none of them passes through a float of the driver.
"""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa

from rowkeeper.errors import CursorUnfit
from rowkeeper.resilience.calls import Line
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.resilience.outcomes import Effect
from rowkeeper.sources.database.described import (
    Asked,
    Column,
    Piece,
    Relation,
    Selection,
    Sizes,
    SnapshotLost,
    refuse_double,
    refuse_lookback,
    refuse_missing,
    table_of,
)
from rowkeeper.sources.database.increments import Increment

STEP_SECONDS_MAX = 60.0
SESSION = (
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET time_zone = '+00:00', net_write_timeout = 3600, group_concat_max_len = 1048576",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
NOT_NULL, UNSIGNED, BINARY = 1, 32, 63
DECIMALS, FLOAT, DOUBLE, BIT, TIMESTAMP = (0, 246), 4, 5, 16, 7
INTEGERS, DATES, DATETIMES, TIMES, JSONS = (1, 2, 3, 8, 9, 13), (10, 14), (7, 12), (11,), (245,)
WHOLE_BYTES = 63
VALUE_BYTES = 16
RELATIONS = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 2"
KEYS = (
    "SELECT index_name, column_name, nullable, sub_part FROM information_schema.statistics WHERE non_unique = 0 "
    "AND table_schema = {schema} AND table_name = {table} ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index"
)
Connect = Callable[..., Any]


def identifier(name: str) -> str:
    """A name in SQL."""
    return "`" + name.replace("`", "``") + "`"


def literal(value: str | bytes) -> str:
    """A text or bytes in SQL, whatever the session takes for an escape."""
    return f"x'{value.hex()}'" if isinstance(value, bytes) else f"_utf8mb4 x'{value.encode().hex()}'"


class MySQLSnapshot:
    """Implements `Snapshot`.

    Args:
        connect: makes a connection; takes further words for `pymysql.connect`.
        line: the way by which it is made.
    """

    def __init__(self, connect: Connect, line: Line) -> None:
        self._connect = connect
        self._connection = line.call(self._opened, effect=Effect.READ)

    def _opened(self) -> Any:
        from pymysql.cursors import SSCursor  # noqa: PLC0415 - of an extra

        connection = self._connect(conv={}, cursorclass=SSCursor)
        self._connection = connection
        for statement in SESSION:
            self._rows(statement)
        return connection

    def close(self) -> None:
        """Implements Snapshot."""
        self._connection._force_close()

    @contextlib.contextmanager
    def _asked(self, sql: str) -> Iterator[Any]:
        """A cursor that has asked. After an error it is not closed: PyMySQL would wait for the rest on a dead line."""
        self._connection._read_timeout = seconds_left(STEP_SECONDS_MAX)
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql)
            yield cursor
        except BaseException:
            if cursor._result is not None:
                cursor._result.unbuffered_active = False
            raise
        cursor.close()

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._asked(sql) as cursor:
            return list(cursor.fetchall())

    # ------------------------------------------------------------------ what there is

    def relations(self, pattern: str) -> list[tuple[str, str]]:
        """Implements Snapshot: of the database in the URL."""
        schema, _, name = pattern.rpartition(".")
        return [
            ("", other)
            for one, other in self._rows(RELATIONS)
            if fnmatch.fnmatchcase(other, name) and (not schema or fnmatch.fnmatchcase(one, schema))
        ]

    def describe(self, asked: Asked) -> Relation:
        """Implements Snapshot."""
        source = self._source(asked)
        with self._asked(f"SELECT * FROM {source} LIMIT 0") as cursor:
            fields = list(cursor._result.fields)
            cursor.fetchall()
        refuse_double(asked, [each.name for each in fields])
        columns = {each.name: column(each) for each in fields}
        refuse_missing(asked, columns)
        sure = self._key(asked)
        return Relation(
            asked.name,
            source,
            tuple(columns[name] for name in asked.columns or columns),
            sure or asked.key,
            key_is_sure=bool(sure),
            others=columns,
        )

    @staticmethod
    def _source(asked: Asked) -> str:
        if asked.query:
            return f"({asked.query.strip().rstrip(';')}) AS _rk_query"
        return ".".join(identifier(each) for each in (asked.schema, asked.table) if each)

    def _key(self, asked: Asked) -> tuple[str, ...]:
        if asked.query:
            return ()
        schema = literal(asked.schema) if asked.schema else "DATABASE()"
        keys: dict[str, list[tuple[str, bool]]] = {}
        for index, name, nullable, part in self._rows(KEYS.format(schema=schema, table=literal(asked.table))):
            keys.setdefault(index, []).append((name, not nullable and part is None))
        return next((tuple(name for name, _ in key) for key in keys.values() if all(sure for _, sure in key)), ())

    def any(self, relation: Relation, condition: str) -> bool:
        """Implements Snapshot."""
        return bool(self._rows(f"SELECT 1 FROM {relation.source} WHERE {condition} LIMIT 1"))

    # ------------------------------------------------------------------ increments

    def cursor_facts(self, relation: Relation, increment: Increment) -> tuple[str | None, bool]:
        """Implements Snapshot."""
        name = identifier(increment.column)
        found = relation.column(increment.column)
        assert found is not None
        refuse_lookback(relation, increment)
        if found.meaning in (pa.json_(), pa.binary()):
            raise CursorUnfit(
                f"{increment.column} of {relation.name} ({found.type}) has no order", hint="a time or a number has one"
            )
        rows = self._rows(f"SELECT {name} FROM {relation.source} WHERE {name} IS NOT NULL ORDER BY {name} DESC LIMIT 1")
        return rows[0][0] if rows else None, found.nullable and self.any(relation, f"{name} IS NULL")

    def start(self, relation: Relation, increment: Increment) -> str:
        """Implements Snapshot."""
        del relation
        return str(increment.start)

    def at_least(self, relation: Relation, increment: Increment, value: str, *, less: bool) -> str:
        """Implements Snapshot."""
        found = relation.column(increment.column)
        assert found is not None
        back = ""
        if less and isinstance(increment.lookback, timedelta):
            back = f" - INTERVAL {increment.lookback // timedelta(microseconds=1)} MICROSECOND"
        elif less and increment.lookback:
            back = f" - {increment.lookback}"
        return f"{identifier(increment.column)} >= {_typed(found, value)}{back}"

    def at_most(self, relation: Relation, increment: Increment, value: str) -> str:
        """Implements Snapshot."""
        found = relation.column(increment.column)
        assert found is not None
        return f"{identifier(increment.column)} <= {_typed(found, value)}"

    # ------------------------------------------------------------------ rows

    def pieces(self, relation: Relation, selection: Selection, sizes: Sizes) -> Iterator[Piece]:
        """Implements Snapshot: page by page behind the last row where there is a key, else in one statement."""
        import pymysql  # noqa: PLC0415 - of an extra

        try:
            yield from self._paged(relation, selection, sizes)
        except (pymysql.OperationalError, pymysql.InterfaceError, OSError) as error:
            raise SnapshotLost from error

    def _paged(self, relation: Relation, selection: Selection, sizes: Sizes) -> Iterator[Piece]:
        after: Sequence[Any] | None = None
        while True:
            limit = sizes.rows if selection.keyed else None
            count = 0
            for rows in self._fetched(_page(relation, selection, after, limit), sizes):
                failpoint("database.after_page")
                count += len(rows)
                after = _place(relation, selection, rows[-1])
                yield _piece(relation, selection, rows)
            if limit is None or count < limit:
                return

    def _fetched(self, sql: str, sizes: Sizes) -> Iterator[list[tuple[Any, ...]]]:
        rows: list[tuple[Any, ...]] = []
        size = 0
        with self._asked(sql) as cursor:
            while (row := cursor.fetchone()) is not None:
                rows.append(row)
                size += sum([VALUE_BYTES if each is None else len(each) for each in row])
                if size > sizes.size_bytes or len(rows) >= sizes.rows:
                    yield rows
                    rows, size = [], 0
        if rows:
            yield rows


def _page(relation: Relation, selection: Selection, after: Sequence[Any] | None, limit: int | None) -> str:
    asked = [each.select.replace("{}", identifier(each.name)) for each in relation.columns]
    asked += [identifier(name) for name in selection.order]
    asked += [f"({flag})" for flag in selection.flags]
    asked = [f"{each} AS _rk_{at}" for at, each in enumerate(asked)]  # so that ORDER BY takes none of these
    order = ", ".join(map(identifier, selection.order))
    behind = []
    if after is not None:
        values = []
        for name, value in zip(selection.order, after, strict=True):
            found = relation.column(name)
            assert found is not None
            values.append(_typed(found, value))
        behind = [f"({order}) > ({', '.join(values)})"]
    return (
        f"SELECT {', '.join(asked)} FROM {relation.source}{selection.where(*behind)}"
        f"{f' ORDER BY {order}' if order else ''}{'' if limit is None else f' LIMIT {limit}'}"
    )


def _place(relation: Relation, selection: Selection, row: tuple[Any, ...]) -> tuple[Any, ...]:
    start = len(relation.columns)
    return row[start : start + len(selection.order)]


def _piece(relation: Relation, selection: Selection, rows: list[tuple[Any, ...]]) -> Piece:
    columns = list(zip(*rows, strict=True))
    own = {each.name: _arrow(columns[at], each.arrow) for at, each in enumerate(relation.columns)}
    width = len(relation.columns) + len(selection.order)
    flags = [[each == "1" for each in columns[at]] for at in range(width, width + len(selection.flags))]
    order = [_place(relation, selection, row) for row in rows] if selection.flags else None
    return Piece([row[:width] for row in rows] if flags else rows, table_of(relation, own), order, flags)


def _typed(found: Column, value: str | bytes) -> str:
    """A value in SQL, of the column's type."""
    if isinstance(value, bytes):
        return literal(value)
    if pa.types.is_temporal(found.arrow):
        return f"CAST({literal(value)} AS DATETIME(6))"
    if pa.types.is_integer(found.arrow):
        return str(int(value))
    if pa.types.is_decimal(found.arrow):
        return f"CAST({literal(value)} AS DECIMAL(65, 30))"
    return literal(value)


def column(field: Any) -> Column:
    """How a column is read, by what the server says of it."""
    code, digits = field.type_code, field.length
    made = _of(code, field)
    kind = f"{code}{' unsigned' if field.flags & UNSIGNED else ''}({digits}, {field.scale})"
    return Column(
        field.name,
        kind,
        made.select,
        made.arrow,
        nullable=not field.flags & NOT_NULL,
        meaning=made.meaning or made.arrow,
    )


def _of(code: int, field: Any) -> Column:  # noqa: PLR0911 - a table of kinds
    if code in INTEGERS:
        arrow: pa.DataType = pa.uint64() if field.flags & UNSIGNED and code == 8 else pa.int64()
        is_flag = code == 1 and field.length == 1
        return Column("", "", arrow=arrow, meaning=pa.bool_() if is_flag else arrow)
    if code in DECIMALS:
        precision = field.length - (0 if field.flags & UNSIGNED else 1) - (1 if field.scale else 0)
        arrow = pa.decimal128(precision, field.scale) if precision <= 38 else pa.decimal256(precision, field.scale)
        return Column("", "", arrow=arrow)
    if code == FLOAT:  # the server writes six digits of it; of a double all
        return Column("", "", "({} * 1E0)", arrow=pa.float64())
    if code == DOUBLE:
        return Column("", "", arrow=pa.float64())
    if code == BIT:
        arrow = pa.uint64() if field.length > WHOLE_BYTES else pa.int64()
        return Column("", "", "CAST({} AS UNSIGNED)", arrow=arrow, meaning=pa.bool_() if field.length == 1 else arrow)
    if code in DATES:
        return Column("", "", arrow=pa.date32())
    if code in DATETIMES:
        return Column("", "", arrow=pa.timestamp("us", "UTC") if code == TIMESTAMP else pa.timestamp("us"))
    if code in TIMES:
        return Column("", "", meaning=pa.time64("us"))
    if code in JSONS:
        return Column("", "", meaning=pa.json_())
    return Column("", "", arrow=pa.binary() if field.charsetnr == BINARY else pa.string())


def _arrow(values: Sequence[Any], arrow: pa.DataType) -> Any:
    """Texts of the server as a column; as text where a value does not fit (0000-00-00)."""
    if any(isinstance(each, bytes) for each in values):
        return pa.array(values, pa.binary())
    texts: Any = pa.array(values, pa.string())
    if arrow == pa.binary():
        return texts.cast(pa.binary())
    try:
        if pa.types.is_timestamp(arrow):
            return texts.cast(pa.timestamp("us")).cast(arrow)
        return texts.cast(arrow)
    except pa.ArrowInvalid:
        return texts

"""SQLite: one read transaction on one connection, its rows as they are stored.

A column of SQLite has a type for each value. One that has values of several kinds in a batch is read as what holds all
of them exactly: floats, where its integers are as exact as floats; text, where it has text; bytes, where it has bytes.
"""

from __future__ import annotations

import fnmatch
import re
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from rowkeeper.errors import CursorUnfit, DeadlineExceeded, SourceMissing
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.sources.database.described import (
    Asked,
    Column,
    Piece,
    Relation,
    Selection,
    Sizes,
    refuse_double,
    refuse_missing,
    table_of,
)
from rowkeeper.sources.database.increments import Increment

BUSY_SECONDS = 5.0
STEPS = 50_000  # of SQLite's machine, after each of which the time is looked at
FLOAT_INTEGERS_MAX = 2**53
VALUE_BYTES = 16  # of one that is no text
# By what SQLite itself looks for in a declared type (https://www.sqlite.org/datatype3.html, 3.1), after better names.
MEANINGS: tuple[tuple[str, pa.DataType], ...] = (
    ("BOOL", pa.bool_()),
    ("JSON", pa.json_()),
    ("UUID", pa.uuid()),
    ("DATETIME", pa.timestamp("us")),
    ("TIMESTAMP", pa.timestamp("us")),
    ("DATE", pa.date32()),
    ("TIME", pa.time64("us")),
    ("INT", pa.int64()),
    ("CHAR", pa.string()),
    ("CLOB", pa.string()),
    ("TEXT", pa.string()),
    ("BLOB", pa.binary()),
    ("REAL", pa.float64()),
    ("FLOA", pa.float64()),
    ("DOUB", pa.float64()),
)
DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC)\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)")


def identifier(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


class SQLiteSnapshot:
    """Implements `Snapshot`. Used by one thread at a time.

    Raises SourceMissing if there is no such file, and sqlite3.Error.
    """

    def __init__(self, path: str) -> None:
        if not Path(path).is_file():
            raise SourceMissing(f"sqlite:{path} is not there", hint="a relative path is one from the working folder")
        self._db = sqlite3.connect(
            f"file:{quote(path)}?mode=ro", uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False
        )
        self._db.text_factory = _text
        self._db.set_progress_handler(_no_time_left, STEPS)
        self._db.execute("BEGIN")

    def close(self) -> None:
        """Implements Snapshot."""
        self._db.close()

    def relations(self, pattern: str) -> list[tuple[str, str]]:
        """Implements Snapshot. There is one schema, `main`."""
        schema, _, name = pattern.rpartition(".")
        if not fnmatch.fnmatchcase("main", schema or "main"):
            return []
        found = self._db.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
            "ORDER BY name"
        )
        return [("", each) for (each,) in found.fetchall() if fnmatch.fnmatchcase(each, name)]

    def describe(self, asked: Asked) -> Relation:
        """Implements Snapshot."""
        source = self._source(asked)
        found = self._db.execute(f"SELECT * FROM {source} LIMIT 0").description
        names = [str(each[0]) for each in found]
        refuse_double(asked, names)
        known = {}
        if not asked.query:
            rows = self._db.execute(f"PRAGMA table_xinfo({identifier(asked.table)})").fetchall()
            known = {name: (str(kind).upper(), bool(not_null), pk) for _, name, kind, not_null, _, pk, _ in rows}
        columns = {}
        for name in names:
            kind, not_null, pk = known.get(name, ("", False, 0))
            is_key = pk == 1 and kind == "INTEGER" and sum(each[2] > 0 for each in known.values()) == 1
            columns[name] = Column(name, kind, nullable=not (not_null or is_key), meaning=_meaning(kind))
        refuse_missing(asked, columns)
        primary = [name for name, each in sorted(known.items(), key=lambda item: item[1][2]) if each[2]]
        is_sure = bool(primary) and not any(columns[name].nullable for name in primary)
        key = tuple(primary) if is_sure else asked.key
        read = tuple(columns[name] for name in asked.columns or names)
        return Relation(asked.name, source, read, key, key_is_sure=is_sure, others=columns)

    @staticmethod
    def _source(asked: Asked) -> str:
        if asked.query:
            return f"({asked.query.strip().rstrip(';')})"
        return ".".join(identifier(each) for each in (asked.schema, asked.table) if each)

    def any(self, relation: Relation, condition: str) -> bool:
        """Implements Snapshot."""
        return self._db.execute(f"SELECT 1 FROM {relation.source} WHERE {condition} LIMIT 1").fetchone() is not None

    # ------------------------------------------------------------------ increments

    def cursor_facts(self, relation: Relation, increment: Increment) -> tuple[str | None, bool]:
        """Implements Snapshot. The value is a literal of SQL, which says of which kind it is."""
        name = identifier(increment.column)
        found = self._db.execute(
            f"SELECT {name} FROM {relation.source} WHERE {name} IS NOT NULL ORDER BY {name} DESC LIMIT 1"
        ).fetchone()
        if found is not None and not isinstance(found[0], (int, str, float)):
            raise CursorUnfit(
                f"{increment.column} of {relation.name} has bytes in some row, which have no order for us",
                hint="a number or a text can be a cursor",
            )
        column = relation.column(increment.column)
        has_nulls = (column is None or column.nullable) and self.any(relation, f"{name} IS NULL")
        return None if found is None else _literal(found[0]), has_nulls

    def start(self, relation: Relation, increment: Increment) -> str:
        """Implements Snapshot."""
        del relation
        assert increment.start is not None
        return _literal(increment.start)

    def at_least(self, relation: Relation, increment: Increment, value: str, *, less: bool) -> str:
        """Implements Snapshot."""
        low = _less(value, increment.lookback, f"{increment.column} of {relation.name}") if less else value
        return f"{identifier(increment.column)} >= {low}"

    def at_most(self, relation: Relation, increment: Increment, value: str) -> str:
        """Implements Snapshot."""
        del relation
        return f"{identifier(increment.column)} <= {value}"

    # ------------------------------------------------------------------ rows

    def pieces(self, relation: Relation, selection: Selection, sizes: Sizes) -> Iterator[Piece]:
        """Implements Snapshot."""
        hidden = list(selection.order) if selection.flags else []
        asked = [identifier(name) for name in (*(each.name for each in relation.columns), *hidden)]
        asked += [f"({flag})" for flag in selection.flags]
        order = ", ".join(map(identifier, selection.order))
        ordered = f" ORDER BY {order}" if order else ""
        cursor = self._db.execute(f"SELECT {', '.join(asked)} FROM {relation.source}{selection.where()}{ordered}")
        rows: list[Any] = []
        size = 0
        for row in cursor:
            rows.append(row)
            size += sum([len(each) if each.__class__ in (str, bytes) else VALUE_BYTES for each in row])
            if size > sizes.size_bytes or len(rows) >= sizes.rows:
                yield _piece(relation, rows, len(hidden), len(selection.flags))
                rows, size = [], 0
        if rows:
            yield _piece(relation, rows, len(hidden), len(selection.flags))


def _piece(relation: Relation, rows: Sequence[tuple[Any, ...]], hidden: int, flags: int) -> Piece:
    failpoint("database.after_page")
    columns = list(zip(*rows, strict=True))
    count = len(relation.columns)
    own = {each.name: arrow_of(columns[at]) for at, each in enumerate(relation.columns)}
    order = [row[count : count + hidden] for row in rows] if hidden else None
    marks = [[bool(each) for each in columns[at]] for at in range(count + hidden, count + hidden + flags)]
    raw = [row[: count + hidden] for row in rows] if flags else rows
    return Piece(raw, table_of(relation, own), order, marks)


def arrow_of(values: Sequence[Any]) -> Any:
    """A column of what SQLite has stored, in a type that holds all of it exactly."""
    kinds = {each.__class__ for each in values} - {type(None)}
    if not kinds:
        return pa.nulls(len(values), pa.string())
    if kinds == {int}:
        return pa.array(values, pa.int64())
    if kinds == {float}:
        return pa.array(values, pa.float64())
    if kinds == {int, float} and all(abs(each) <= FLOAT_INTEGERS_MAX for each in values if each.__class__ is int):
        return pa.array([None if each is None else float(each) for each in values], pa.float64())
    if bytes not in kinds:
        texts = [None if each is None else str(each) for each in values]
        try:
            return pa.array(texts, pa.string())
        except UnicodeEncodeError:
            values = texts  # bytes that are no UTF-8, stored as text
    return pa.array([None if each is None else _bytes(each) for each in values], pa.binary())


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


def _no_time_left() -> bool:
    try:
        seconds_left()
    except DeadlineExceeded:
        return True
    return False


def _meaning(kind: str) -> pa.DataType | None:
    found = DECIMAL.search(kind)
    if found and int(found[2]) <= int(found[1]) <= 38:
        return pa.decimal128(int(found[1]), int(found[2]))
    return next((meaning for word, meaning in MEANINGS if word in kind), None)


def _literal(value: int | str | float) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def _less(value: str, lookback: timedelta | int | None, name: str) -> str:
    """A literal so much further back. Times are texts in SQLite, or numbers of seconds."""
    if not lookback:
        return value
    if not value.startswith("'"):
        step = lookback.total_seconds() if isinstance(lookback, timedelta) else lookback
        whole = "." not in value and "e" not in value and float(step).is_integer()
        return str(int(value) - int(step)) if whole else repr(float(value) - step)
    text = value[1:-1]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not isinstance(lookback, timedelta):
        raise CursorUnfit(
            f"lookback={lookback!r} does not fit {name}",
            hint="a timedelta for times in ISO 8601 and for seconds, a number for numbers, none for other texts",
        )
    return f"'{_written_like(moment - lookback, text)}'"


def _written_like(moment: datetime, text: str) -> str:
    """In the same form, so that texts compare as times do; a little earlier where it has no place for all digits."""
    if len(text) == len("2026-11-26"):
        return moment.date().isoformat()
    written = moment.isoformat(sep=text[10], timespec="microseconds" if "." in text else "seconds")
    return written.replace("+00:00", "Z") if text.endswith("Z") else written

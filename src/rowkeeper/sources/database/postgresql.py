"""PostgreSQL: one exported snapshot, seen by several connections, each of which COPYs a range of the key at a time.

ADBC and ConnectorX were tried. ADBC reads infinite times as others, flattens arrays of two dimensions, and cannot be
given a deadline; it takes as much of the processor as COPY in CSV and Arrow's own reader do together. ConnectorX makes
floats of numerics.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from rowkeeper.errors import CursorUnfit, SourceError
from rowkeeper.resilience.calls import Line
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.resilience.outcomes import Effect
from rowkeeper.sources.database.described import (
    HIDDEN,
    Asked,
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
from rowkeeper.sources.database.libpq import Asking
from rowkeeper.sources.database.ordered import Job, in_order
from rowkeeper.sources.database.pgtypes import Type, column, identifier, literal
from rowkeeper.sources.database.telling import code_of, refuse_without_order

if TYPE_CHECKING:
    import psycopg

SESSION = (
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 1; "
    "SET bytea_output = 'hex'; SET standard_conforming_strings = on; SET synchronize_seqscans = off; "
    "SET idle_in_transaction_session_timeout = 0; "
    "SET lock_timeout = '30s'"
)
BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
RANGE_FILL = 0.9  # of a page, so that a range of a dense key is read by one
NO_SUCH_SNAPSHOT = frozenset({"22023", "42704", "55000"})
ENDLESS = frozenset({"infinity", "-infinity", "NaN"})
RELATIONS = (
    "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition "
    "AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%' ORDER BY 1, 2"
)
TYPES = (
    "SELECT t.oid, t.typname, t.typtype, coalesce(e.typname, '') FROM pg_type t LEFT JOIN pg_type e "
    "ON e.oid = CASE WHEN t.typcategory = 'A' THEN t.typelem END WHERE t.oid IN ({oids})"
)
COLUMNS = "SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = {table}::regclass AND attnum > 0"
# Of a table that was never analysed, its size tells how many rows it has at most.
SIZE = (
    "SELECT sum(CASE WHEN c.reltuples > 0 THEN c.reltuples ELSE pg_relation_size(c.oid) / 32 END)::bigint "
    "FROM pg_partition_tree({table}::regclass) p JOIN pg_class c ON c.oid = p.relid WHERE p.isleaf"
)
KEY = (
    "SELECT a.attname FROM (SELECT x.* FROM pg_index x WHERE x.indrelid = {table}::regclass AND x.indisunique "
    "AND x.indisvalid AND x.indimmediate AND x.indpred IS NULL AND x.indexprs IS NULL AND NOT EXISTS (SELECT 1 FROM "
    "unnest(x.indkey) u(attnum) JOIN pg_attribute b ON b.attrelid = x.indrelid AND b.attnum = u.attnum "
    "WHERE NOT b.attnotnull) ORDER BY x.indisprimary DESC, x.indnkeyatts, x.indexrelid LIMIT 1) i, "
    "unnest(i.indkey) WITH ORDINALITY k(attnum, n) JOIN pg_attribute a ON a.attnum = k.attnum "
    "WHERE a.attrelid = i.indrelid AND k.n <= i.indnkeyatts ORDER BY k.n"
)
Connect = Callable[[], "psycopg.Connection[Any]"]


class PostgresSnapshot:
    """Implements `Snapshot`.

    Args:
        connect: makes a connection.
        line: the way that every statement goes.
        parallel: how many connections read at a time.
    """

    def __init__(self, connect: Connect, line: Line, parallel: int) -> None:
        self._connect, self._line, self._parallel = connect, line, parallel
        self._leader = line.call(self._opened, effect=Effect.READ)
        self._exported = self._export()

    def _opened(self) -> Asking:
        asking = Asking(self._connect())
        try:
            asking.result(f"{SESSION}; {BEGIN}")
        except BaseException:
            asking.close()
            raise
        return asking

    def _export(self) -> str | None:
        """The snapshot's name for other connections; None where there is none to be had (some poolers and replicas)."""
        try:
            ((name,),) = self._leader.rows("SELECT pg_export_snapshot()")
        except _errors() as error:
            if code_of(error) is None:
                raise
            self._leader.result(f"ROLLBACK; {BEGIN}")
            return None
        return name

    def close(self) -> None:
        """Implements Snapshot."""
        self._leader.close()

    # ------------------------------------------------------------------ what there is

    def relations(self, pattern: str) -> list[tuple[str, str]]:
        """Implements Snapshot."""
        schema, _, name = pattern.rpartition(".")
        found = [(str(one), str(other)) for one, other in self._leader.rows(RELATIONS)]
        return [
            each
            for each in found
            if fnmatch.fnmatchcase(each[1], name) and fnmatch.fnmatchcase(each[0], schema or "public")
        ]

    def describe(self, asked: Asked) -> Relation:
        """Implements Snapshot."""
        source = self._source(asked)
        described = self._leader.result(f"SELECT * FROM {source} LIMIT 0")  # the lock keeps it as it is now
        names = [described.fname(at).decode() for at in range(described.nfields)]
        refuse_double(asked, names)
        not_null = self._not_null(asked, source)
        types = self._types({described.ftype(at) for at in range(described.nfields)})
        columns = {
            name: column(
                name,
                types[described.ftype(at)],
                described.fmod(at),
                nullable=name not in not_null,
            )
            for at, name in enumerate(names)
        }
        refuse_missing(asked, columns)
        sure = self._key(asked, source)
        return Relation(
            asked.name,
            source,
            tuple(columns[name] for name in asked.columns or names),
            sure or asked.key,
            key_is_sure=bool(sure),
            integer_key=len(sure) == 1 and columns[sure[0]].arrow == pa.int64(),
            rows=self._rows(asked, source),
            others=columns,
        )

    @staticmethod
    def _source(asked: Asked) -> str:
        if asked.query:
            return f"({asked.query.strip().rstrip(';')}) AS _rk_query"
        return ".".join(identifier(each) for each in (asked.schema, asked.table) if each)

    def _types(self, oids: set[int]) -> dict[int, Type]:
        if not oids:
            return {}
        found = self._leader.rows(TYPES.format(oids=", ".join(map(str, sorted(oids)))))
        written = self._leader.rows("SELECT " + ", ".join(f"format_type({oid}, NULL)" for oid in sorted(oids)))[0]
        words = dict(zip(sorted(oids), written, strict=True))
        return {
            int(str(oid)): Type(str(name), str(kind), str(element), str(words[int(str(oid))]))
            for oid, name, kind, element in found
        }

    def _not_null(self, asked: Asked, source: str) -> set[str]:
        if asked.query:
            return set()
        rows = self._leader.rows(COLUMNS.format(table=literal(source)))
        return {str(name) for name, not_null in rows if not_null == "t"}

    def _key(self, asked: Asked, source: str) -> tuple[str, ...]:
        if asked.query:
            return ()
        return tuple(str(name) for (name,) in self._leader.rows(KEY.format(table=literal(source))))

    def _rows(self, asked: Asked, source: str) -> int | None:
        if asked.query:
            return None
        ((rows,),) = self._leader.rows(SIZE.format(table=literal(source)))
        return int(rows) if rows is not None and int(rows) > 0 else None

    # ------------------------------------------------------------------ increments

    def cursor_facts(self, relation: Relation, increment: Increment) -> tuple[str | None, bool]:
        """Implements Snapshot."""
        name = identifier(increment.column)
        found = relation.column(increment.column)
        refuse_lookback(relation, increment)
        try:
            rows = self._leader.rows(
                f"SELECT {name}::text AS {HIDDEN} FROM {relation.source} WHERE {name} IS NOT NULL "
                f"ORDER BY {name} DESC LIMIT 1"
            )
        except _errors() as error:
            refuse_without_order(error, relation.name, increment.column)
            raise
        highest = rows[0][0] if rows else None
        if highest in ENDLESS:
            raise CursorUnfit(
                f"{increment.column} of {relation.name} is {highest} in some row: nothing would ever be newer",
                hint="give a query that leaves such rows out, or puts something else in its place",
            )
        if found is not None and not found.nullable:
            return highest, False
        nulls = self._leader.rows(f"SELECT 1 FROM {relation.source} WHERE {name} IS NULL LIMIT 1")
        return highest, bool(nulls)

    def start(self, relation: Relation, increment: Increment) -> str:
        """Implements Snapshot."""
        del relation
        return str(increment.start)

    def at_least(self, relation: Relation, increment: Increment, value: str, *, less: bool) -> str:
        """Implements Snapshot."""
        back = ""
        if less and isinstance(increment.lookback, timedelta):
            back = f" - interval '{increment.lookback.total_seconds():f} seconds'"
        elif less and increment.lookback:
            back = f" - {increment.lookback}"
        return f"{identifier(increment.column)} >= {self._typed(relation, increment.column, value)}{back}"

    def at_most(self, relation: Relation, increment: Increment, value: str) -> str:
        """Implements Snapshot."""
        return f"{identifier(increment.column)} <= {self._typed(relation, increment.column, value)}"

    def any(self, relation: Relation, condition: str) -> bool:
        """Implements Snapshot."""
        return bool(self._leader.rows(f"SELECT 1 FROM {relation.source} WHERE {condition} LIMIT 1"))

    @staticmethod
    def _typed(relation: Relation, name: str, value: str) -> str:
        found = relation.column(name)
        assert found is not None
        return f"{literal(value)}::{found.type}"

    # ------------------------------------------------------------------ rows

    def pieces(self, relation: Relation, selection: Selection, sizes: Sizes) -> Iterator[Piece]:
        """Implements Snapshot: by ranges of the key where it can be cut, page by page where it is sure, else whole."""
        shape = _Shape(relation, selection)
        if not selection.keyed or self._exported is None:
            yield from self._stream(relation, selection, sizes, shape)
            return

        def reader(bounds: Sequence[str]) -> Job[Piece]:
            return lambda stop: self._pages(relation, selection, sizes, shape, bounds, stop)

        yield from in_order((reader(bounds) for bounds in self._ranges(relation, selection, sizes)), self._parallel)

    def _ranges(self, relation: Relation, selection: Selection, sizes: Sizes) -> Iterator[Sequence[str]]:
        """Conditions on the key that together take in every row, each of them about a page of rows."""
        if not relation.integer_key or not relation.rows or selection.order != relation.key or self._parallel == 1:
            yield ()
            return
        name = identifier(relation.key[0])
        ((low, high),) = self._leader.rows(f"SELECT min({name}), max({name}) FROM {relation.source}{selection.where()}")
        if low is None or high is None:
            return
        first, last = int(low), int(high)
        span = last - first + 1
        width = max(1, int(span / min(relation.rows, span) * sizes.rows * RANGE_FILL))
        for at in range(first, last + 1, width):
            yield (f"{name} >= {at}", f"{name} <= {min(at + width - 1, last)}")

    def _pages(  # noqa: PLR0917 - of one reader
        self,
        relation: Relation,
        selection: Selection,
        sizes: Sizes,
        shape: _Shape,
        bounds: Sequence[str],
        stop: threading.Event,
    ) -> Iterator[Piece]:
        """A range, page by page, each behind the last row of the one before."""
        after: tuple[str, ...] | None = None
        limit = sizes.rows
        with contextlib.closing(_Follower(self._followed, stop)) as follower:
            while True:
                sql = shape.page(self, bounds, after, limit)
                lines, is_large = self._line.call(functools.partial(follower.lines, sql, sizes), effect=Effect.READ)
                failpoint("database.after_page")
                if lines:
                    yield shape.piece(lines)
                if len(lines) < limit and not is_large:
                    return
                after = shape.position(lines[-1])
                limit = max(1, len(lines)) if is_large else min(sizes.rows, limit * 2)

    def _followed(self, stop: threading.Event) -> Asking:
        """Another connection that sees what the first one sees. Raises SnapshotLost if that is not there any more."""
        asking = Asking(self._connect(), stop)
        try:
            asking.result(f"{SESSION}; {BEGIN}; SET TRANSACTION SNAPSHOT {literal(str(self._exported))}")
        except _errors() as error:
            asking.close()
            if code_of(error) in NO_SUCH_SNAPSHOT:
                raise SnapshotLost from error
            raise
        except BaseException:
            asking.close()
            raise
        return asking

    def _stream(self, relation: Relation, selection: Selection, sizes: Sizes, shape: _Shape) -> Iterator[Piece]:
        """All in one statement: what breaks in the middle cannot be gone on with by this snapshot."""
        del relation, selection
        try:
            for lines in self._leader.stream(shape.page(self, (), None, None), sizes):
                failpoint("database.after_page")
                yield shape.piece(lines)
        except OSError as error:
            raise SnapshotLost from error
        except _errors() as error:
            if code_of(error) is None or _is_broken(str(code_of(error))):
                raise SnapshotLost from error
            raise


class _Follower:
    """A connection of one reader, made when it is needed, given up when something went wrong with it."""

    def __init__(self, connect: Callable[[threading.Event], Asking], stop: threading.Event) -> None:
        self._connect, self._stop = connect, stop
        self._asking: Asking | None = None

    def lines(self, sql: str, sizes: Sizes) -> tuple[list[bytes], bool]:
        asking = self._asking or self._connect(self._stop)
        self._asking = None
        try:
            found = asking.lines(sql, sizes)
        except BaseException:
            asking.close()
            raise
        if found[1]:
            asking.close()
        else:
            self._asking = asking
        return found

    def close(self) -> None:
        if self._asking is not None:
            self._asking.close()


class _Shape:
    """How the rows of a selection are asked for, and what a line of them is."""

    def __init__(self, relation: Relation, selection: Selection) -> None:
        self._relation, self._selection = relation, selection
        self._names = [f"_rk_{at}" for at in range(len(relation.columns))]
        self._types: dict[str, pa.DataType] = {
            name: each.arrow for name, each in zip(self._names, relation.columns, strict=True)
        }
        self._hidden = list(selection.order) if self._has_hidden else []
        self._names += [f"{HIDDEN}{at}" for at in range(len(self._hidden))]
        self._types |= {f"{HIDDEN}{at}": pa.string() for at in range(len(self._hidden))}
        self._flags = [f"{HIDDEN}flag_{at}" for at in range(len(selection.flags))]
        self._names += self._flags
        self._types |= {name: pa.bool_() for name in self._flags}

    @property
    def _has_hidden(self) -> bool:
        """Whether the columns of the order have to be asked for once more, as text."""
        read = {each.name for each in self._relation.columns if each.is_plain or each.arrow == pa.int64()}
        return bool(self._selection.flags) or not set(self._selection.order) <= read

    def page(
        self, snapshot: PostgresSnapshot, bounds: Sequence[str], after: Sequence[str] | None, limit: int | None
    ) -> str:
        """The query for some rows behind a place; without a limit, for all of them."""
        order = [identifier(name) for name in self._selection.order]
        asked = [each.select.replace("{}", identifier(each.name)) for each in self._relation.columns]
        asked += [f"{identifier(name)}::text" for name in self._hidden]
        asked += [f"({flag})" for flag in self._selection.flags]
        # Each by a name of ours: ORDER BY would take one of these for the column itself, and sort numbers as texts.
        asked = [f"{each} AS {name}" for each, name in zip(asked, self._names, strict=True)]
        behind = []
        if after is not None:
            values = [
                snapshot._typed(self._relation, name, text)
                for name, text in zip(self._selection.order, after, strict=True)
            ]
            behind = [f"({', '.join(order)}) > ({', '.join(values)})"]
        ordered = f" ORDER BY {', '.join(order)}" if order else ""
        limited = "" if limit is None else f" LIMIT {limit}"
        return (
            f"SELECT {', '.join(asked)} FROM {self._relation.source}"
            f"{self._selection.where(*bounds, *behind)}{ordered}{limited}"
        )

    def position(self, line: bytes) -> tuple[str, ...]:
        """The columns of the order in a row."""
        found = self._parsed(line, dict.fromkeys(self._names, pa.string())).to_pylist()[0]
        if self._hidden:
            return tuple(found[f"{HIDDEN}{at}"] for at in range(len(self._hidden)))
        names = {each.name: name for each, name in zip(self._relation.columns, self._names, strict=False)}
        return tuple(found[names[name]] for name in self._selection.order)

    def piece(self, lines: list[bytes]) -> Piece:
        """Lines of CSV as a table. Raises ColumnUnreadable."""
        read = self._read(b"".join(lines))
        if read.num_rows != len(lines):
            raise SourceError(
                f"{self._relation.name}: the server cuts its rows otherwise than PostgreSQL does",
                hint="connect to PostgreSQL itself, or by pgbouncer",
            )
        own = {each.name: read.column(at) for at, each in enumerate(self._relation.columns)}
        hidden = [read.column(f"{HIDDEN}{at}").to_pylist() for at in range(len(self._hidden))]
        order = list(zip(*hidden, strict=True)) if hidden else None
        flags = [[bool(each) for each in read.column(name).to_pylist()] for name in self._flags]
        # What a flag says of a row depends on when it is asked, so it is no part of the row.
        rows = [line.rsplit(b",", len(flags))[0] for line in lines] if flags else lines
        return Piece(rows, table_of(self._relation, own), order, flags)

    def _read(self, data: bytes) -> pa.Table:
        try:
            return self._parsed(data, self._types)
        except pa.ArrowInvalid:
            pass  # some value does not fit its column's type
        texts = self._parsed(data, dict.fromkeys(self._names, pa.string()) | {name: pa.bool_() for name in self._flags})
        columns = [self._fitted(data, name, texts) for name in self._names]
        return pa.table(columns, names=self._names)

    def _fitted(self, data: bytes, name: str, texts: pa.Table) -> pa.ChunkedArray[Any]:
        """A column as its type if all of its values are of it, as text if not."""
        if self._types[name] == texts.column(name).type:
            return texts.column(name)
        try:
            return self._parsed(
                data, {**dict.fromkeys(self._names, pa.string()), name: self._types[name]}, name
            ).column(0)
        except pa.ArrowInvalid:
            return texts.column(name)

    def _parsed(self, data: bytes, types: dict[str, pa.DataType], only: str | None = None) -> pa.Table:
        return arrow_csv.read_csv(
            io.BytesIO(data),
            arrow_csv.ReadOptions(column_names=self._names, block_size=len(data) + 1, use_threads=False),
            arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(
                column_types=types,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=["t"],
                false_values=["f"],
                include_columns=None if only is None else [only],
            ),
        )


def _is_broken(code: str) -> bool:
    """Whether a SQLSTATE says that the connection, not the statement, is at fault."""
    return code[:2] in ("08", "57", "58") or code == "40003"


def _errors() -> tuple[type[Exception], ...]:
    import psycopg  # noqa: PLC0415 - of an extra, and slow to import

    return (psycopg.Error,)

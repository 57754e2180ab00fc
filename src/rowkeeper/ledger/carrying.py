"""The rows of a ledger carried from PostgreSQL into a SQLite file, and from one into PostgreSQL, value for value.

What is carried is what the databases hold, not what Rowkeeper makes of it: JSON as its text, so that a null of JSON and
one of SQL stay two things. Which types there are PostgreSQL says, as it is strict about them; so a ledger of an older
schema is carried as it is. Rows flow in batches, whatever their number.

Not carried are the numbers by which writers look up a commit (`writers`): they are of connections, not of the past.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    BindParameter,
    Boolean,
    Column,
    Connection,
    DateTime,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    cast,
    column,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    select,
    table,
    text,
)
from sqlalchemy.exc import DataError, IntegrityError

from rowkeeper.errors import LedgerUncarried
from rowkeeper.ledger.database import MIGRATIONS, as_bytes
from rowkeeper.ledger.migrating import upgrade

STREAMED = {"yield_per": 500}
LEFT_OUT = ("alembic_version", "writers")  # the one is written by the migrations
TIME = "%Y-%m-%d %H:%M:%S.%f"  # as SQLAlchemy writes times to SQLite, in UTC
Convert = Callable[[Any], Any]


@contextmanager
def opened_file(path: Path) -> Iterator[Connection]:
    """A SQLite file, in one transaction. Nobody else has it, and whoever made it syncs it: it does not by itself."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"isolation_level": None})
    event.listen(engine, "connect", _tune)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _tune(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous = OFF").close()


def carry_to_file(source: Connection, path: Path, revision: str) -> None:
    """Writes all that a ledger in PostgreSQL holds into a new SQLite file with the same schema.

    Args:
        source: within one transaction, which sees one state.
        revision: of its schema.

    Raises LedgerUncarried, NewerState; what a driver says.
    """
    with opened_file(path) as target:
        upgrade(target, MIGRATIONS, revision)
        there = _tables(source, inspect(target).get_table_names())
        numbered = set(target.scalars(text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")))
        for each in there:
            names = [found["name"] for found in inspect(target).get_columns(each.name)]
            columns = [each.columns[name] for name in names]
            target.execute(delete(_plain(each.name, names)))  # migrations have put some rows there
            rows = source.execute(select(*map(_taken, columns)), execution_options=STREAMED)
            with _told(each):
                for batch in rows.partitions():
                    _put(target, each.name, names, [_to_file(kind) for kind in columns], batch)
            if each.name in numbered:
                _go_on_in_file(target, each.name, _last_given(source, each))


def carry_from_file(path: Path, target: Connection) -> None:
    """Puts all that a SQLite file holds in the place of what the ledger's tables in PostgreSQL hold.

    Args:
        target: within the transaction that does it, and whose schema is the file's.

    Raises LedgerUncarried; what a driver says.
    """
    with opened_file(path) as source:
        there = _tables(target, inspect(source).get_table_names())
        for each in reversed(there):
            target.execute(delete(each))
        for each in there:
            names = [found["name"] for found in inspect(source).get_columns(each.name)]
            columns = [each.columns[name] for name in names]
            by_number = list(each.primary_key)  # a run comes after the run that it takes back
            query = select(_plain(each.name, names)).order_by(*(column(key.name) for key in by_number))
            rows = source.execute(query, execution_options=STREAMED)
            with _told(each):
                for batch in rows.partitions():
                    _insert(target, each, columns, batch)
            _go_on_in_server(target, each, _last_in_file(source, each.name))


def _tables(connection: Connection, names: Sequence[str]) -> list[Table]:
    """Those of PostgreSQL, each after those that it refers to."""
    found = MetaData()
    found.reflect(connection, only=[each for each in names if each not in LEFT_OUT])
    return [each for each in found.sorted_tables if each.name not in LEFT_OUT]


def _plain(name: str, names: Sequence[str]) -> Any:
    """A table of SQLite, whose values are taken as they are."""
    return table(name, *(column(each) for each in names))


def _converted(names: Sequence[str], converts: Sequence[Convert | None], rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows by the names of their values, each value as the other kind of database takes it; a null is one to both."""
    return [
        {
            name: value if convert is None or value is None else convert(value)
            for name, convert, value in zip(names, converts, row, strict=True)
        }
        for row in rows
    ]


# ------------------------------------------------------------------------------------------ to the file


def _taken(of: Column[Any]) -> Any:
    return cast(of, Text).label(of.name) if isinstance(of.type, JSON) else of


def _to_file(of: Column[Any]) -> Convert | None:
    """A value as SQLAlchemy would have written it to SQLite; None where that is as it is."""
    return _time_text if isinstance(of.type, DateTime) else None


def _time_text(value: datetime) -> str:
    return value.astimezone(UTC).strftime(TIME).rjust(len("2026-01-01 00:00:00.000000"), "0")


def _put(
    target: Connection, name: str, names: Sequence[str], converts: Sequence[Convert | None], rows: Sequence[Any]
) -> None:
    target.execute(insert(_plain(name, names)), _converted(names, converts, rows))


def _go_on_in_file(target: Connection, name: str, last: int) -> None:
    """A number that was given once is not given again, also where its row is gone."""
    highest = target.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": name}).scalar() or 0
    target.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": name})
    put = text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)")
    target.execute(put, {"name": name, "last": max(last, highest)})


# ---------------------------------------------------------------------------------------- to the server


def _from_file(of: Column[Any]) -> Convert | None:
    if isinstance(of.type, DateTime):
        return lambda value: datetime.fromisoformat(value).replace(tzinfo=UTC)
    if isinstance(of.type, JSON):  # SQLite keeps text that is but a number as a number
        return lambda value: value if isinstance(value, str) else json.dumps(value)
    if isinstance(of.type, Boolean):
        return bool
    return as_bytes if isinstance(of.type, LargeBinary) else None


def _insert(target: Connection, into: Table, columns: Sequence[Column[Any]], rows: Sequence[Any]) -> None:
    names = [f"v{number}" for number in range(len(columns))]
    values = {of.name: _bound(of, name) for of, name in zip(columns, names, strict=True)}
    converts = [_from_file(of) for of in columns]
    target.execute(insert(into).values(values), _converted(names, converts, rows))


def _bound(of: Column[Any], name: str) -> BindParameter[Any] | Any:
    return cast(bindparam(name, type_=Text), JSON) if isinstance(of.type, JSON) else bindparam(name, type_=of.type)


def _last_in_file(source: Connection, name: str) -> int:
    """The last number that was given in a table that never gives one twice; 0 of the others."""
    if not inspect(source).has_table("sqlite_sequence"):
        return 0
    found = source.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": name}).scalar()
    return int(found or 0)


def _go_on_in_server(target: Connection, of: Table, last: int) -> None:
    """New rows get numbers beyond all that were given, here or there."""
    sequence = _sequence(target, of)
    if sequence is None:
        return
    (number,) = of.primary_key
    highest = target.execute(select(func.coalesce(func.max(number), 0))).scalar_one()
    following = max(int(highest), last, _last_given(target, of)) + 1
    target.exec_driver_sql(f"ALTER SEQUENCE {sequence} RESTART WITH {following}")  # which a rollback takes back


def _last_given(connection: Connection, of: Table) -> int:
    """The last number that PostgreSQL gave in a table; 0 before the first."""
    sequence = _sequence(connection, of)
    if sequence is None:
        return 0
    value, is_called = connection.exec_driver_sql(f"SELECT last_value, is_called FROM {sequence}").one()
    return int(value) if is_called else 0


def _sequence(connection: Connection, of: Table) -> str | None:
    """What numbers the rows of a table; quoted."""
    key = list(of.primary_key)
    if len(key) != 1 or key[0].server_default is None:
        return None
    quoted = connection.dialect.identifier_preparer.quote(of.name)
    found: str | None = connection.execute(select(func.pg_get_serial_sequence(quoted, key[0].name))).scalar()
    return found


@contextmanager
def _told(of: Table) -> Iterator[None]:
    """What cannot be carried is told by its table; never by its value."""
    try:
        yield
    except (DataError, IntegrityError, ValueError, TypeError) as error:
        raise LedgerUncarried(
            f"the ledger's table {of.name} holds what the other kind of database does not take",
            hint="rowkeeper doctor says whether the ledger is sound; where it is, tell us: nothing was changed",
        ) from error

"""The table's layout: made from the contract, and compared with what is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from rowkeeper.destinations.declared import check_laid_out
from rowkeeper.destinations.relational.dialect import HIDDEN, Columns, Cursor, Dialect, is_nullable
from rowkeeper.destinations.relational.names import COMMITS, identifier
from rowkeeper.errors import LayoutError

if TYPE_CHECKING:
    from rowkeeper.destinations.relational.declaring import DatabaseDestination
    from rowkeeper.destinations.relational.session import DatabaseSession

COMMIT_COLUMNS = (
    "target text NOT NULL PRIMARY KEY, ledger text, run bigint, token bigint, fence bigint NOT NULL DEFAULT 0, "
    "fingerprint text"
)


def contract_columns(dialect: Dialect, schema: pa.Schema) -> Columns:
    """Name and type of each column of the contract."""
    return tuple((field.name, dialect.column_type(field)) for field in schema)


def shown(columns: Columns) -> Columns:
    """Without the hidden ones."""
    return tuple((name, kind) for name, kind in columns if name not in HIDDEN)


def create(dialect: Dialect, name: str, columns: Columns) -> str:
    """The CREATE TABLE statement, hidden columns included."""
    lines = [f"{identifier(column)} {kind}" for column, kind in columns]
    lines += [f"{identifier(column)} {definition}" for column, definition in dialect.hidden.items()]
    return f"CREATE TABLE {name} ({', '.join(lines)})"


def prepare(table: DatabaseSession, cursor: Cursor, asked: Columns) -> Columns:
    """Makes the table and its line in the commits if they are not there, and compares the layout of what is.

    A table that is made anew has no commit record, whatever one of the same name had.

    Raises LayoutError with everything that differs.
    """
    dialect, names = table.dialect, table.names
    there = dialect.tables(cursor, names.schema)
    if COMMITS not in there:
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {names.commits} ({COMMIT_COLUMNS})")
    if names.table not in there:
        cursor.execute(create(dialect, names.live, asked))
        cursor.execute(f"DELETE FROM {names.commits} WHERE target = {table.own}")
    if table.destination.key:
        columns = ", ".join(map(identifier, table.destination.key))
        cursor.execute(dialect.index(names, names.table, columns))
    cursor.execute(f"INSERT INTO {names.commits} (target) VALUES ({table.own}) ON CONFLICT DO NOTHING")
    return compare(table, cursor, asked)


def compare(table: DatabaseSession, cursor: Cursor, asked: Columns) -> Columns:
    """The columns that the run will have: those that are there, and new optional ones of the contract."""
    dialect, names = table.dialect, table.names
    found = dialect.columns_of(cursor, names.schema, names.table)
    there, wanted = dict(shown(found)), dict(asked)
    differences = [
        *_column_differences(there, wanted),
        *_unfilled(there, wanted, dialect.optional(cursor, names.schema, names.table)),
    ]
    if len(found) - len(there) < len(HIDDEN):
        differences.append("it was not made by Rowkeeper (it lacks the columns " + ", ".join(HIDDEN) + ")")
    if differences:
        raise LayoutError(
            f"the table {names.table} of {table.statements.place} is laid out differently: " + "; ".join(differences),
            hint="load into another table, or make contract and destination fit this one",
        )
    return shown(found) + tuple(column for column in asked if column[0] not in there)


def _column_differences(there: Mapping[str, str], asked: Mapping[str, str]) -> list[str]:
    found = []
    for name, kind in asked.items():
        if name not in there:
            if not is_nullable(kind):
                found.append(f"it has no column {name}, and {kind} cannot be added to rows that are there")
        elif there[name] != kind:
            found.append(f"the column {name} is {there[name]}, and the contract makes it {kind}")
    return found


def _unfilled(there: Mapping[str, str], asked: Mapping[str, str], optional: frozenset[str]) -> list[str]:
    return [
        f"it has a column {name} {kind} that the contract does not fill"
        for name, kind in there.items()
        if name not in asked and name not in optional
    ]


def check_names(made: DatabaseDestination, columns: Mapping[str, str]) -> None:
    """Every column that the destination names must be one of the contract's, and a key must not be null."""
    named = {"key": made.key, "version": (made.version,) if made.version else ()}
    check_laid_out(named, {name: is_nullable(kind) for name, kind in columns.items()})


def table_columns(table: DatabaseSession, cursor: Cursor, name: str) -> Columns:
    """The columns of a table of the schema, hidden ones left out."""
    return shown(table.dialect.columns_of(cursor, table.names.schema, name))


def exists(table: DatabaseSession, cursor: Cursor, name: str) -> bool:
    """Whether the schema has a table of this name."""
    return name in table.dialect.tables(cursor, table.names.schema)

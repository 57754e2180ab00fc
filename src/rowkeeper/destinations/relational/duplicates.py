"""Duplicates by key: the staged rows that go out, and the rows of the table whose place staged ones take.

The staged rows that go out stay in the staging area; their addresses are in a table of their own, which is worked out
anew by whoever goes on after a crash. The database sorts and joins on its disk, within its own limits of memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rowkeeper.batch import ROW_ID
from rowkeeper.destinations.relational.dialect import RUN, Cursor
from rowkeeper.destinations.relational.names import identifier
from rowkeeper.destinations.relational.staging import PARTITION
from rowkeeper.destinations.relational.statements import number_of, rows_of
from rowkeeper.protocols import Change, DuplicateRow
from rowkeeper.resilience.failpoints import failpoint

if TYPE_CHECKING:
    from rowkeeper.destinations.relational.session import DatabaseSession

PAGE_ROWS = 10_000


def replaces_rows(table: DatabaseSession) -> bool:
    """Whether a staged row takes the place of one of the same key in the table."""
    return table.destination.write_mode == "merge" or table.destination.duplicates == "replace"


def kept(table: DatabaseSession, alias: str = "") -> str:
    """A condition on staged rows: they are no duplicates, as `find_losers` found them.

    Args:
        alias: what the staging area is called in the statement; its own name if empty.
    """
    if not table.destination.key:
        return "1 = 1"
    staged = alias or table.names.staging(table.run, table.token)
    losers = table.names.losers(table.run, table.token)
    return f"NOT EXISTS (SELECT 1 FROM {losers} AS lost WHERE lost.{ROW_ID} = {staged}.{ROW_ID})"


def find_losers(table: DatabaseSession, change: Change) -> int:
    """Fills a table with the addresses of the staged rows that are duplicates; returns how many there are."""
    if not table.destination.key:
        return 0
    losers = table.names.losers(table.run, table.token)

    def work(cursor: Cursor) -> int:
        cursor.execute(f"DROP TABLE IF EXISTS {losers}")
        cursor.execute(f"CREATE TABLE {losers} ({ROW_ID} bigint NOT NULL PRIMARY KEY)")
        table.dialect.index_keys(
            cursor, table.names, table.names.staging(table.run, table.token), table.destination.key
        )
        for query in _loser_queries(table, change):
            cursor.execute(f"INSERT INTO {losers} {query} ON CONFLICT DO NOTHING")
        return number_of(cursor, f"SELECT count(*) FROM {losers}")

    found = table.statements.read(work)
    failpoint("seal.after_losers")
    return found


def _loser_queries(table: DatabaseSession, change: Change) -> Iterator[str]:
    """Queries for the addresses of duplicates: in the run, and against the table."""
    made, name = table.destination, table.names.staging(table.run, table.token)
    key = ", ".join(map(identifier, made.key))
    order = f"{ROW_ID} DESC" if replaces_rows(table) else ROW_ID
    if made.version is not None:
        order = f"{_ordered(table, made.version)} DESC, {order}"
    yield (
        f"SELECT {ROW_ID} FROM (SELECT {ROW_ID}, row_number() OVER (PARTITION BY {key} ORDER BY {order}) AS place "
        f"FROM {name}) AS ranked WHERE place > 1"
    )
    if not change.drop_all:
        yield from _losers_against_table(table, name, change)


def _ordered(table: DatabaseSession, column: str) -> str:
    """A column as something that is ordered as its values are: a decimal in SQLite is text."""
    return table.dialect.ordering(column, dict(table.columns)[column])


def _losers_against_table(table: DatabaseSession, name: str, change: Change) -> Iterator[str]:
    """Staged rows that lose against rows of the table: the former keep their place, or are of a higher version.

    Rows that this very publish takes away (a changed file's former ones) hold no place.
    """
    made = table.destination
    going = former_rows(change, "held.")
    same = " AND ".join(f"held.{identifier(column)} = staged.{identifier(column)}" for column in made.key)
    stays = f" AND NOT {going}" if going else ""
    held = f"SELECT 1 FROM {table.names.live} AS held WHERE {same}{stays}"
    found = f"SELECT staged.{ROW_ID} FROM {name} AS staged WHERE EXISTS ({held}"
    if not replaces_rows(table):
        yield f"{found})"
    elif made.version is not None:
        version, kind = made.version, dict(table.columns)[made.version]
        column = identifier(version)
        yield f"{found} AND {table.dialect.is_less(f'staged.{column}', f'held.{column}', kind)})"


def removals(table: DatabaseSession, change: Change) -> list[str]:
    """The rows of the table that publishing takes away, as conditions of which a row meets one at most."""
    if change.drop_all:
        return ["1 = 1"]
    former = former_rows(change)
    conditions = [former] if former else []
    if replaces_rows(table):
        name, live = table.names.staging(table.run, table.token), table.names.live
        same = " AND ".join(
            f"staged.{identifier(column)} = {live}.{identifier(column)}" for column in table.destination.key
        )
        others = f"NOT {former} AND " if former else ""
        conditions.append(f"{others}EXISTS (SELECT 1 FROM {name} AS staged WHERE {same} AND {kept(table, 'staged')})")
    return conditions


def former_rows(change: Change, prefix: str = "") -> str:
    """The rows of loads that this run replaces, as a condition; empty for none."""
    by_run: dict[int, list[int]] = {}
    for run, ordinal in change.drop_rows:
        by_run.setdefault(run, []).append(ordinal)
    partition = PARTITION.replace(ROW_ID, prefix + ROW_ID)
    found = [
        f"({prefix}{RUN} = {run} AND {partition} IN ({', '.join(map(str, ordinals))}))"
        for run, ordinals in by_run.items()
    ]
    return f"({' OR '.join(found)})" if found else ""


def duplicate_rows(table: DatabaseSession, change: Change) -> Iterator[DuplicateRow]:
    """The duplicates with their values, in order of their addresses; none unless they go to quarantine."""
    if table.destination.duplicates != "quarantine" or not find_losers(table, change):
        return
    columns = table.columns
    names = ", ".join(identifier(name) for name, _ in columns)
    losers = f"SELECT {ROW_ID} FROM {table.names.losers(table.run, table.token)}"
    staging, last = table.names.staging(table.run, table.token), -1
    while True:
        page = table.statements.read(
            lambda cursor, after=last: rows_of(  # type: ignore[misc]
                cursor,
                f"SELECT {ROW_ID}, {names} FROM {staging} WHERE {ROW_ID} > {after} AND {ROW_ID} IN ({losers}) "
                f"ORDER BY {ROW_ID} LIMIT {PAGE_ROWS}",
            )
        )
        for row in page:
            values = {
                name: table.dialect.decoded(each, kind) for (name, kind), each in zip(columns, row[1:], strict=True)
            }
            yield DuplicateRow(int(row[0]), values)
            last = int(row[0])
        if len(page) < PAGE_ROWS:
            return

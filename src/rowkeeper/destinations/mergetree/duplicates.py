"""Duplicates by key: the staged rows that go out, and the rows of the table whose place staged ones take.

Both are worked out a slice of the keys at a time, so that memory does not grow with the run; and into a table of their
own, since a DELETE would work out a subquery anew for each part that it goes through.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rowkeeper.batch import ROW_ID
from rowkeeper.destinations.mergetree.layout import RUN
from rowkeeper.destinations.mergetree.staging import PARTITION, take_rows_out
from rowkeeper.destinations.mergetree.types import identifier
from rowkeeper.protocols import Change, DuplicateRow
from rowkeeper.resilience.failpoints import failpoint

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession

SLICE_ROWS = 4_000_000  # staged keys in memory at a time


def key_of(table: TableSession) -> str:
    """The key as a tuple."""
    return "(" + ", ".join(identifier(name) for name in table.destination.key) + ")"


def replaces_rows(table: TableSession) -> bool:
    """Whether a staged row takes the place of one of the same key in the table."""
    return table.destination.write_mode == "merge" or table.destination.duplicates == "replace"


def slices(table: TableSession) -> list[str]:
    """Conditions that part the staged rows by their keys; a key is in one slice only, in whatever table."""
    count = math.ceil(table.rows(table.names.staging(table.run, table.token)) / SLICE_ROWS)
    if count <= 1:
        return ["1"]
    return [f"cityHash64({key_of(table)}) % {count} = {number}" for number in range(count)]


def take_out(table: TableSession, change: Change) -> bool:
    """Takes the duplicates out of the staging area; returns whether there were any.

    The area as it was is kept beside it (hard links) until the publish: which rows are duplicates depends on the
    table, and has to be found anew by whoever goes on after a crash.
    """
    if not table.destination.key or not find_losers(table, change):
        return False
    losers, staging = table.names.losers(table.run, table.token), table.names.staging(table.run, table.token)
    uncut = table.names.uncut(table.run, table.token)
    table.statements.do(table.ddl.drop(uncut))
    table.clone(uncut, staging)
    failpoint("seal.after_uncut")
    take_rows_out(table, f"{ROW_ID} IN (SELECT {ROW_ID} FROM {losers})")
    failpoint("seal.after_duplicates")
    table.statements.do(table.ddl.drop(losers))
    return True


def duplicate_rows(table: TableSession, change: Change) -> Iterator[DuplicateRow]:
    """The duplicates with their values, in order of their addresses; none unless they go to quarantine."""
    if table.destination.duplicates != "quarantine" or not find_losers(table, change):
        return
    names = [name for name, _ in table.columns]
    columns = ", ".join(identifier(name) for name in names)
    for row in table.statements.ask(
        f"SELECT {ROW_ID}, {columns} FROM {table.names.staging(table.run, table.token)} "
        f"WHERE {ROW_ID} IN (SELECT {ROW_ID} FROM {table.names.losers(table.run, table.token)}) ORDER BY {ROW_ID}"
    ):
        yield DuplicateRow(int(row[0]), dict(zip(names, row[1:], strict=True)))


def find_losers(table: TableSession, change: Change) -> int:
    """Fills a table with the addresses of the staged rows that are duplicates; returns how many there are."""
    losers = table.names.losers(table.run, table.token)
    table.statements.do(table.ddl.drop(losers))
    settings = f" SETTINGS {', '.join(table.ddl.layout.settings)}" if table.ddl.layout.settings else ""
    columns = f"({ROW_ID} UInt64) ENGINE = {table.ddl.layout.engine} ORDER BY {ROW_ID}"
    table.statements.do(table.ddl.create(losers, columns + settings))
    for piece in slices(table):
        for query in _loser_queries(table, change, piece):
            table.statements.do(f"INSERT INTO {losers} {query}")
    return table.rows(losers)


def _loser_queries(table: TableSession, change: Change, piece: str) -> Iterator[str]:
    """Queries for the addresses of duplicates: in the run, and against the table."""
    made = table.destination
    name, key = table.names.staging(table.run, table.token), key_of(table)
    twice = f"FROM {name} WHERE {piece} GROUP BY {key} HAVING count() > 1"
    if made.version is not None:
        winner = f"argMax({ROW_ID}, ({identifier(made.version)}, {ROW_ID}))"
    else:
        winner = f"max({ROW_ID})" if replaces_rows(table) else f"min({ROW_ID})"
    yield (
        f"SELECT {ROW_ID} FROM {name} WHERE {piece} AND {key} IN (SELECT {key} {twice}) "
        f"AND {ROW_ID} NOT IN (SELECT {winner} {twice})"
    )
    against = _losers_against_table(table, name, key, change, piece)
    if against:
        yield against


def _losers_against_table(table: TableSession, name: str, key: str, change: Change, piece: str) -> str | None:
    """Staged rows that lose against rows of the table: the former keep their place, or are of a higher version.

    Rows that this very publish takes away (a changed file's former ones) hold no place.
    """
    made = table.destination
    if change.drop_all:
        return None  # nothing of the table stays
    going = former_rows(change)
    known = f"FROM {table.names.live} WHERE {piece} AND {key} IN (SELECT {key} FROM {name} WHERE {piece})" + (
        f" AND NOT {going}" if going else ""
    )
    if not replaces_rows(table):
        return f"SELECT {ROW_ID} FROM {name} WHERE {piece} AND {key} IN (SELECT {key} {known})"
    if made.version is None:
        return None
    version = identifier(made.version)
    columns = ", ".join(identifier(column) for column in made.key)
    return (
        f"SELECT {ROW_ID} FROM (SELECT {columns}, {version}, {ROW_ID} FROM {name} WHERE {piece}) AS staged INNER JOIN "
        f"(SELECT {columns}, max({version}) AS newest {known} GROUP BY {columns}) AS held USING ({columns}) "
        f"WHERE staged.{version} < held.newest"
    )


def removals(table: TableSession, change: Change) -> list[str]:
    """The rows of the table that publishing takes away, as conditions of which a row meets one at most."""
    if change.drop_all:
        return ["1"]
    former = former_rows(change)
    conditions = [former] if former else []
    if replaces_rows(table):
        key, name = key_of(table), table.names.staging(table.run, table.token)
        others = f"NOT {former} AND " if former else ""
        conditions += [
            f"{others}{piece} AND {key} IN (SELECT {key} FROM {name} WHERE {piece})" for piece in slices(table)
        ]
    return conditions


def former_rows(change: Change) -> str:
    """The rows of loads that this run replaces, as a condition; empty for none."""
    pairs = ", ".join(f"({run}, {ordinal})" for run, ordinal in change.drop_rows)
    return f"(({RUN}, {PARTITION}) IN ({pairs}))" if pairs else ""

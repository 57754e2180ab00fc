"""What the table holds against what the books say, run by run; and rows looked up by what is in their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rowkeeper.batch import ROW_ID, Fingerprint
from rowkeeper.destinations.comparing import compared, judged
from rowkeeper.destinations.relational import layout
from rowkeeper.destinations.relational.dialect import HASH, RUN, Cursor
from rowkeeper.destinations.relational.names import identifier, literal
from rowkeeper.destinations.relational.sealing import fingerprint, hash_sum
from rowkeeper.destinations.relational.statements import number_of, rows_of
from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import did_you_mean
from rowkeeper.protocols import Health, RunRows

if TYPE_CHECKING:
    from rowkeeper.destinations.relational.session import DatabaseSession

NOW = "_rk_now"


def verify(table: DatabaseSession, expected: Mapping[int, Fingerprint]) -> list[RunRows]:
    """Reads every row, hashes it anew, and adds up by run, in one statement.

    A row is *changed* if its values no longer have the hash that was stored with it; *added* if its run is not in the
    books or its address is there twice; *missing* is what the books hold beyond that.
    """
    return table.statements.read(lambda cursor: _verified(table, cursor, expected))


def _verified(table: DatabaseSession, cursor: Cursor, expected: Mapping[int, Fingerprint]) -> list[RunRows]:
    names = table.names
    columns = layout.table_columns(table, cursor, names.table)
    if not columns:
        return [judged(run, held, Fingerprint()) for run, held in expected.items()]
    hashed = f"SELECT {RUN}, {HASH}, {table.dialect.row_hash(columns)} AS {NOW} FROM {names.live}"
    rows = rows_of(
        cursor,
        f"SELECT {RUN}, count(*), {hash_sum(table, NOW)}, sum(CASE WHEN {HASH} <> {NOW} THEN 1 ELSE 0 END) "
        f"FROM ({hashed}) AS hashed GROUP BY {RUN}",
    )
    found = {int(run): (fingerprint(count, total), int(changed)) for run, count, total, changed in rows}
    return compared(
        expected,
        found,
        lambda run: number_of(
            cursor, f"SELECT count(*) - count(DISTINCT {ROW_ID}) FROM {names.live} WHERE {RUN} = {run}"
        ),
    )


def look_up(
    table: DatabaseSession, columns: Sequence[str], where: Mapping[str, str], limit: int
) -> Sequence[Sequence[Any]]:
    """Columns of the rows that have these values in others, as the database writes them as text."""

    def work(cursor: Cursor) -> list[Any]:
        there = layout.table_columns(table, cursor, table.names.table)
        names = [name for name, _ in there]
        for name in (*columns, *where):
            if name not in names:
                raise DeclarationError(
                    f"the table {table.names.table} has no column {name}",
                    hint=did_you_mean(name, names, f"it has {', '.join(names)}"),
                )
        conditions = [
            f"{table.dialect.as_text(name)} = {literal(value)}" for name, value in where.items() if "\0" not in value
        ]
        if len(conditions) < len(where):
            return []  # no text here has a NUL
        condition = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        wanted = ", ".join(map(identifier, columns))
        rows = rows_of(cursor, f"SELECT {wanted} FROM {table.names.live}{condition} LIMIT {limit:d}")
        kinds = [dict(there)[name] for name in columns]
        return [[table.dialect.decoded(each, kind) for each, kind in zip(row, kinds, strict=True)] for row in rows]

    return table.statements.read(work)


def health(table: DatabaseSession, cursor: Cursor) -> Health:
    """Whether the table is there, and how many rows it has."""
    if not layout.exists(table, cursor, table.names.table):
        return Health("the table is gone", ("the table is gone",), "restore it from a backup of the database")
    rows = number_of(cursor, f"SELECT count(*) FROM {table.names.live}")
    beside = len(table.companions(cursor, "staging", "fenced"))
    return Health(f"{rows:,} rows" + (f"; {beside} staging areas beside it" if beside else ""))

"""How new the rows of a table are, asked of the table as it is. Everything here only reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from rowkeeper.destinations.relational import layout
from rowkeeper.destinations.relational.dialect import RUN, Columns, bare_kind
from rowkeeper.destinations.relational.names import identifier
from rowkeeper.destinations.relational.statements import rows_of
from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import did_you_mean
from rowkeeper.protocols import Newest

if TYPE_CHECKING:
    from rowkeeper.destinations.relational.session import DatabaseSession


def newest(table: DatabaseSession, column: str | None, by: str | None, until: datetime, keys_max: int) -> list[Newest]:
    """One pass over the columns. Raises DatabaseError; DeclarationError if there is no such column."""
    kinds = _check(table, column, by)
    parts = ["count(*)", f"max({RUN})"]
    kind = ""
    if column is not None:
        name, kind = identifier(column), kinds[column]
        end = table.dialect.value(_as_kept(until, kind), kind)
        parts += [
            f"max(CASE WHEN {name} <= {end} THEN {name} END)",
            f"sum(CASE WHEN {name} > {end} THEN 1 ELSE 0 END)",
            f"min(CASE WHEN {name} > {end} THEN {name} END)",
        ]
    if by is None:
        sql = f"SELECT '', {', '.join(parts)} FROM {table.names.live}"
    else:
        key = table.dialect.as_text(by)
        sql = (
            f"SELECT {key}, {', '.join(parts)} FROM {table.names.live} WHERE {identifier(by)} IS NOT NULL "
            f"GROUP BY {key} ORDER BY {key} LIMIT {keys_max + 1:d}"
        )
    found = table.statements.read(lambda cursor: rows_of(cursor, sql))
    return [_newest(table, kind, row) for row in found if int(row[1])]


def _newest(table: DatabaseSession, kind: str, row: Sequence[Any]) -> Newest:
    key, _, run, at, ahead, first_ahead = (*row, None, 0, None)[:6]
    moments = [_moment(table.dialect.decoded(each, kind)) for each in (at, first_ahead)]
    return Newest(str(key), moments[0], int(run), int(ahead or 0), moments[1])


def days(table: DatabaseSession, column: str, since: date, zone: str) -> frozenset[date]:
    """One pass over the column. Raises as `newest`."""
    kinds = _check(table, column, None)
    day = table.dialect.day(column, kinds[column], zone)
    sql = f"SELECT DISTINCT {day} FROM {table.names.live} WHERE {identifier(column)} IS NOT NULL"
    found = table.statements.read(lambda cursor: rows_of(cursor, sql))
    every = (each if isinstance(each, date) else date.fromisoformat(each) for (each,) in found)
    return frozenset(each for each in every if each >= since)


def _as_kept(moment: datetime, kind: str) -> date:
    """An instant as a column of this type has it."""
    if is_date(kind):
        return moment.astimezone(UTC).date()
    return moment if is_zoned(kind) else moment.astimezone(UTC).replace(tzinfo=None)


def is_date(kind: str) -> bool:
    """Whether a column of dates or times has days alone."""
    return bare_kind(kind) in ("date", "DATE_TEXT")


def is_zoned(kind: str) -> bool:
    """Whether the times of a column are instants."""
    return bare_kind(kind) in ("timestamp with time zone", "TIMESTAMP_UTC_TEXT")


def _moment(value: date | None) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _check(table: DatabaseSession, column: str | None, by: str | None) -> dict[str, str]:
    columns: Columns = table.statements.read(lambda cursor: layout.table_columns(table, cursor, table.names.table))
    kinds = dict(columns)
    for name in (column, by):
        if name is not None and name not in kinds:
            raise DeclarationError(
                f"the table {table.names.table} has no column {name}",
                hint=did_you_mean(name, kinds, f"it has {', '.join(kinds)}"),
            )
    if column is not None and not table.dialect.is_time(kinds[column]):
        raise DeclarationError(
            f"the column {column} is {kinds[column]}, and no date or time", hint="name the events' time"
        )
    return kinds

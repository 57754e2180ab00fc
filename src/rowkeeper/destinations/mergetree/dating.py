"""How new the rows of a table are, asked of the table as it is. Everything here only reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rowkeeper.destinations.mergetree.asking import bare_type
from rowkeeper.destinations.mergetree.layout import RUN, columns_of
from rowkeeper.destinations.mergetree.types import identifier, literal
from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import did_you_mean
from rowkeeper.protocols import Newest

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def newest(table: TableSession, column: str | None, by: str | None, until: datetime, keys_max: int) -> list[Newest]:
    """One pass over the columns. Raises DatabaseError; DeclarationError if there is no such column."""
    _check(table, column, by)
    parts = ["count()", f"max({RUN})"]
    if column is not None:
        moment, end = (
            f"toUnixTimestamp64Micro(toDateTime64({identifier(column)}, 6, 'UTC'))",
            (until - EPOCH) // MICROSECOND,
        )
        parts += [
            f"maxOrNullIf({moment}, {moment} <= {end})",
            f"countIf({moment} > {end})",
            f"minOrNullIf({moment}, {moment} > {end})",
        ]
    if by is None:
        rows = table.statements.ask(f"SELECT {', '.join(parts)} FROM {table.names.live}")
        return [_newest("", row) for row in rows if int(row[0])]
    name = identifier(by)
    rows = table.statements.ask(
        f"SELECT toString({name}) AS _rk_key, {', '.join(parts)} FROM {table.names.live} "
        f"WHERE isNotNull({name}) GROUP BY _rk_key ORDER BY _rk_key LIMIT {keys_max + 1:d}"
    )
    return [_newest(str(key), row) for key, *row in rows]


def _newest(key: str, row: Sequence[Any]) -> Newest:
    _, run, at, ahead, first_ahead = (*row, None, 0, None)[:5]
    return Newest(key, _moment(at), int(run), int(ahead), _moment(first_ahead))


def _moment(micros: Any) -> datetime | None:
    return None if micros is None else EPOCH + int(micros) * MICROSECOND


def days(table: TableSession, column: str, since: date, zone: str) -> frozenset[date]:
    """One pass over the column. Raises as `newest`."""
    kinds = _check(table, column, None)
    is_date = bare_type(kinds[column]) in ("Date", "Date32")
    day = identifier(column) if is_date else f"toDate32({identifier(column)}, {literal(zone)})"
    rows: Sequence[Sequence[Any]] = table.statements.ask(
        f"SELECT DISTINCT toString({day}) FROM {table.names.live} "
        f"WHERE isNotNull({identifier(column)}) AND {day} >= toDate32({literal(since.isoformat())})"
    )
    return frozenset(date.fromisoformat(str(each)) for (each,) in rows)


def _check(table: TableSession, column: str | None, by: str | None) -> dict[str, str]:
    kinds = dict(columns_of(table.statements, table.names.database, table.names.table))
    for name in (column, by):
        if name is not None and name not in kinds:
            raise DeclarationError(
                f"the table {table.names.table} has no column {name}",
                hint=did_you_mean(name, kinds, f"it has {', '.join(kinds)}"),
            )
    if column is not None and not bare_type(kinds[column]).startswith("Date"):
        raise DeclarationError(
            f"the column {column} is {kinds[column]}, and no date or time", hint="name the events' time"
        )
    return kinds

"""Rows of the table looked up by what is in their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rowkeeper.destinations.mergetree.layout import columns_of
from rowkeeper.destinations.mergetree.types import identifier, literal
from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import did_you_mean

if TYPE_CHECKING:
    from rowkeeper.destinations.mergetree.session import TableSession


def look_up(
    table: TableSession, columns: Sequence[str], where: Mapping[str, str], limit: int
) -> Sequence[Sequence[Any]]:
    """Columns of the rows that have these values in others, as the engine writes them as text."""
    there = [name for name, _ in columns_of(table.statements, table.names.database, table.names.table)]
    for name in (*columns, *where):
        if name not in there:
            raise DeclarationError(
                f"the table {table.names.table} has no column {name}",
                hint=did_you_mean(name, there, f"it has {', '.join(there)}"),
            )
    conditions = [f"toString({identifier(name)}) = {literal(value)}" for name, value in where.items()]
    condition = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    wanted = ", ".join(identifier(name) for name in columns)
    return table.statements.ask(f"SELECT {wanted} FROM {table.names.live}{condition} LIMIT {limit:d}")

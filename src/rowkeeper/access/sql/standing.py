"""The subquery that stands in a table's place."""

from __future__ import annotations

from collections.abc import Iterator

from rowkeeper.access.sql.dialect import exp, text_of
from rowkeeper.access.sql.parsing import condition_of
from rowkeeper.access.sql.seen import ROWS_ALL, ColumnType, SeenTable, mask_of, quoted, without_dictionary


def subquery(seen: SeenTable, alias: str) -> tuple[str, frozenset[str]]:
    """The SQL in a table's place, and the columns that its row filter looks at."""
    table = f"{quoted(seen.database)}.{quoted(seen.table)} AS {quoted(alias)}"
    if not (seen.view.row_filter or seen.order_tells):
        return f"SELECT {shown(seen, alias, plain=False)} FROM {table}", frozenset()
    where, looked_at = condition(seen, alias)
    columns = ", ".join(f"{quoted(alias)}.{quoted(each.name)} AS {quoted(each.name)}" for each in seen.clear)
    inner = f"SELECT {columns or '1 AS `_rk_one`'} FROM {table}{where}"
    inner += " ORDER BY rand64()" * seen.order_tells + f" LIMIT {ROWS_ALL}"
    outer = f"{alias}_f"
    return f"SELECT {shown(seen, outer, plain=True)} FROM ({inner}) AS {quoted(outer)}", looked_at


def shown(seen: SeenTable, source: str, *, plain: bool) -> str:
    """What is selected: each visible column, in the table's order.

    Args:
        plain: dictionaries are left behind, as they hold values of rows that were filtered out.
    """
    clear = {column.name for column in seen.clear}
    return ", ".join(
        f"{_value(column, source, plain) if column.name in clear else mask_of(column.type)} AS {quoted(column.name)}"
        for column in seen.visible
    )


def _value(column: ColumnType, source: str, plain: bool) -> str:
    value = f"{quoted(source)}.{quoted(column.name)}"
    kind = without_dictionary(column.type)
    return f"CAST({value} AS {kind})" if plain and kind != column.type else value


def condition(seen: SeenTable, alias: str | None) -> tuple[str, frozenset[str]]:
    """The row filter as a WHERE, each of its columns taken from the table itself, and the names of those columns."""
    if not seen.view.row_filter:
        return "", frozenset()
    tree = condition_of(seen.view.row_filter)
    names = set()
    for column in tree.find_all(exp.Column):
        if not any(isinstance(at, exp.Lambda) and column.name in _arguments(at) for at in _above(column)):
            names.add(column.name)
            column.set("table", exp.to_identifier(alias, quoted=True) if alias else None)
    return f" WHERE ({text_of(tree)})", frozenset(names)


def _above(node: exp.Expr) -> Iterator[exp.Expr]:
    at = node.parent
    while at is not None:
        yield at
        at = at.parent


def _arguments(node: exp.Lambda) -> frozenset[str]:
    return frozenset(argument.name for argument in node.expressions)

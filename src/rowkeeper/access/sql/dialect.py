"""ClickHouse's SQL as sqlglot knows it, without its knowledge of functions: a call stays the call that was typed.

sqlglot would read `toMonday(x)` as a truncation to weeks and write it in other words. Here each call is its name and
its arguments, so that what is written means what was read, and the list of functions sees the typed name.
"""

from __future__ import annotations

from typing import Any, ClassVar

from rowkeeper.errors import QueryRefused

try:
    import sqlglot
    from sqlglot import exp
    from sqlglot.dialects.clickhouse import ClickHouse
    from sqlglot.parsers.clickhouse import ClickHouseParser
except ModuleNotFoundError as missing:
    raise QueryRefused(
        "SQL of others than the owner is parsed by a library that is not installed",
        hint="pip install 'rowkeeper[access]'",
    ) from missing

__all__ = ["Typed", "exp", "sqlglot", "text_of"]


class Typed(ClickHouse):
    """Calls of functions are kept as they were typed."""

    class Parser(ClickHouseParser):
        """Knows `CAST(x AS T)` and `CASE`, which are no calls in their form."""

        FUNCTIONS: ClassVar[Any] = {}
        FUNCTION_PARSERS: ClassVar[Any] = {"CAST": ClickHouseParser.FUNCTION_PARSERS["CAST"]}
        NO_PAREN_FUNCTIONS: ClassVar[Any] = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar[Any] = {"CASE": ClickHouseParser.NO_PAREN_FUNCTION_PARSERS["CASE"]}

        @classmethod
        def _resolve_clickhouse_agg(cls, name: str) -> tuple[str, tuple[str, ...]]:
            """Each name may have parameters before its arguments: `quantile(0.5)(x)`."""
            return name, ()


def text_of(tree: exp.Expr) -> str:
    """The SQL of a tree, each name quoted, without comments."""
    return tree.sql(dialect=Typed, identify=True, comments=False)

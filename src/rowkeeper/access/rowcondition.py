"""The condition of a row filter: read whole before it is kept, so that it cannot be anything else in a query."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rowkeeper.errors import ConfigurationError, GrantInvalid

MEND = """one condition on the table's own columns, such as "region = 'EU'\""""


def row_condition(text: str) -> str:
    """The condition as it is kept: without comments, in one way of writing.

    It is one expression, of the table's own columns: no subquery, no second statement, no part left open.

    Raises GrantInvalid; ConfigurationError if the library for SQL is not installed.
    """
    sql = _sqlglot()
    try:
        trees = sql.parse(text, dialect="clickhouse")
    except sql.errors.SqlglotError as error:
        raise GrantInvalid("the condition of the row filter is no SQL", hint=MEND) from error
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, sql.exp.Condition) or tree.find(sql.exp.Query, sql.exp.Command, sql.exp.DDL):
        raise GrantInvalid("the row filter is not one condition", hint=MEND)
    if not tree.find(sql.exp.Column):
        raise GrantInvalid("the condition of the row filter looks at no column", hint=MEND)
    return str(tree.sql(dialect="clickhouse", comments=False))


def _sqlglot() -> Any:
    try:
        return import_module("sqlglot")
    except ImportError as error:
        raise ConfigurationError(
            "row filters need a library for SQL that is not installed", hint="pip install 'rowkeeper[access]'"
        ) from error

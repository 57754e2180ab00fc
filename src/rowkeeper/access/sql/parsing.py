"""From a text, as the engine's parser has written it anew, to a tree of which each part is known."""

from __future__ import annotations

import logging
import re

from rowkeeper.access.sql.allowed import check
from rowkeeper.access.sql.dialect import Typed, exp, sqlglot
from rowkeeper.errors import QueryRefused

BEGINNING = re.compile(r"[(\s]*(SELECT|WITH)\b", re.IGNORECASE)
TEXT_CHARACTERS_MAX = 100_000
DEPTH_MAX = 200
logging.getLogger("sqlglot").disabled = True  # its warnings quote SQL


def parse(canonical: str) -> exp.Query:
    """The tree of one SELECT.

    Args:
        canonical: as ClickHouse's `formatQuerySingleLine` gives it.

    Raises QueryRefused for what is no SELECT, or has something in it that is not known.
    """
    if len(canonical) > TEXT_CHARACTERS_MAX:
        raise QueryRefused(
            f"the SQL has more than {TEXT_CHARACTERS_MAX:,} characters", hint="ask for it in several queries"
        )
    _check_depth(canonical)
    if not BEGINNING.match(canonical):  # sqlglot would write others to its log, with all that is in them
        raise QueryRefused("only SELECT can be governed", hint='rowkeeper query "SELECT * FROM TABLE LIMIT 5"')
    try:
        statements = sqlglot.parse(canonical, read=Typed)
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        # Its words quote the SQL, with signs for a terminal.
        raise QueryRefused(
            "the SQL has a form that only the engine understands, and so cannot be shown to be safe",
            hint="docs/queries.md lists what governed SQL may have; two LIMIT clauses, say, need a subquery",
        ) from error
    if len(statements) != 1:
        raise QueryRefused("more than one statement was given", hint="give them one by one")
    tree = statements[0]
    if not isinstance(tree, (exp.Select, exp.SetOperation, exp.Subquery)):
        raise QueryRefused("only SELECT can be governed", hint='rowkeeper query "SELECT * FROM TABLE LIMIT 5"')
    check(tree)
    return tree


def condition_of(canonical: str) -> exp.Expr:
    """The tree of a row filter.

    Args:
        canonical: `SELECT` and the condition, as ClickHouse's `formatQuerySingleLine` gives it.

    Raises QueryRefused for what is no condition on the table's own columns.
    """
    try:
        tree = sqlglot.parse_one(canonical, read=Typed)
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise filter_unusable() from error
    parts = {part for part, value in tree.args.items() if value}
    if not isinstance(tree, exp.Select) or parts != {"expressions"} or len(tree.expressions) != 1:
        raise filter_unusable()
    condition: exp.Expr = tree.expressions[0]
    if condition.find(exp.Query, exp.Table, exp.Star, exp.Alias) is not None:
        raise filter_unusable()
    try:
        check(condition)
    except QueryRefused as refusal:
        raise filter_unusable() from refusal
    return condition


def filter_unusable() -> QueryRefused:
    """The error for a row filter that is none."""
    return QueryRefused(
        "the row filter of a policy is no condition on the table's own columns, so nothing is read",
        hint="who administers the installation must mend it: docs/queries.md",
    )


def _check_depth(text: str) -> None:
    """Brackets within brackets: a tree too deep would end in an error of Python's own."""
    depth = deepest = 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        deepest = max(deepest, depth)
    if deepest > DEPTH_MAX:
        raise QueryRefused(f"the SQL is nested deeper than {DEPTH_MAX} times", hint="ask for it in simpler words")

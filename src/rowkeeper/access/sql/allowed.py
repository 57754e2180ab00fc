"""What a tree may consist of: kinds of nodes, and of each the parts that it may have. All else is refused.

That a part is missing here is how a clause is refused: PREWHERE would see values before they are masked, SETTINGS and
FORMAT change what the engine does, FINAL and SAMPLE belong to a table and not to a subquery in its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rowkeeper.access.sql.dialect import exp
from rowkeeper.access.sql.functions import is_allowed
from rowkeeper.errors import QueryRefused

_TWO = frozenset({"this", "expression"})
_ONE = frozenset({"this"})
_MANY = frozenset({"expressions"})
_SELECT = frozenset(
    {"expressions", "from_", "joins", "where", "group", "having", "qualify", "order", "limit", "offset", "distinct"}
    | {"windows", "with_"}
)
_SET = _TWO | {"distinct", "by_name", "with_", "order", "limit", "offset"}

NODES: Mapping[type[exp.Expr], frozenset[str]] = {
    exp.Select: _SELECT,
    exp.Union: _SET,
    exp.Intersect: _SET,
    exp.Except: _SET,
    exp.Subquery: _ONE | {"alias", "with_"},
    exp.With: _MANY,
    exp.CTE: _ONE | {"alias", "scalar"},
    exp.TableAlias: _ONE,
    exp.From: _ONE,
    exp.Table: frozenset({"this", "db", "alias"}),
    exp.Join: frozenset({"this", "expressions", "kind", "side", "on", "using"}),
    exp.Where: _ONE,
    exp.Having: _ONE,
    exp.Qualify: _ONE,
    exp.Group: frozenset({"expressions", "totals", "rollup", "cube", "grouping_sets"}),
    exp.Rollup: _MANY,
    exp.Cube: _MANY,
    exp.GroupingSets: _MANY,
    exp.Order: _MANY,
    exp.Ordered: frozenset({"this", "desc", "nulls_first", "with_fill"}),
    exp.WithFill: frozenset({"from_", "to", "step"}),
    exp.Limit: frozenset({"expression", "expressions"}),
    exp.Offset: frozenset({"expression"}),
    exp.Distinct: _MANY,
    exp.Star: frozenset({"except_", "replace"}),
    exp.Column: frozenset({"this", "table"}),
    exp.Identifier: frozenset({"this", "quoted"}),
    exp.Literal: frozenset({"this", "is_string"}),
    exp.Boolean: _ONE,
    exp.Null: frozenset(),
    exp.Alias: _ONE | {"alias"},
    exp.Aliases: _ONE | _MANY,
    exp.Paren: _ONE,
    exp.Tuple: _MANY,
    exp.Array: _MANY,
    exp.Bracket: _ONE | _MANY,
    exp.Dot: _TWO,
    exp.Lambda: _ONE | _MANY,
    exp.AnonymousAggFunc: _ONE | _MANY,
    exp.ParameterizedAgg: _ONE | _MANY | {"params"},
    exp.CastToStrType: _ONE | {"to"},
    exp.In: _ONE | {"expressions", "query"},
    exp.Window: frozenset({"this", "partition_by", "order", "spec", "alias", "over"}),
    exp.WindowSpec: frozenset({"kind", "start", "start_side", "end", "end_side"}),
    exp.Case: frozenset({"this", "ifs", "default"}),
    exp.If: frozenset({"this", "true", "false"}),
    **dict.fromkeys(
        (exp.And, exp.Or, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.Like, exp.ILike), _TWO
    ),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe), _TWO),
    exp.Not: _ONE,
    exp.Neg: _ONE,
}

# A bare name as their first argument would be that of a function, which no list has seen.
_HIGHER_ORDER = """
    arraymap arrayfilter arrayexists arrayall arraycount arrayfirst arraylast arrayfirstindex arraylastindex
    arrayfirstornull arraylastornull arraysum arrayavg arraymin arraymax arrayproduct arraysort arrayreversesort
    arrayfill arrayreversefill arraysplit arrayreversesplit arraycumsum arraycumsumnonnegative arrayfold mapfilter
    mapapply mapsort mapexists mapall
"""
HIGHER_ORDER = frozenset(_HIGHER_ORDER.split())
CALLS = (exp.AnonymousAggFunc, exp.ParameterizedAgg)
# A name as ClickHouse and sqlglot read it alike, whatever stands around it: no quotes, backslashes, dots or signs that
# the engine's own listings use.
NAME = re.compile(r"\w[\w $%&()+\-/<=>?@#!*]{0,127}")
OWN_NAMES = ("_rk", "__")
NUMBER = re.compile(r"\d+|\d*\.?\d+(e[+-]?\d+)?|\d+\.?(e[+-]?\d+)?|0x[0-9a-f]+", re.IGNORECASE)
# Types that are read from bytes which somebody could make up, or that hold columns of their own.
TYPES_REFUSED = re.compile(r"AggregateFunction|Dynamic|Variant|Object|JSON|Nested|Python|QBit", re.IGNORECASE)
TYPE = re.compile(r"[\w(), '=./+\-]{1,1000}")
WORDS = {
    "prewhere": "PREWHERE",
    "settings": "SETTINGS",
    "format": "FORMAT",
    "sample": "SAMPLE",
    "into": "INTO",
    "recursive": "WITH RECURSIVE",
    "field": "IN with a table or column behind it",
    "columns": "an alias with names of columns",
    "db": "a column with its database before it",
    "global_": "GLOBAL",
    "is_global": "GLOBAL",
    "limit_options": "WITH TIES",
    "on": "DISTINCT ON",
}
NODE_WORDS: Mapping[str, str] = {
    "Final": "FINAL",
    "TableSample": "SAMPLE",
    "Apply": "APPLY",
    "Columns": "COLUMNS()",
    "Placeholder": "a parameter in braces",
    "Parameter": "a parameter",
    "SessionParameter": "a server variable",
    "JSONCast": "a column of a JSON document",
    "NestedJSONSelect": "a column of a JSON document",
    "Anonymous": "a call in this place",
    "Values": "VALUES",
    "Lateral": "LATERAL",
    "PreWhere": "PREWHERE",
    "Cast": "CAST of this form",
}


def check(tree: exp.Expr) -> None:
    """Passes a tree that consists of what is allowed. Raises QueryRefused naming what is not."""
    for node in tree.walk():
        parts = NODES.get(type(node))
        if parts is None:
            kind = type(node).__name__
            raise refused(NODE_WORDS.get(kind, f"{kind.upper()}, or what was read as such"))
        for part, value in node.args.items():
            if part not in parts and value not in (None, False, [], ""):
                raise refused(WORDS.get(part, f"{part.strip('_').upper()} of {type(node).__name__.upper()}"))
        _check_own(node)


def _check_own(node: exp.Expr) -> None:
    """What is to be said of a single node."""
    if isinstance(node, CALLS):
        _check_call(node)
    elif isinstance(node, exp.Identifier):
        _check_name(node.name)
    elif isinstance(node, exp.Literal):
        if not node.is_string and not NUMBER.fullmatch(node.name):
            raise refused("a number of this form")
    elif isinstance(node, exp.CastToStrType):
        _check_type(node.args["to"])
    elif isinstance(node, exp.In):
        _check_in(node)
    elif isinstance(node, exp.Table) and not isinstance(node.this, exp.Identifier):
        raise refused(f"the table function {getattr(node.this, 'name', '')[:64] or '?'}")


def _check_call(node: exp.Expr) -> None:
    name = node.this
    if not isinstance(name, str) or not is_allowed(name):
        raise refused(f"the function {str(getattr(name, 'name', name))[:64]}")
    if name.lower() in HIGHER_ORDER and len(node.expressions) > 1 and not isinstance(node.expressions[0], exp.Lambda):
        raise refused(f"{name[:64]} with something else than x -> ... as its first argument")
    if name.lower() in ("cast", "accuratecast", "accuratecastornull", "accuratecastordefault"):
        _check_type(node.expressions[1] if len(node.expressions) > 1 else None)
    if name.lower().startswith(("jsonextract", "arrayreduce")):
        _check_strings(node)


def _check_strings(node: exp.Expr) -> None:
    """Functions that take a type or an aggregate by its name, as a text: only one that can be read here."""
    name = str(node.this).lower()
    if name == "arrayreduce":
        aggregate = node.expressions[0] if node.expressions else None
        called = aggregate.name.partition("(")[0] if isinstance(aggregate, exp.Literal) else ""
        if not is_allowed(called):
            raise refused("arrayReduce with this aggregate")
    elif name in ("jsonextract", "jsonextractkeysandvalues"):
        _check_type(node.expressions[-1] if node.expressions else None)


def _check_type(node: exp.Expr | None) -> None:
    text = node.name if isinstance(node, exp.Literal) and node.is_string else ""
    if not TYPE.fullmatch(text) or TYPES_REFUSED.search(text):
        raise refused("a cast to this type")


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise refused("a name with signs other than letters, digits, spaces and $%&()+-/<=>?@#!*_")
    if name.lower().startswith(OWN_NAMES):
        raise refused(f"the name {name[:64]}: those that begin with _rk or __ are not for queries")


def _check_in(node: exp.In) -> None:
    """A single name behind IN would be looked for among the tables."""
    behind = node.expressions
    if len(behind) == 1 and isinstance(behind[0].unnest(), (exp.Column, exp.Identifier, exp.Dot)):
        raise refused("IN with a table or column behind it")


def refused(what: str) -> QueryRefused:
    """The error for what is not on the list."""
    return QueryRefused(
        f"the SQL has {what}, which cannot be shown to be safe",
        hint="docs/queries.md lists what governed SQL may have; ask without it",
    )

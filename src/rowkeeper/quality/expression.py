"""Custom Polars expressions as gates, over the staged rows a block at a time."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
from polars.exceptions import PanicException, PolarsError

from rowkeeper.errors import DeclarationError
from rowkeeper.logs.native import withheld
from rowkeeper.quality.gate import (
    Dimension,
    Finding,
    Offenders,
    Past,
    Severity,
    SeverityName,
    Streamed,
    judge_share,
    severity_of,
    share_of,
)

# What looks at one row only, by the name that Polars gives it; anything else would see the block and not the whole.
ROW_WISE = frozenset(
    {
        "Abs", "Ceil", "Clip", "Coalesce", "Exp", "FillNull", "Floor", "ListExpr", "Log", "Log1p", "Negate", "Pow",
        "Replace", "ReplaceStrict", "Round", "RoundSF", "Sign", "StringExpr", "StructExpr", "TemporalExpr",
    }
)  # fmt: skip
BOOLEAN = frozenset(
    {
        "AllHorizontal", "AnyHorizontal", "IsBetween", "IsClose", "IsFinite", "IsIn", "IsInfinite", "IsNan", "IsNotNan",
        "IsNotNull", "IsNull", "Not",
    }
)  # fmt: skip
OPERANDS = {
    "BinaryExpr": ("left", "right"),
    "Ternary": ("predicate", "truthy", "falsy"),
    "Cast": ("expr",),
}


@dataclasses.dataclass(frozen=True, eq=False)
class ExpressionGate:
    """At least a share of the rows makes a Polars expression true. One for which it is null counts on neither side."""

    name: str
    severity: Severity
    question: Streamed
    at_least: float
    dimension: Dimension = Dimension.CONSISTENCY
    of_whole_loads: bool = False

    def columns(self) -> tuple[str, ...]:
        """Those that stand in it."""
        return tuple(dict.fromkeys(self.question.expression.meta.root_names()))

    def questions(self) -> tuple[Streamed]:
        """The expression."""
        return (self.question,)

    def judge(self, answers: Sequence[Any], past: Past) -> Finding:
        """By the share of good rows."""
        del past
        found: Offenders = answers[0]
        return judge_share(found.judged, found.offending, self.at_least, "contradict it")

    def offenders(self) -> None:
        """The answer holds them."""


def expression(
    name: str, condition: pl.Expr, *, at_least: float = 1.0, severity: SeverityName = "error"
) -> ExpressionGate:
    """Consistency, by a Polars expression that is true for a good row. A row for which it is null is not judged.

    The staged rows are read in blocks, so the expression may look at one row at a time only: comparisons, arithmetic,
    `str`, `dt`, `list`, `when`; no `mean()`, `over()`, `shift()` or Python functions. `rk.sql` takes whatever looks at
    several rows.

    Args:
        name: what it is told by.
        condition: such as `pl.col("arr_time") > pl.col("dep_time")`.
        at_least: share of the judged rows that must be good.
        severity: `warn`, `error` or `critical`.
    """
    if not isinstance(condition, pl.Expr):
        raise DeclarationError(f"{name}: {condition!r} is no Polars expression", hint="rk.consistent takes SQL")
    foreign = next(_not_row_wise(condition), None)
    if foreign is not None:
        raise DeclarationError(
            f"{name}: the expression does not look at one row at a time ({foreign})",
            hint="write it as a query: rk.sql(name, 'SELECT ... FROM {staged} WHERE ...')",
        )
    return ExpressionGate(name, severity_of(name, severity), Streamed(condition), share_of(name, "at_least", at_least))


def _not_row_wise(condition: pl.Expr) -> Iterator[str]:
    """The operations of an expression that see more than one row, or are not known to see one only."""
    try:
        yield from _foreign(json.loads(condition.meta.serialize(format="json")))
    except (PolarsError, ValueError) as error:
        yield f"Polars cannot say what it does: {type(error).__name__}"


def _foreign(node: Any) -> Iterator[str]:
    if not isinstance(node, Mapping) or len(node) != 1:
        yield str(node)[:40]
        return
    ((kind, body),) = node.items()
    if kind in OPERANDS:
        for operand in OPERANDS[kind]:
            yield from _foreign(body[operand])
    elif kind == "Alias":
        yield from _foreign(body[0])
    elif kind == "Function":
        yield from _foreign_function(body["function"])
        for operand in body["input"]:
            yield from _foreign(operand)
    elif kind not in ("Column", "Literal"):
        yield kind


def _foreign_function(function: Any) -> Iterator[str]:
    name, detail = (function, None) if isinstance(function, str) else next(iter(function.items()))
    inner = detail if isinstance(detail, str) else next(iter(detail), "") if isinstance(detail, Mapping) else ""
    if name == "Boolean":
        if inner not in BOOLEAN:
            yield inner
    elif name not in ROW_WISE or inner == "ConcatVertical":
        yield name


def try_expression(condition: pl.Expr, rows: pl.DataFrame) -> None:
    """Raises DeclarationError if the expression fails on these columns, or says neither true nor false."""
    try:
        with withheld():
            answer = rows.select(condition)
    except PolarsError as error:
        raise DeclarationError(f"Polars says: {str(error).splitlines()[0]}", hint="correct the expression") from error
    except PanicException as error:
        raise DeclarationError("Polars panics over the expression", hint="write it in another way") from error
    if answer.width != 1 or answer.dtypes[0] != pl.Boolean:
        raise DeclarationError(
            f"the expression gives {answer.dtypes[0]}, and not true or false", hint="compare it with something"
        )


def judge_block(condition: pl.Expr, rows: pl.DataFrame, wanted: int) -> Offenders:
    """How many rows of one block are judged and offend, with up to `wanted` of the latter."""
    verdicts = rows.select(condition).to_series()
    if len(verdicts) == 1 and rows.height != 1:  # of literals only
        verdicts = pl.Series([verdicts[0]] * rows.height, dtype=pl.Boolean)
    offending = rows.filter(~verdicts.fill_null(value=True))
    judged = rows.height - verdicts.null_count()
    return Offenders(judged, offending.height, tuple(offending.head(wanted).to_dicts()))

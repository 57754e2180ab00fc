"""Business rules: conditions on the accepted values, beside what the model says.

A rule holds, does not hold, or cannot be told because a value is null. NaN counts as null here: Polars takes it for
greater than every number, and a rule that NaN passes would not be one.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Literal

import polars as pl
import pyarrow as pa

from rowkeeper.batch import RuleCount
from rowkeeper.contracts.faults import RULE_BROKEN, RULE_UNKNOWN, RowErrors, entry
from rowkeeper.errors import DeclarationError
from rowkeeper.frames import frame_of
from rowkeeper.logs.native import withheld
from rowkeeper.usercode import users_own


@dataclasses.dataclass(frozen=True)
class BusinessRule:
    """A condition that every row must meet; made by `rk.rule`.

    Attributes:
        name: told with each row that breaks it.
        condition: a Polars expression on the contract's columns, true or false for each row by itself.
        unknown: what becomes of a row for which it is null.
    """

    name: str
    condition: pl.Expr
    unknown: Literal["accept", "reject"] = "accept"

    def definition(self) -> str:
        """Text that is equal for equal rules."""
        return f"{self.name}: {self.condition} ({self.unknown})"


def rule(name: str, condition: pl.Expr, *, unknown: Literal["accept", "reject"] = "accept") -> BusinessRule:
    """A condition on the columns of a row, for `Pipeline(rules=[...])`.

        rk.rule("dropoff after pickup", pl.col("dropoff_at") >= pl.col("pickup_at"))

    It is looked at after the model has accepted the row, on the values that the model gives. A row for which it is
    false goes to quarantine with an error of the type `rk_rule`.

    Args:
        name: says what is expected; unique in the pipeline.
        condition: a Polars expression that is true or false for each row by itself: no sums, no neighbours.
        unknown: whether a row is accepted for which the condition is null (a value that it needs is null or NaN).

    Raises:
        DeclarationError: it has no name, or is no expression.
    """
    if not name or not isinstance(name, str):
        raise DeclarationError("a rule has no name", hint='say what is expected: rk.rule("fare is positive", ...)')
    if not isinstance(condition, pl.Expr):
        raise DeclarationError(
            f"the rule {name!r} is no Polars expression, but {type(condition).__name__}",
            hint='such as pl.col("dropoff_at") >= pl.col("pickup_at")',
        )
    if unknown not in ("accept", "reject"):
        raise DeclarationError(f"the rule {name!r}: unknown={unknown!r} is no policy", hint='"accept" or "reject"')
    return BusinessRule(name, condition, unknown)


def check_rules(rules: Sequence[BusinessRule], schema: pa.Schema) -> None:
    """Tries the rules on no rows at all.

    Raises DeclarationError for a column that the contract does not have, an expression that fails, or one that does not
    say true or false of each row.
    """
    names = [each.name for each in rules]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DeclarationError(f"two rules have the name {twice[0]!r}", hint="give each its own")
    for each in rules:
        for column in each.condition.meta.root_names():
            if column not in schema.names:
                near = difflib.get_close_matches(column, schema.names, n=1)
                raise DeclarationError(
                    f"the rule {each.name!r} names the column {column!r}, which the contract does not have",
                    hint=f"did you mean {near[0]!r}?" if near else f"there are {', '.join(schema.names)}",
                )
        try:
            with withheld():
                found = _answers(_frame(schema.empty_table()), each)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise DeclarationError(
                f"the rule {each.name!r} cannot be worked out: {type(error).__name__}",
                hint=f"try its expression on a frame with the columns {', '.join(schema.names)}",
            ) from error
        if found.dtype != pl.Boolean or len(found):
            raise DeclarationError(
                f"the rule {each.name!r} does not say true or false of each row by itself (it gives {found.dtype})",
                hint="compare columns with each other or with constants",
            )


def apply_rules(
    rules: Sequence[BusinessRule], accepted: pa.Table
) -> tuple[dict[int, RowErrors], Mapping[str, RuleCount]]:
    """The errors of the rows that break a rule, by place in the table, and the counts of each rule.

    Raises TransformError for a rule that fails on the rows, although it could be worked out on none.
    """
    if not rules:
        return {}, {}
    faults: dict[int, RowErrors] = {}
    counts: dict[str, RuleCount] = {}
    frame = _frame(accepted)
    for each in rules:
        with users_own(f"the rule {each.name!r}", hint="correct its expression and run again; nothing was published"):
            answers = _answers(frame, each)
        unknown, valid = answers.null_count(), int(answers.sum() or 0)
        counts[each.name] = RuleCount(valid, len(answers) - valid - unknown, unknown)
        for place in (~answers).fill_null(False).arg_true().to_list():
            faults.setdefault(place, []).append(entry(RULE_BROKEN, (), f"the rule {each.name!r} does not hold"))
        if each.unknown == "reject":
            for place in answers.is_null().arg_true().to_list():
                faults.setdefault(place, []).append(
                    entry(RULE_UNKNOWN, (), f"the rule {each.name!r} cannot be told: a value that it needs is null")
                )
    return faults, counts


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = frame_of(table)
    floats = [name for name, kind in frame.schema.items() if kind.is_float()]
    return frame.with_columns(pl.col(floats).fill_nan(None)) if floats else frame


def _answers(frame: pl.DataFrame, rule: BusinessRule) -> pl.Series:
    return frame.select(rule.condition.alias("answer"))["answer"]

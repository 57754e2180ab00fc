"""Business rules, and `rk.check`."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel

import rowkeeper as rk
from rowkeeper.batch import RuleCount
from rowkeeper.errors import DeclarationError


class Trip(BaseModel):
    pickup: int
    dropoff: int | None
    fare: float


AFTER = rk.rule("dropoff after pickup", pl.col("dropoff") >= pl.col("pickup"))
TABLE = pa.table(
    {
        "pickup": ["1", "2", "3", "x", "5"],
        "dropoff": ["2", "1", None, "9", "6"],
        "fare": ["1", "2", "3", "4", "nan"],
    }
)


def test_a_rule_holds_does_not_or_cannot_be_told():
    """Three states, counted; a row that breaks it is rejected with the rule's name."""
    checked = rk.check(Trip, TABLE, "strings", rules=[AFTER])
    assert checked.rules == {"dropoff after pickup": RuleCount(valid=2, invalid=1, unknown=1)}
    assert checked.accepted_index.to_pylist() == [0, 2, 4]
    assert [(row.index, row.errors[0]["type"]) for row in checked.rejected] == [(1, "rk_rule"), (3, "int_parsing")]
    assert "dropoff after pickup" in checked.rejected[0].errors[0]["msg"]


def test_what_cannot_be_told_may_be_rejected():
    """`unknown="reject"`; NaN is as good as null, where Polars alone would let it pass."""
    fair = rk.rule("fare is positive", pl.col("fare") > 0, unknown="reject")
    checked = rk.check(Trip, TABLE, "strings", rules=[fair])
    assert [(row.index, row.errors[0]["type"]) for row in checked.rejected] == [
        (3, "int_parsing"),
        (4, "rk_rule_unknown"),
    ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rk.rule("", pl.col("fare") > 0), "no name"),
        (lambda: rk.rule("x", "fare > 0"), "no Polars expression"),
        (lambda: rk.rule("x", pl.col("fare") > 0, unknown="ignore"), "no policy"),
        (lambda: rk.rule("x", pl.col("fair") > 0), "'fair', which the contract does not have"),
        (lambda: rk.rule("x", pl.col("fare") + 1), "true or false"),
        (lambda: rk.rule("x", pl.col("fare").sum() > 0), "true or false"),
        (lambda: rk.rule("x", pl.col("fare").str.contains("a")), "cannot be worked out"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_before_any_row(make: Any, words: str):
    """One clear error."""
    with pytest.raises(DeclarationError, match=words):
        rk.check(Trip, TABLE, "strings", rules=[make()])


def test_check_takes_every_mode():
    """The same rows as typed values, as text and as documents."""
    rows = [{"pickup": 1, "dropoff": 2, "fare": 1.5}, {"pickup": 1, "dropoff": None, "fare": 2.5}]
    typed = rk.check(Trip, pl.DataFrame(rows))
    texts = rk.check(Trip, pa.table({"pickup": ["1", "1"], "dropoff": ["2", None], "fare": ["1.5", "2.5"]}), "strings")
    documents = rk.check(Trip, pa.table({"line": [json.dumps(row) for row in rows]}), "json")
    assert typed.accepted.to_pylist() == texts.accepted.to_pylist() == documents.accepted.to_pylist() == rows
    assert (typed.by_pydantic, texts.by_pydantic, documents.by_pydantic) == (0, 0, 0)


@pytest.mark.parametrize(
    ("table", "mode", "words"),
    [
        (pa.table({"a": [1]}), "strings", "takes text"),
        (pa.table({"a": ["{}"], "b": ["{}"]}), "json", "one column"),
        (pa.table({"a": [1]}), "json", "text or bytes"),
        (pa.table({"a": [1]}), "arrow", "no mode"),
    ],
)
def test_a_table_that_does_not_fit_the_mode_is_refused(table: pa.Table, mode: Any, words: str):
    """One clear error."""
    with pytest.raises(DeclarationError, match=words):
        rk.check(Trip, table, mode)


def test_pydantic_sees_the_columns_that_the_model_does_not_name():
    """As with `model_validate`, they are ignored or forbidden by the model's own word."""

    class Forbidding(BaseModel, extra="forbid"):
        a: int

    table = pa.table({"a": [1], "b": [2]})
    assert rk.check(Forbidding, table).rejected[0].errors[0]["type"] == "extra_forbidden"

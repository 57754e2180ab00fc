"""Rules for Literal and Enum."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.contracts.compiler.rule import Given, Rule, Unsuited, check_keys, is_strict, is_text

CHOICES_MAX = 10_000
COMPARED_MAX = 8  # that many comparisons of text are quicker than a look into a set


def literal_rule(schema: Mapping[str, Any], _config: Mapping[str, Any], given: Given) -> Rule:
    """One of several strings, or of several integers."""
    check_keys(schema, "expected")
    return _member(schema["expected"], given)


def enum_rule(schema: Mapping[str, Any], config: Mapping[str, Any], given: Given) -> Rule:
    """The value of a member, all of them strings, or all of them integers."""
    check_keys(schema, "cls", "members", "sub_type", "strict")
    if is_strict(schema, config):
        raise Unsuited("a strict enum takes members only")
    return _member([member.value for member in schema["members"]], given)


def _member(values: list[Any], given: Given) -> Rule:
    if len(values) > CHOICES_MAX:
        raise Unsuited("very many values")
    proof = "test_choices.py::test_choices"
    if is_text(given.type) and all(type(value) is str for value in values):
        if len(values) > COMPARED_MAX:
            return Rule("V", given.value.is_in(values), proof=proof)
        few = pl.any_horizontal([given.value == value for value in values])
        return Rule("V", few, by_arrow=partial(_is_any, values), proof=proof)
    integral = pa.types.is_integer(given.type) and not pa.types.is_uint64(given.type)
    if integral and all(type(value) is int and -(2**63) <= value < 2**63 for value in values):
        return Rule("V", given.value.is_in(values), proof=proof)
    raise Unsuited(f"values of another type than {given.type}")


def _is_any(values: list[str], cells: pa.ChunkedArray[Any]) -> Any:
    """Which cells are one of these texts."""
    return pc.is_in(cells, value_set=pa.array(values, cells.type))

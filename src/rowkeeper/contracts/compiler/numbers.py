"""Rules for bool, int, float and Decimal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa

from rowkeeper.contracts.compiler.rule import Given, Rule, Unsuited, both, check_keys, is_strict, is_text

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
FLOAT_EXACT_MAX = 2**53
BOUNDS = ("ge", "gt", "le", "lt")
TRUE_WORDS, FALSE_WORDS = ("1", "t", "true", "y", "yes", "on"), ("0", "f", "false", "n", "no", "off")
# What Polars takes for a number Pydantic takes for the same one, to the last bit; `1_000`, spaces and digits of other
# scripts are Pydantic's only. Pydantic refuses what is longer than some thousand digits, be they zeros.
NUMBER_BYTES_MAX = 1_000


def bool_rule(schema: Mapping[str, Any], config: Mapping[str, Any], given: Given) -> Rule:
    """True and false; 0 and 1; Pydantic's words for them, in any case."""
    check_keys(schema, "strict")
    if pa.types.is_boolean(given.type):
        return Rule("V", None, proof="test_numbers.py::test_bool")
    if is_strict(schema, config):
        raise Unsuited(f"strict bool from {given.type}")
    if pa.types.is_integer(given.type):
        return Rule("V", given.value.is_in([0, 1]), given.value == 1, proof="test_numbers.py::test_bool")
    if is_text(given.type):
        word = given.value.str.to_lowercase()
        return Rule(
            "V", word.is_in([*TRUE_WORDS, *FALSE_WORDS]), word.is_in(TRUE_WORDS), proof="test_numbers.py::test_bool"
        )
    raise Unsuited(f"bool from {given.type}")


def int_rule(schema: Mapping[str, Any], config: Mapping[str, Any], given: Given) -> Rule:
    """Integers of 64 bits; integral floats; plain digits."""
    check_keys(schema, "strict", "multiple_of", *BOUNDS)
    bounds = {key: schema[key] for key in (*BOUNDS, "multiple_of") if schema.get(key) is not None}
    for bound in bounds.values():
        if isinstance(bound, bool) or not isinstance(bound, int) or not INT64_MIN <= bound <= INT64_MAX:
            raise Unsuited(f"int with the bound {bound!r}")
    proof = "test_numbers.py::test_int"
    if pa.types.is_integer(given.type):
        small = not pa.types.is_uint64(given.type)
        value = given.value.cast(pl.Int64) if small else given.value.cast(pl.Int64, strict=False)
        fits = None if small else value.is_not_null()
        same = pa.types.is_int64(given.type)
        return Rule("V", both(fits, _bounded(value, bounds)), None if same else value, proof=proof)
    if is_strict(schema, config):
        raise Unsuited(f"strict int from {given.type}")
    if pa.types.is_float32(given.type) or pa.types.is_float64(given.type):
        number = given.value.cast(pl.Float64)
        whole = number.is_finite() & (number == number.round(0)) & (number.abs() < 2.0**63)
        value = number.cast(pl.Int64, strict=False)
        return Rule("V", both(whole, _bounded(value, bounds)), value, proof=proof)
    if is_text(given.type):
        value = given.value.cast(pl.Int64, strict=False)
        short = given.value.str.len_bytes() <= NUMBER_BYTES_MAX
        proof = "test_numbers.py::test_int_from_text"
        return Rule("P", both(short, value.is_not_null(), _bounded(value, bounds)), value, proof=proof)
    raise Unsuited(f"int from {given.type}")


def float_rule(schema: Mapping[str, Any], config: Mapping[str, Any], given: Given) -> Rule:
    """Floats of 64 bits; integers; plain decimal notation. NaN fails every bound, as in Pydantic."""
    check_keys(schema, "strict", "allow_inf_nan", "multiple_of", *BOUNDS)
    if schema.get("multiple_of") is not None:
        raise Unsuited("multiple_of a float is rounded in Pydantic's own way")
    bounds = {key: float(schema[key]) for key in BOUNDS if schema.get(key) is not None}
    if any(math.isnan(bound) for bound in bounds.values()):
        raise Unsuited("a bound that is no number")
    proof = "test_numbers.py::test_float"
    if pa.types.is_float32(given.type) or pa.types.is_float64(given.type):
        value = given.value.cast(pl.Float64)
        ok = both(_number(value, schema, config, bounds), _bounded(value, bounds))
        return Rule("V", ok, None if pa.types.is_float64(given.type) else value, proof=proof)
    if is_strict(schema, config):
        raise Unsuited(f"strict float from {given.type}")
    if pa.types.is_integer(given.type):
        value = given.value.cast(pl.Float64)
        exact = given.value.is_between(-FLOAT_EXACT_MAX, FLOAT_EXACT_MAX) if given.type.bit_width > 32 else None
        return Rule("V" if exact is None else "P", both(exact, _bounded(value, bounds)), value, proof=proof)
    if is_text(given.type):
        value = given.value.cast(pl.Float64, strict=False)
        short = given.value.str.len_bytes() <= NUMBER_BYTES_MAX
        number = both(short, value.is_not_null(), _number(value, schema, config, bounds))
        proof = "test_numbers.py::test_float_from_text"
        return Rule("P", both(number, _bounded(value, bounds)), value, proof=proof)
    raise Unsuited(f"float from {given.type}")


def _number(
    value: pl.Expr, schema: Mapping[str, Any], config: Mapping[str, Any], bounds: Mapping[str, float]
) -> pl.Expr | None:
    """What NaN and the infinite are taken for."""
    if not schema.get("allow_inf_nan", config.get("allow_inf_nan", True)):
        return value.is_finite()
    return value.is_not_nan() if bounds else None


def decimal_rule(schema: Mapping[str, Any], config: Mapping[str, Any], given: Given) -> Rule:
    """Decimals that fit their column as they are; plain decimal notation with no more places than it has."""
    check_keys(schema, "strict", "allow_inf_nan", "max_digits", "decimal_places", *BOUNDS)
    bounds = {key: Decimal(schema[key]) for key in BOUNDS if schema.get(key) is not None}
    stored = given.stored
    whole, places = stored.precision - stored.scale, stored.scale
    if stored.precision > 38:
        raise Unsuited("more than 38 digits")
    digits_max, places_max = schema.get("max_digits"), schema.get("decimal_places")
    if digits_max is not None and (places_max is None or places_max > digits_max):
        raise Unsuited("digits before and after the point are counted together")
    for bound in bounds.values():
        if not bound.is_finite() or -bound.as_tuple().exponent > places or bound.adjusted() >= whole:  # type: ignore[operator]
            raise Unsuited("a bound that the column cannot hold")
    value = given.value.cast(pl.Decimal(stored.precision, places), strict=False)
    proof = "test_numbers.py::test_decimal"
    if pa.types.is_decimal(given.type):
        if not pa.types.is_decimal128(given.type) or given.type.scale < 0:
            raise Unsuited(f"Polars does not read {given.type}")
        if given.type.scale > places or given.type.precision - given.type.scale > whole:
            raise Unsuited(f"{given.type} may not fit {stored}")
        return Rule("V", _bounded(value, bounds), value, proof=proof)
    if is_text(given.type) and not is_strict(schema, config) and whole >= 1:
        fraction = rf"(\.[0-9]{{1,{places}}})?" if places else ""
        form = given.value.str.contains(rf"^-?(0|[1-9][0-9]{{0,{whole - 1}}}){fraction}$")
        return Rule("P", both(form, value.is_not_null(), _bounded(value, bounds)), value, proof=proof)
    raise Unsuited(f"Decimal from {given.type}")


def _bounded(value: pl.Expr, bounds: Mapping[str, Any]) -> pl.Expr | None:
    conditions = []
    for key, bound in bounds.items():
        match key:
            case "ge":
                conditions.append(value >= bound)
            case "gt":
                conditions.append(value > bound)
            case "le":
                conditions.append(value <= bound)
            case "lt":
                conditions.append(value < bound)
            case "multiple_of":
                conditions.append(value % bound == 0)
    return both(*conditions)

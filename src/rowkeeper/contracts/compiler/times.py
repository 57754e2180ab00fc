"""Rules for date, datetime, time and timedelta."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa

from rowkeeper.contracts.compiler.isotime import instants
from rowkeeper.contracts.compiler.rule import Given, Rule, Unsuited, both, check_keys, is_strict, is_text
from rowkeeper.contracts.scalars import DATE_MAX, DATE_MIN, TIME_MAX, TIME_MIN

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MICROS_MIN, MICROS_MAX = (TIME_MIN - EPOCH) // MICROSECOND, (TIME_MAX - EPOCH) // MICROSECOND
MICROS_PER = {"ms": 1_000, "us": 1}
DATE_TEXT = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def date_rule(schema: Mapping[str, Any], config: Mapping[str, Any], given: Given) -> Rule:
    """Days; ISO dates."""
    check_keys(schema, "strict", "ge", "gt", "le", "lt")
    proof = "test_times.py::test_date"
    if pa.types.is_date32(given.type):
        return Rule("V", both(given.value.is_between(DATE_MIN, DATE_MAX), _bounded(given.value, schema)), proof=proof)
    if is_text(given.type) and not is_strict(schema, config):
        value = given.value.str.to_date("%Y-%m-%d", strict=False)
        form = given.value.str.contains(DATE_TEXT)
        return Rule("P", both(form, value.is_between(DATE_MIN, DATE_MAX), _bounded(value, schema)), value, proof=proof)
    raise Unsuited(f"date from {given.type}")


def _bounded(value: pl.Expr, schema: Mapping[str, Any]) -> pl.Expr | None:
    compared = {"ge": value.__ge__, "gt": value.__gt__, "le": value.__le__, "lt": value.__lt__}
    bounds = {key: schema[key] for key in compared if schema.get(key) is not None}
    for bound in bounds.values():
        if type(bound) is not date:
            raise Unsuited("a bound that is no plain date")
    return both(*(compared[key](pl.lit(bound)) for key, bound in bounds.items()))


def datetime_rule(schema: Mapping[str, Any], config: Mapping[str, Any], given: Given) -> Rule:
    """Instants, and wall times for a NaiveDatetime; ISO text with seconds."""
    check_keys(schema, "strict", "microseconds_precision", "tz_constraint")
    constraint = schema.get("tz_constraint")
    if constraint not in (None, "aware", "naive"):
        raise Unsuited("a fixed offset")
    if pa.types.is_timestamp(given.type):
        return _from_timestamp(given, constraint)
    if is_text(given.type) and not is_strict(schema, config):
        return _from_text(given, constraint)
    raise Unsuited(f"datetime from {given.type}")


def _from_timestamp(given: Given, constraint: str | None) -> Rule:
    type: Any = given.type
    stored = given.stored
    if type.unit == "s":
        raise Unsuited("Polars knows no seconds")
    if type.tz not in (None, "UTC"):
        raise Unsuited(f"the zone {type.tz} is Python's to know")
    if (constraint == "aware" and type.tz is None) or (constraint == "naive" and type.tz is not None):
        raise Unsuited(f"{type} for a {constraint} datetime")
    if stored.tz is None and type.tz is not None:
        raise Unsuited(f"{type} has a zone, its column has none")
    ticks = given.value.to_physical()
    if type.unit == "ns":
        micros = ticks // 1000
        ok: pl.Expr = (ticks % 1000 == 0) & micros.is_between(MICROS_MIN, MICROS_MAX)
    else:
        factor = MICROS_PER[type.unit]
        micros = ticks * factor
        ok = ticks.is_between(-(-MICROS_MIN // factor), MICROS_MAX // factor)
    same = type.unit == "us" and type.tz == stored.tz
    value = None if same else micros.cast(pl.Datetime("us", stored.tz))
    return Rule("V", ok, value, proof="test_times.py::test_datetime")


def _from_text(given: Given, constraint: str | None) -> Rule:
    stored = given.stored
    zone = True if constraint == "aware" else None
    if constraint == "naive" or stored.tz is None:
        zone = False
    ok, value = given.value.is_between(MICROS_MIN, MICROS_MAX), given.value.cast(pl.Datetime("us", stored.tz))
    proof = "test_times.py::test_datetime_from_text"
    return Rule("P", ok, value, partial(instants, zone=zone), proof=proof)


def time_rule(schema: Mapping[str, Any], _config: Mapping[str, Any], given: Given) -> Rule:
    """Times of the day, in microseconds."""
    check_keys(schema, "strict", "microseconds_precision")
    if given.type != pa.time64("us"):
        raise Unsuited(f"time from {given.type}")
    return Rule("V", None, proof="test_times.py::test_time_and_timedelta")


def timedelta_rule(schema: Mapping[str, Any], _config: Mapping[str, Any], given: Given) -> Rule:
    """Durations, in microseconds: Python can hold them all."""
    check_keys(schema, "strict", "microseconds_precision")
    if given.type != pa.duration("us"):
        raise Unsuited(f"timedelta from {given.type}")
    return Rule("V", None, proof="test_times.py::test_time_and_timedelta")

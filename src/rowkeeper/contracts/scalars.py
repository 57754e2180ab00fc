"""Column types of single values: numbers, text, times, and what is written as text."""

from __future__ import annotations

import decimal
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.contracts.columntype import ENUM_KEY, LOW_CARDINALITY_KEY, TYPE_KEY, ColumnType
from rowkeeper.contracts.faults import NANOSECONDS, OUT_OF_RANGE, UNSTORABLE, Unfit

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
DATE_MIN, DATE_MAX = date(1900, 1, 1), date(2299, 12, 31)  # ClickHouse: Date32 and DateTime64(6)
TIME_MIN = datetime(1900, 1, 1, tzinfo=UTC)
TIME_MAX = datetime(2299, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
DECIMAL_DIGITS_MAX = 76  # of decimal256, and of ClickHouse's Decimal
MICROSECOND = timedelta(microseconds=1)


def _other_kind(value: object, wanted: str) -> Unfit:
    return Unfit(UNSTORABLE, f"the model holds a value of type {type(value).__name__}, its column holds {wanted}")


# --------------------------------------------------------------------------------------- numbers


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _other_kind(value, "true or false")


def _int(value: Any) -> int:
    """Integers, and equal values of other numeric types (an unvalidated default of 1.0)."""
    if not isinstance(value, int) and (not isinstance(value, float | Decimal) or value != value // 1):
        raise _other_kind(value, "integers")
    if not INT64_MIN <= value <= INT64_MAX:
        raise Unfit(OUT_OF_RANGE, "the integer does not fit 64 bits")
    return int(value)


def _float(value: Any) -> float:
    """Floats, and equal values of other numeric types (an unvalidated default of 0)."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int | Decimal):
        try:
            as_float = float(value)
        except OverflowError:
            as_float = float("nan")
        if as_float == value:
            return as_float
        raise Unfit(OUT_OF_RANGE, "the number has no exact 64-bit float")
    raise _other_kind(value, "floats")


BOOL = ColumnType(pa.bool_(), _bool, frozenset({bool}))
INT = ColumnType(pa.int64(), _int, frozenset({int}))
FLOAT = ColumnType(pa.float64(), _float, frozenset({float}))


@functools.cache
def decimal_type(digits: int | None, places: int | None) -> ColumnType:
    """Decimal(p, s) that holds what `max_digits` and `decimal_places` allow; without them Decimal(38, 9).

    Limited to 76 digits. A value that does not fit exactly is refused, never rounded.
    """
    match digits, places:
        case None, None:
            precision, scale = 38, 9
        case None, int(scale):
            precision = 38 if scale <= 19 else DECIMAL_DIGITS_MAX
        case int(precision), int(scale):
            precision = max(precision, scale, 1)
        case int(whole), None:  # all of the digits may stand before the point, or all of them behind it
            precision = min(2 * max(whole, 1), DECIMAL_DIGITS_MAX)
            scale = max(precision - max(whole, 1), 0)
    precision, scale = min(precision, DECIMAL_DIGITS_MAX), min(scale, DECIMAL_DIGITS_MAX)
    arrow = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    context = decimal.Context(prec=precision, traps=[decimal.InvalidOperation, decimal.Inexact])
    unit = Decimal(1).scaleb(-scale)

    def convert(value: Any) -> Decimal:
        if not isinstance(value, Decimal | int | float) or isinstance(value, bool):
            raise _other_kind(value, "decimals")
        exact = Decimal(value)
        if not exact.is_finite():
            raise Unfit(OUT_OF_RANGE, "the number is not finite")
        try:
            return exact.quantize(unit, context=context)
        except (decimal.InvalidOperation, decimal.Inexact):
            raise Unfit(OUT_OF_RANGE, f"the number does not fit Decimal({precision}, {scale}) exactly") from None

    return ColumnType(arrow, convert, frozenset({Decimal}))


# ------------------------------------------------------------------------------------------ text


def _utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unfit(UNSTORABLE, "the text holds half of a surrogate pair, which UTF-8 cannot encode") from None
    return text


def _str(value: Any) -> str:
    if isinstance(value, str):
        return _utf8(str.__str__(value))  # the characters themselves, whatever a subclass prints
    raise _other_kind(value, "text")


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise _other_kind(value, "bytes")


def _uuid(value: Any) -> bytes:
    if isinstance(value, UUID):
        return value.bytes
    raise _other_kind(value, "UUIDs")


def _pattern(value: Any) -> str:
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        return _utf8(value.pattern)
    raise _other_kind(value, "regular expressions of text")


def printed_type(*classes: type) -> ColumnType:
    """A string column of `str(value)` for values of these classes: URLs, addresses, paths."""

    def convert(value: Any) -> str:
        if isinstance(value, str):
            return _str(value)
        if isinstance(value, classes):
            return _utf8(str(value))
        raise _other_kind(value, " or ".join(each.__name__ for each in classes))

    return ColumnType(pa.string(), convert, frozenset({str}))


STR = ColumnType(pa.string(), _str, frozenset({str}))
BYTES = ColumnType(pa.binary(), _bytes, frozenset({bytes}))
UUID_TYPE = ColumnType(pa.binary(16), _uuid, metadata={TYPE_KEY: b"uuid"})
PATTERN = ColumnType(pa.string(), _pattern)


def choice_type(values: Mapping[Any, str | int] | Sequence[str | int]) -> ColumnType | None:
    """A column for a fixed set of values, all text or all integers of 64 bits; None for any other set.

    Args:
        values: the values (Literal), or the members of an enumeration with their values.
    """
    table = dict(values) if isinstance(values, Mapping) else {value: value for value in values}
    # An enumeration with `use_enum_values` leaves the bare values in the model.
    table.update({value: value for value in list(table.values())})
    allowed = list(dict.fromkeys(table.values()))
    kinds = set(map(type, allowed))
    if kinds not in ({str}, {int}):
        return None
    if kinds == {int} and not all(INT64_MIN <= int(value) <= INT64_MAX for value in allowed):
        return None

    def convert(value: Any) -> str | int:
        try:
            return table[value]
        except (KeyError, TypeError):
            raise Unfit(UNSTORABLE, "the value is none of those that the field is annotated with") from None

    def sound(column: Sequence[Any], _: pa.Array[Any]) -> bool:
        return set(column) <= {*allowed, None}

    metadata = {ENUM_KEY: json.dumps(allowed).encode()}
    if kinds == {int}:
        return ColumnType(pa.int64(), convert, frozenset({int}), sound, metadata)
    metadata[LOW_CARDINALITY_KEY] = b"1"
    return ColumnType(pa.string(), convert, frozenset({str}), sound, metadata)


# ----------------------------------------------------------------------------------------- times


def _within(low: Any, high: Any, arrow: pa.DataType) -> Callable[[Sequence[Any], pa.Array[Any]], bool]:
    """A check that all of a column's values lie between two limits, both included."""

    @functools.cache
    def limits() -> tuple[pa.Scalar[Any], pa.Scalar[Any]]:
        """Made when they are needed: the first scalar makes Arrow import pandas, where there is one."""
        return pa.scalar(low, arrow), pa.scalar(high, arrow)

    def sound(_: Sequence[Any], array: pa.Array[Any]) -> bool:
        least, most = limits()
        ends = pc.min_max(array)  # compared as Arrow scalars: Python has no year 10,000, which UTC can reach
        if not ends["min"].is_valid:
            return True
        return bool(pc.less_equal(least, ends["min"]).as_py() and pc.less_equal(ends["max"], most).as_py())

    return sound


def _date(value: Any) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _other_kind(value, "dates")
    if not DATE_MIN <= value <= DATE_MAX:
        raise Unfit(OUT_OF_RANGE, "the date is not within the years 1900 to 2299")
    return date(value.year, value.month, value.day)


def _instant(value: Any) -> datetime:
    """A datetime in UTC; one without a zone is taken as UTC."""
    if not isinstance(value, datetime):
        raise _other_kind(value, "dates with a time")
    if getattr(value, "nanosecond", 0):  # of pandas, whose Timestamp is a datetime
        raise Unfit(NANOSECONDS, "the time is finer than a microsecond")
    plain = datetime.combine(date(value.year, value.month, value.day), value.timetz())
    try:
        instant = plain.replace(tzinfo=UTC) if plain.tzinfo is None else plain.astimezone(UTC)
    except OverflowError:
        instant = None
    if instant is None or not TIME_MIN <= instant <= TIME_MAX:
        raise Unfit(OUT_OF_RANGE, "the time is not within the years 1900 to 2299")
    return instant


def _wall_time(value: Any) -> datetime:
    """A datetime without a zone, kept without one."""
    instant = _instant(value)
    if value.tzinfo is not None:
        raise Unfit(UNSTORABLE, "the model holds a time with a zone, its column holds times without")
    return instant.replace(tzinfo=None)


def _time(value: Any) -> time:
    if not isinstance(value, time):
        raise _other_kind(value, "times of day")
    if value.tzinfo is not None:
        raise Unfit(UNSTORABLE, "a time of day with a zone has no column: its zone would be lost")
    return time(value.hour, value.minute, value.second, value.microsecond)


def _duration(value: Any) -> timedelta:
    if not isinstance(value, timedelta):
        raise _other_kind(value, "durations")
    if getattr(value, "nanoseconds", 0):  # of pandas, whose Timedelta is a timedelta
        raise Unfit(NANOSECONDS, "the duration is finer than a microsecond")
    if not INT64_MIN <= value // MICROSECOND <= INT64_MAX:
        raise Unfit(OUT_OF_RANGE, "the duration does not fit 64 bits of microseconds")
    return timedelta(value.days, value.seconds, value.microseconds)


def _without_zones(values: Sequence[Any], _: pa.Array[Any]) -> bool:
    return not any(value is not None and value.tzinfo is not None for value in values)


INSTANT_ARROW, WALL_TIME_ARROW = pa.timestamp("us", "UTC"), pa.timestamp("us")
_date_within = _within(DATE_MIN, DATE_MAX, pa.date32())
_instant_within = _within(TIME_MIN, TIME_MAX, INSTANT_ARROW)
_wall_time_within = _within(TIME_MIN.replace(tzinfo=None), TIME_MAX.replace(tzinfo=None), WALL_TIME_ARROW)


def _sound_wall_times(values: Sequence[Any], array: pa.Array[Any]) -> bool:
    return _without_zones(values, array) and _wall_time_within(values, array)


DATE = ColumnType(pa.date32(), _date, frozenset({date}), _date_within)
INSTANT = ColumnType(INSTANT_ARROW, _instant, frozenset({datetime}), _instant_within)
WALL_TIME = ColumnType(WALL_TIME_ARROW, _wall_time, frozenset({datetime}), _sound_wall_times)
TIME = ColumnType(pa.time64("us"), _time, frozenset({time}), _without_zones)
DURATION = ColumnType(pa.duration("us"), _duration, frozenset({timedelta}))

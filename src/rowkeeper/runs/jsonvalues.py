"""Arrow values as JSON and back, without loss: how quarantined rows of typed sources are given out and taken in again.

Text, whole numbers and booleans are what they look like. The rest:

    floating point      a number; what is not finite is "NaN", "Infinity", "-Infinity"
    decimal             text, such as "12.50" (a number is taken too)
    date, time          text as Arrow writes it: "2026-01-05", "12:30:00", "2026-01-05 12:30:00Z"
    duration            a whole number of the column's unit
    bytes               {"_rk_base64": "..."} (text is taken too, as its UTF-8)
    list, struct, map   an array, an object, an array of [key, value]
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa

BYTES = "_rk_base64"
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
REFUSALS = (pa.ArrowException, ArithmeticError, LookupError, TypeError, ValueError)

_t = pa.types


class _NoJson:
    """Stands for a value that has no JSON form."""


NO_JSON = _NoJson()


def to_json(column: pa.Array[Any]) -> list[Any]:
    """The values as what `json.dumps` takes; `NO_JSON` for one that cannot be given out without loss."""
    type: Any = column.type
    if isinstance(type, pa.BaseExtensionType):
        return to_json(column.storage)  # type: ignore[attr-defined]
    if _t.is_dictionary(type):
        return to_json(column.dictionary_decode())  # type: ignore[attr-defined]
    for tests, way in _WAYS_OUT:
        if any(test(type) for test in tests):
            try:
                return way(column)
            except REFUSALS:  # one value spoils the column: each by itself
                if len(column) > 1:
                    return [each for at in range(len(column)) for each in to_json(column.take(pa.array([at])))]
    return [NO_JSON] * len(column)


def _floats(column: Any) -> list[Any]:
    return [each if each is None or math.isfinite(each) else _word(each) for each in column.to_pylist()]


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _bytes(column: Any) -> list[Any]:
    found = column.to_pylist()
    return [None if each is None else {BYTES: base64.b64encode(each).decode()} for each in found]


def _texts(column: Any) -> list[Any]:
    """As Arrow writes it; a year before 1, which Arrow does not read again, is refused."""
    texts: list[Any] = column.cast(pa.string()).to_pylist()
    if not from_json(texts, column.type).equals(column):
        raise ValueError
    return texts


def _lists(column: Any) -> list[Any]:
    return [None if not each.is_valid else _whole(to_json(each.values)) for each in column]


def _structs(column: Any) -> list[Any]:
    names = [field.name for field in column.type]
    if len(set(names)) < len(names):
        return [NO_JSON] * len(column)
    children = [to_json(child) for child in column.flatten()]
    rows = zip(*children, strict=True) if children else ((),) * len(column)
    given = [dict(zip(names, row, strict=True)) if NO_JSON not in row else NO_JSON for row in rows]
    return [row if valid else None for row, valid in zip(given, column.is_valid().to_pylist(), strict=True)]


def _maps(column: Any) -> list[Any]:
    entries = [None if not each.is_valid else each.values for each in column]
    return [
        None if each is None else _whole([list(pair.values()) if isinstance(pair, dict) else pair for pair in rows])
        for each in entries
        for rows in [[] if each is None else to_json(each)]
    ]


def _whole(values: list[Any]) -> Any:
    return NO_JSON if any(each is NO_JSON for each in values) else values


_WAYS_OUT: tuple[tuple[tuple[Callable[[Any], bool], ...], Callable[[Any], list[Any]]], ...] = (
    ((_t.is_null, _t.is_boolean, _t.is_integer), lambda column: column.to_pylist()),
    ((_t.is_string, _t.is_large_string, _t.is_string_view), lambda column: column.to_pylist()),
    ((_t.is_floating,), _floats),
    (
        (_t.is_decimal, _t.is_temporal),
        lambda column: _numbers(column) if _t.is_duration(column.type) else _texts(column),
    ),
    ((_t.is_binary, _t.is_large_binary, _t.is_fixed_size_binary, _t.is_binary_view), _bytes),
    ((_t.is_map,), _maps),
    ((_t.is_list, _t.is_large_list, _t.is_fixed_size_list), _lists),
    ((_t.is_struct,), _structs),
)


def _numbers(column: Any) -> list[Any]:
    return column.cast(pa.int64()).to_pylist()  # type: ignore[no-any-return]


def from_json(values: list[Any], type: Any) -> Any:
    """The values as an Arrow array of this type; numbers with a fraction or an exponent are given as `Decimal`.

    Raises one of `REFUSALS` if a value is none of this type.
    """
    if isinstance(type, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(type, from_json(values, type.storage_type))
    if _t.is_dictionary(type):
        return from_json(values, type.value_type)
    made = [None if each is None else _python(each, type) for each in values]
    if _t.is_float16(type):
        return pa.array(made, pa.float32()).cast(type)
    return pa.array(made, type)


def natural(values: list[Any]) -> Any:
    """The values as an Arrow array of the type that they suggest. Raises one of `REFUSALS` if they suggest several."""
    return pa.array([_plain(each) for each in values])


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return {name: _plain(each) for name, each in value.items()} if isinstance(value, dict) else value


def _python(value: Any, type: Any) -> Any:
    """What `pyarrow.array` takes for one value that is not null."""
    for tests, way in _WAYS_IN:
        if any(test(type) for test in tests):
            return way(value, type)
    raise TypeError(f"{type} has no JSON form")


def _of(*wanted: type) -> Callable[[Any, Any], Any]:
    def same(value: Any, _type: Any) -> Any:
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise TypeError
        return value

    return same


def _float(value: Any, _type: Any) -> float:
    if isinstance(value, str):
        return NOT_FINITE[value]
    return float(_of(int, Decimal)(value, None))


def _time(value: Any, type: Any) -> int:
    """In the type's unit: Arrow reads no times of day, and Python none finer than a microsecond."""
    return _instant(f"1970-01-01 {_of(str)(value, None)}", pa.timestamp(type.unit))


def _instant(value: Any, type: Any) -> int:
    instant: Any = pa.scalar(_of(str)(value, None)).cast(type)
    return int(instant.value)


def _as_bytes(value: Any, _type: Any) -> bytes:
    if isinstance(value, dict):
        if set(value) != {BYTES}:
            raise KeyError
        return base64.b64decode(value[BYTES], validate=True)
    return str(_of(str)(value, None)).encode()


def _list(value: Any, type: Any) -> list[Any]:
    return [None if each is None else _python(each, type.value_type) for each in _of(list)(value, None)]


def _map(value: Any, type: Any) -> list[tuple[Any, Any]]:
    return [
        (_python(key, type.key_type), None if item is None else _python(item, type.item_type))
        for key, item in _of(list)(value, None)
    ]


def _struct(value: Any, type: Any) -> dict[str, Any]:
    kinds = {field.name: field.type for field in type}
    return {name: None if each is None else _python(each, kinds[name]) for name, each in _of(dict)(value, None).items()}


_WAYS_IN: tuple[tuple[tuple[Callable[[Any], bool], ...], Callable[[Any, Any], Any]], ...] = (
    ((_t.is_boolean,), _of(bool)),
    ((_t.is_integer, _t.is_duration), _of(int)),
    ((_t.is_string, _t.is_large_string, _t.is_string_view), _of(str)),
    ((_t.is_floating,), _float),
    ((_t.is_decimal,), lambda value, _type: Decimal(_of(int, str, Decimal)(value, None))),
    ((_t.is_time,), _time),
    ((_t.is_date, _t.is_timestamp), _instant),
    ((_t.is_binary, _t.is_large_binary, _t.is_fixed_size_binary, _t.is_binary_view), _as_bytes),
    ((_t.is_map,), _map),
    ((_t.is_list, _t.is_large_list, _t.is_fixed_size_list), _list),
    ((_t.is_struct,), _struct),
)

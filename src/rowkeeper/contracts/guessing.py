"""What the values of a column look like: the narrowest annotation that accepts all of them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from rowkeeper.contracts.faults import Unfit
from rowkeeper.contracts.scalars import DATE, INSTANT, INT64_MAX, INT64_MIN

OBJECT_KEYS_MAX = 50  # an object with more keys is a map, its keys data
_FLOAT_INTEGERS_MAX = 2**53  # beyond it floats skip integers

_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,18})")  # a leading zero says that it is no number
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*)?(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(_DATE.pattern + r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?")
_KEY = re.compile(r"[^\W\d]\w{0,49}")
_DATES: TypeAdapter[date] = TypeAdapter(date)
_DATETIMES: TypeAdapter[datetime] = TypeAdapter(datetime)


@dataclasses.dataclass(frozen=True, slots=True)
class Object:
    """Values that are objects of one kind: to be a class of their own. Either of the two is set."""

    objects: Sequence[Mapping[str, Any]] | None = None
    columns: Sequence[tuple[str, pa.ChunkedArray[Any]]] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Guess:
    """An annotation.

    Attributes:
        annotation: its text; `{}` stands for what is inside.
        imports: (module, name) of what it needs.
        sortable: whether a table can be ordered by it.
        inner: what is inside a container.
        inner_null: whether nulls were seen inside.
    """

    annotation: str
    imports: frozenset[tuple[str, str]] = frozenset()
    sortable: bool = False
    inner: Guess | Object | None = None
    inner_null: bool = False


def _imported(module: str, name: str, *, sortable: bool = True) -> Guess:
    return Guess(name, frozenset({(module, name)}), sortable)


ANY = _imported("typing", "Any", sortable=False)
BOOL, INT, STR = Guess("bool", sortable=True), Guess("int", sortable=True), Guess("str", sortable=True)
FLOAT, BYTES = Guess("float"), Guess("bytes")
DATE_GUESS, DATETIME_GUESS = _imported("datetime", "date"), _imported("datetime", "datetime")
TIME_GUESS, TIMEDELTA_GUESS = _imported("datetime", "time"), _imported("datetime", "timedelta", sortable=False)
UUID_GUESS = _imported("uuid", "UUID")
JSON_GUESS = Guess("Json[Any]", ANY.imports | {("pydantic", "Json")})


# -------------------------------------------------------------------------------------------- text


def guess_text(values: Sequence[str], *, numbers: bool) -> Guess:  # noqa: PLR0911 - narrow before wide
    """What text stands for. Without values, and where in doubt, text.

    Args:
        numbers: whether text may stand for numbers and truth values (it does in CSV, in JSON it does not).
    """
    if not values:
        return STR
    if numbers:
        if all(_INTEGER.fullmatch(value) and INT64_MIN <= int(value) <= INT64_MAX for value in values):
            return INT
        if all(_is_number(value) for value in values):
            return FLOAT
        if {value.lower() for value in values} <= {"true", "false"}:
            return BOOL
    if all(_DATE.fullmatch(value) and _is(_DATES, DATE.take, value) for value in values):
        return DATE_GUESS
    if all(_DATETIME.fullmatch(value) and _is(_DATETIMES, INSTANT.take, value) for value in values):
        return DATETIME_GUESS
    return STR


def _is_number(text: str) -> bool:
    """A decimal number with a digit before or behind the point that a float keeps to its 15 digits."""
    if not _NUMBER.fullmatch(text) or not re.match(r"[+-]?\.?[0-9]", text):
        return False
    digits = re.sub(r"[eE].*|[^0-9]", "", text).lstrip("0")
    return len(digits) <= 17 and not re.fullmatch(r"[+-]?0[0-9].*", text)


def _is(adapter: TypeAdapter[Any], take: Any, text: str) -> bool:
    """Whether Pydantic reads the text, and its column holds what it read."""
    try:
        take(adapter.validate_python(text))
    except (ValidationError, Unfit):
        return False
    return True


# -------------------------------------------------------------------------------------------- JSON


def guess_json(values: Sequence[Any], depth: int = 0) -> Guess:  # noqa: PLR0911 - a table of kinds
    """What parsed JSON values, none of them null, look like."""
    kinds = set(map(type, values))
    if kinds == {bool}:
        return BOOL
    if kinds == {int}:
        return INT if all(INT64_MIN <= value <= INT64_MAX for value in values) else ANY
    if kinds in ({float}, {int, float}):
        return FLOAT if all(abs(v) <= _FLOAT_INTEGERS_MAX for v in values if isinstance(v, int)) else ANY
    if kinds == {str}:
        return guess_text(values, numbers=False)
    if kinds == {list} and depth < 10:
        items = [item for value in values for item in value]
        real = [item for item in items if item is not None]
        return Guess("list[{}]", inner=guess_json(real, depth + 1), inner_null=len(real) < len(items))
    if kinds == {dict} and depth < 10:
        return _guess_objects(values, depth)
    return ANY


def _guess_objects(objects: Sequence[Mapping[str, Any]], depth: int) -> Guess:
    keys = {key for each in objects for key in each}
    if keys and len(keys) <= OBJECT_KEYS_MAX and all(map(_KEY.fullmatch, keys)):
        return Guess("{}", inner=Object(objects))
    held = [value for each in objects for value in each.values()]
    real = [value for value in held if value is not None]
    return Guess("dict[str, {}]", inner=guess_json(real, depth + 1), inner_null=len(real) < len(held))


# ------------------------------------------------------------------------------------------- Arrow


def guess_arrow(column: pa.ChunkedArray[Any]) -> Guess:
    """What typed values look like; the values are looked at only where the type leaves a choice."""
    type = column.type
    if pa.types.is_dictionary(type):
        return guess_arrow(column.cast(type.value_type))
    if pa.types.is_nested(type):
        return _guess_nested(column.drop_null())
    if pa.types.is_decimal(type):
        return _guess_decimal(type.precision, type.scale)
    if pa.types.is_uint64(type) and (pc.max(column).as_py() or 0) > INT64_MAX:
        return _guess_decimal(20, 0)
    return next((guess for test, guess in _ARROW if test(type)), ANY)


_ARROW = (
    (lambda type: isinstance(type, pa.UuidType), UUID_GUESS),
    (lambda type: isinstance(type, pa.JsonType), JSON_GUESS),
    (pa.types.is_boolean, BOOL),
    (pa.types.is_integer, INT),
    (pa.types.is_floating, FLOAT),
    (pa.types.is_timestamp, DATETIME_GUESS),
    (pa.types.is_date, DATE_GUESS),
    (pa.types.is_time, TIME_GUESS),
    (pa.types.is_duration, TIMEDELTA_GUESS),
    (lambda type: type == pa.string_view() or type == pa.null(), STR),
    (lambda type: pa.types.is_string(type) or pa.types.is_large_string(type), STR),
    (lambda type: pa.types.is_binary(type) or pa.types.is_large_binary(type), BYTES),
    (lambda type: type == pa.binary_view() or pa.types.is_fixed_size_binary(type), BYTES),
)


def _guess_decimal(digits: int, places: int) -> Guess:
    imports = frozenset({("decimal", "Decimal")})
    if not 0 <= places <= digits:
        return Guess("Decimal", imports, sortable=True)
    imports |= {("typing", "Annotated"), ("pydantic", "Field")}
    return Guess(f"Annotated[Decimal, Field(max_digits={digits}, decimal_places={places})]", imports, sortable=True)


def _guess_nested(column: pa.ChunkedArray[Any]) -> Guess:
    type = column.type
    if pa.types.is_struct(type):
        names = [field.name for field in type]
        if not names or len(set(names)) < len(names):
            return Guess("dict[str, {}]", inner=ANY)
        return Guess("{}", inner=Object(columns=list(zip(names, column.flatten(), strict=True))))
    if pa.types.is_map(type):
        keys = {"string": "str", "large_string": "str"}.get(str(type.key_type))
        keys = keys or ("int" if pa.types.is_integer(type.key_type) else None)
        chunks: list[Any] = column.chunks
        items: Any = pa.chunked_array([chunk.items for chunk in chunks], type.item_type)
        if keys is None:
            return Guess("dict[Any, Any]", ANY.imports)
        return Guess(f"dict[{keys}, {{}}]", inner=guess_arrow(items), inner_null=items.null_count > 0)
    if pa.types.is_union(type):
        return ANY
    items = pc.list_flatten(column)
    return Guess("list[{}]", inner=guess_arrow(items), inner_null=items.null_count > 0)

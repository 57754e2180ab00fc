"""From a batch's Arrow columns to the Python rows that Pydantic is given.

Python's times have microseconds. A finer value is not cut off (Arrow does so for times of day): its row is rejected
with `rk_nanoseconds`. A value that Python has no form for (a date in the year 200,000, text that is not UTF-8, a map
with a key twice) rejects its row with `rk_out_of_range` or `rk_unreadable`. A time zone that this machine does not
know is no row's fault, and fails the run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from rowkeeper.contracts.faults import NANOSECONDS, OUT_OF_RANGE, UNREADABLE, RowErrors, Unfit
from rowkeeper.errors import SourceError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL = EPOCH.toordinal()
_UNREADABLE = (pa.ArrowException, ArithmeticError, LookupError, TypeError, ValueError)


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """Rows as Pydantic takes them.

    Attributes:
        rows: a dict for each row, made when its turn comes; in a row that is unreadable, the value in question is None.
        unreadable: by position, the errors of rows that cannot be handed to Pydantic.
    """

    rows: Iterable[dict[str, Any]]
    unreadable: dict[int, RowErrors]


def rows_of(table: pa.Table) -> Rows:
    """A dict for each row, with every column of the table; a null cell is None, an explicit value."""
    unreadable: dict[int, RowErrors] = {}
    columns: list[list[Any]] = []
    for name in table.column_names:
        values, unfit = python_values(table[name])
        columns.append(values)
        for position, fault in unfit.items():
            unreadable.setdefault(position, []).append(fault.at(name))
    names = table.column_names
    if not names:
        return Rows([{} for _ in range(table.num_rows)], {})
    if len(names) == 1:
        return Rows(({names[0]: value} for value in columns[0]), unreadable)
    return Rows((dict(zip(names, row, strict=False)) for row in zip(*columns, strict=True)), unreadable)


def without_views(table: pa.Table) -> pa.Table:
    """The table with its views of text and bytes as ordinary columns: Arrow can neither filter nor take views."""
    wanted = pa.schema([field.with_type(_without_views(field.type)) for field in table.schema])
    return table if wanted.equals(table.schema) else table.cast(wanted)


def _without_views(type: Any) -> pa.DataType:
    if pa.types.is_string_view(type):
        return pa.large_string()
    if pa.types.is_binary_view(type):
        return pa.large_binary()
    if pa.types.is_struct(type):
        return pa.struct([field.with_type(_without_views(field.type)) for field in type])
    if pa.types.is_list(type):
        return pa.list_(type.value_field.with_type(_without_views(type.value_type)))
    if pa.types.is_large_list(type):
        return pa.large_list(type.value_field.with_type(_without_views(type.value_type)))
    return type  # type: ignore[no-any-return]


def python_values(column: pa.ChunkedArray[Any]) -> tuple[list[Any], dict[int, Unfit]]:
    """The values of a column, and by position those that Python cannot hold (None in their place)."""
    wanted = _in_microseconds(column.type)
    if pa.types.is_timestamp(column.type) and column.type.tz:
        _check_zone(wanted)
    try:
        readable = column if wanted == column.type else column.cast(wanted)
        return _listed(readable), {}
    except _UNREADABLE:
        return _one_by_one(column, wanted)


def _listed(column: pa.ChunkedArray[Any]) -> list[Any]:
    """`to_pylist`, by a shorter way where there is one: Arrow's own takes 4 microseconds for a time with a zone."""
    if pa.types.is_date(column.type):
        days = column.cast(pa.date32()).cast(pa.int32()).to_pylist()
        return [None if day is None else date.fromordinal(EPOCH_ORDINAL + day) for day in days]
    if pa.types.is_timestamp(column.type) and column.type.tz in (None, "UTC"):
        epoch = EPOCH if column.type.tz else EPOCH.replace(tzinfo=None)
        micros = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).to_pylist()
        return [None if micro is None else epoch + timedelta(0, 0, micro) for micro in micros]
    if not pa.types.is_nested(column.type):
        return column.to_pylist()
    return column.to_pylist(maps_as_pydicts="strict")  # ten times slower, and wanted for maps only


def _one_by_one(column: pa.ChunkedArray[Any], wanted: pa.DataType) -> tuple[list[Any], dict[int, Unfit]]:
    values: list[Any] = []
    unfit: dict[int, Unfit] = {}
    for position in range(len(column)):
        # `take`, not `slice`: a cast of a sliced list looks at the items outside of the slice too.
        one = column.take(pa.array([position]))
        try:
            if wanted != column.type:
                one = _cast_one(one, wanted)
            values += _listed(one)
            continue
        except Unfit as fault:
            unfit[position] = fault
        except _UNREADABLE as error:
            unfit[position] = _unreadable(column.type, error)
        values.append(None)
    return values, unfit


def _unreadable(type_: pa.DataType, error: Exception) -> Unfit:
    if pa.types.is_temporal(type_) or isinstance(error, OverflowError):
        return Unfit(OUT_OF_RANGE, f"the {type_} is outside of what Python can hold")
    return Unfit(UNREADABLE, f"the {type_} cannot be read ({type(error).__name__})")


def _check_zone(type_: Any) -> None:
    """Whether Python knows the zone of a column of times. Raises SourceError."""
    try:
        pa.scalar(0, type_).as_py()
    except (pa.ArrowException, KeyError, ValueError):
        raise SourceError(
            f"the time zone {type_.tz} of a column is not known on this machine",
            hint="install the package tzdata, or write the file with another zone",
        ) from None


def _cast_one(one: pa.ChunkedArray[Any], wanted: pa.DataType) -> pa.ChunkedArray[Any]:
    try:
        return one.cast(wanted)
    except pa.ArrowInvalid:
        raise Unfit(NANOSECONDS, "the time is finer than a microsecond") from None


def _in_microseconds(type: pa.DataType) -> pa.DataType:
    """The same type, with microseconds where it has nanoseconds, inside lists, structs and maps too."""
    if pa.types.is_nested(type) and not pa.types.is_union(type):
        nested: pa.DataType = _nested_in_microseconds(type)
        return nested
    if pa.types.is_dictionary(type):
        value = _in_microseconds(type.value_type)
        return value if value != type.value_type else type
    if getattr(type, "unit", None) != "ns":
        return type
    if pa.types.is_timestamp(type):
        return pa.timestamp("us", type.tz)
    if pa.types.is_time64(type):
        return pa.time64("us")
    return pa.duration("us") if pa.types.is_duration(type) else type


def _nested_in_microseconds(type: Any) -> Any:
    if pa.types.is_struct(type):
        return pa.struct([field.with_type(_in_microseconds(field.type)) for field in type])
    if pa.types.is_map(type):
        key, item = type.key_field, type.item_field
        return pa.map_(key.with_type(_in_microseconds(key.type)), item.with_type(_in_microseconds(item.type)))
    item = type.value_field.with_type(_in_microseconds(type.value_type))
    if pa.types.is_fixed_size_list(type):
        return pa.list_(item, type.list_size)
    return pa.large_list(item) if pa.types.is_large_list(type) else pa.list_(item)

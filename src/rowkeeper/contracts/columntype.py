"""ColumnType: what a field's values look like as an Arrow column, and how to put them there exactly.

Arrow is lenient where this house must not be: `pa.array([1.5], pa.int64())` is 1 without a word, and a datetime
put into a date column loses its time. So a whole column goes to Arrow as it stands only if each value is exactly
of a type that Arrow is known to keep; every other column is converted value by value, and a value that would
change is `Unfit`: its row is rejected, and no other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from rowkeeper.contracts.faults import UNSTORABLE, Unfit

TYPE_KEY = b"rk:type"
ENUM_KEY = b"rk:enum"
LOW_CARDINALITY_KEY = b"rk:low_cardinality"

REFUSALS = (pa.ArrowException, OverflowError, TypeError, ValueError)
"""What `pa.array` raises for a value that it cannot hold (`UnicodeEncodeError` is a ValueError)."""


@dataclasses.dataclass(frozen=True, slots=True)
class ColumnType:
    """An Arrow type with its way in.

    Attributes:
        arrow: the column's type.
        convert: a value of the model (never None) to what `pa.array` keeps exactly; raises `Unfit`.
        plain: values of exactly these types need no conversion.
        sound: looks at a whole column of plain values and the array made of it; False sends each value
            through `convert`, which finds the ones at fault.
        metadata: hints for the destination, on the Arrow field.
        nullable: whether None is a value.
    """

    arrow: pa.DataType
    convert: Callable[[Any], Any]
    plain: frozenset[type] = frozenset()
    sound: Callable[[Sequence[Any], pa.Array[Any]], bool] | None = None
    metadata: Mapping[bytes, bytes] = dataclasses.field(default_factory=dict)
    nullable: bool = False

    def field(self, name: str) -> pa.Field[Any]:
        """The Arrow field of this type, nullability and hints included."""
        return pa.field(name, self.arrow, nullable=self.nullable, metadata=dict(self.metadata) or None)

    def take(self, value: Any) -> Any:
        """`convert`, with the answer on None."""
        if value is not None:
            return self.convert(value)
        if self.nullable:
            return None
        raise Unfit(UNSTORABLE, "the model holds None, and the field is not annotated as optional")


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A named column of a contract."""

    name: str
    type: ColumnType

    def build(self, values: Sequence[Any]) -> tuple[pa.Array[Any], dict[int, Unfit]]:
        """The values as an Arrow array, and by position those that do not fit (their place holds a null)."""
        array = self._build_plain(values)
        if array is not None:
            return array, {}
        converted, unfit = self._convert(values)
        try:
            return pa.array(converted, self.type.arrow), unfit
        except REFUSALS:
            return self._build_each(converted, unfit)

    def _build_plain(self, values: Sequence[Any]) -> pa.Array[Any] | None:
        kinds = set(map(type, values))
        if self.type.nullable:
            kinds.discard(type(None))
        if not kinds <= self.type.plain:
            return None
        try:
            array = pa.array(values, self.type.arrow)
        except REFUSALS:
            return None
        return array if self.type.sound is None or self.type.sound(values, array) else None

    def _convert(self, values: Sequence[Any]) -> tuple[list[Any], dict[int, Unfit]]:
        take = self.type.take
        converted: list[Any] = []
        unfit: dict[int, Unfit] = {}
        for position, value in enumerate(values):
            try:
                converted.append(take(value))
            except Unfit as fault:
                unfit[position] = fault
                converted.append(None)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - the `__str__` or `__getattr__` of the user's own classes
                unfit[position] = Unfit(UNSTORABLE, f"turning the value into its column raised {type(error).__name__}")
                converted.append(None)
        return converted, unfit

    def _build_each(self, converted: list[Any], unfit: dict[int, Unfit]) -> tuple[pa.Array[Any], dict[int, Unfit]]:
        """Arrow refused the column although each value was converted: one of them is stranger than we know."""
        kept = list(converted)
        for position, value in enumerate(converted):
            try:
                pa.array([value], self.type.arrow)
            except REFUSALS:
                unfit[position] = Unfit(UNSTORABLE, f"Arrow cannot hold the value as {self.type.arrow}")
                kept[position] = None
        return pa.array(kept, self.type.arrow), unfit

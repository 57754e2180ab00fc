"""Column types of what holds other values: lists, maps, and structs of models and their relatives."""

from __future__ import annotations

import dataclasses
import typing
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rowkeeper.contracts.columntype import ColumnType
from rowkeeper.contracts.faults import UNSTORABLE, Unfit
from rowkeeper.contracts.jsontext import JSON, ordered
from rowkeeper.errors import ContractError


def optional(column: ColumnType) -> ColumnType:
    """The same, where None is a value too. Lists, maps and structs become JSON: ClickHouse has no nullable ones."""
    if pa.types.is_nested(column.arrow):
        column = JSON
    return dataclasses.replace(column, nullable=True)


def _other_kind(value: object, wanted: str) -> Unfit:
    return Unfit(UNSTORABLE, f"the model holds a value of type {type(value).__name__}, its column holds {wanted}")


def list_type(item: ColumnType) -> ColumnType:
    """A list of items; sets are put in ascending order, so that each process stores the same."""
    take = item.take

    def convert(value: Any) -> list[Any]:
        if isinstance(value, Set):
            return [take(each) for each in ordered(value)]
        if isinstance(value, list | tuple | deque) or (
            isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
        ):
            return [take(each) for each in value]
        raise _other_kind(value, "lists")

    return ColumnType(pa.list_(item.field("item")), convert)


def map_type(key: ColumnType, value: ColumnType) -> ColumnType:
    """A map from text or integers; JSON for other keys."""
    if key.nullable or key.arrow not in (pa.string(), pa.int64()) or key.metadata == JSON.metadata:
        return JSON
    take_key, take_value = key.take, value.take

    def convert(given: Any) -> list[tuple[Any, Any]]:
        if not isinstance(given, Mapping):
            raise _other_kind(given, "maps")
        pairs = [(take_key(each), take_value(inner)) for each, inner in given.items()]
        if len({each for each, _ in pairs}) < len(pairs):
            raise Unfit(UNSTORABLE, "two keys of the map are the same in its column")
        return pairs

    fields: tuple[Any, Any] = key.field("key"), value.field("value")  # the stubs know types here, not fields
    return ColumnType(pa.map_(*fields), convert)


def tuple_type(items: Sequence[ColumnType]) -> ColumnType:
    """A struct with fields "1", "2", ...; JSON for the empty tuple."""
    if not items:
        return JSON
    named = [(str(number), item) for number, item in enumerate(items, 1)]

    def values(given: Any) -> Mapping[str, Any]:
        if not isinstance(given, tuple) or len(given) != len(named):
            raise _other_kind(given, f"tuples of {len(named)}")
        return {str(number): each for number, each in enumerate(given, 1)}

    return _struct(named, values)


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A field of a struct: its annotation, its constraints, and whether it may be None or absent besides."""

    annotation: Any
    metadata: Sequence[Any] = ()
    maybe_none: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What a class with named fields is made of.

    Attributes:
        fields: by name, in order.
        values: what an instance holds, by name; a name may be missing where the field may be absent.
        open: instances may hold more than the fields.
        root: the class stands for its one value (RootModel).
    """

    fields: Mapping[str, Part]
    values: Callable[[Any], Mapping[str, Any]]
    open: bool = False
    root: bool = False

    def column(self, fields: Sequence[tuple[str, ColumnType]]) -> ColumnType:
        """The column type, given those of the fields."""
        if self.root:
            ((_, inner),) = fields
            return dataclasses.replace(
                inner, convert=lambda value: inner.take(self.values(value)["root"]), plain=frozenset(), sound=None
            )
        return _struct(fields, self.values) if fields else JSON


def _struct(fields: Sequence[tuple[str, ColumnType]], values: Callable[[Any], Mapping[str, Any]]) -> ColumnType:
    takes = [(name, column.take) for name, column in fields]

    def convert(value: Any) -> dict[str, Any]:
        held = values(value)
        return {name: take(held.get(name)) for name, take in takes}

    return ColumnType(pa.struct([column.field(name) for name, column in fields]), convert)


def struct_of_kind(kind: type, place: str) -> Parts | None:
    """The parts of a model, dataclass, TypedDict or NamedTuple; None for any other class.

    Raises ContractError if its annotations cannot be resolved.
    """
    if issubclass(kind, BaseModel):
        return _of_model(kind)
    if dataclasses.is_dataclass(kind):
        return _of_dataclass(kind, place)
    if typing.is_typeddict(kind) or type(kind).__name__ == "_TypedDictMeta":
        return _of_typed_dict(kind, place)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _of_named_tuple(kind, place)
    return None


def part_of(info: FieldInfo) -> Part:
    """A model's field. A default of None makes it nullable, whatever it is annotated with."""
    return Part(info.annotation, info.metadata, info.default is None)


def _held_by(kind: type, names: Sequence[str]) -> Callable[[Any], Mapping[str, Any]]:
    def values(given: Any) -> Mapping[str, Any]:
        if not isinstance(given, kind):
            raise _other_kind(given, kind.__name__)
        return {name: getattr(given, name) for name in names}

    return values


def _of_model(kind: type[BaseModel]) -> Parts:
    fields = {name: part_of(info) for name, info in kind.model_fields.items()}
    fields |= {name: Part(info.return_type) for name, info in kind.model_computed_fields.items()}
    return Parts(
        fields,
        _held_by(kind, list(fields)),
        open=kind.model_config.get("extra") == "allow",
        root=issubclass(kind, RootModel) and len(fields) == 1,
    )


def _of_dataclass(kind: type, place: str) -> Parts:
    infos = getattr(kind, "__pydantic_fields__", None)
    if infos is not None:
        fields = {name: part_of(info) for name, info in infos.items() if not info.init_var}
    else:
        hints = _hints(kind, place)
        fields = {
            each.name: Part(hints[each.name], maybe_none=each.default is None) for each in dataclasses.fields(kind)
        }
    extra = getattr(kind, "__pydantic_config__", {}).get("extra")
    return Parts(fields, _held_by(kind, list(fields)), open=extra == "allow")


def _of_typed_dict(kind: type, place: str) -> Parts:
    required = kind.__required_keys__  # type: ignore[attr-defined]
    fields = {name: _key(hint, name in required) for name, hint in _hints(kind, place).items()}

    def values(given: Any) -> Mapping[str, Any]:
        if not isinstance(given, Mapping):
            raise _other_kind(given, kind.__name__)
        return given

    return Parts(fields, values, open=getattr(kind, "__pydantic_config__", {}).get("extra") == "allow")


def _key(hint: Any, required: bool) -> Part:
    """A key of a TypedDict, out of its `Required[...]`, `NotRequired[...]` or `ReadOnly[...]`.

    What the annotation says goes before `__required_keys__`, which does not see inside annotations kept as text.
    """
    while (qualifier := getattr(get_origin(hint), "_name", None)) in ("Required", "NotRequired", "ReadOnly"):
        required = required if qualifier == "ReadOnly" else qualifier == "Required"
        hint = get_args(hint)[0]
    return Part(hint, maybe_none=not required)


def _of_named_tuple(kind: type, place: str) -> Parts:
    names: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
    defaults = getattr(kind, "_field_defaults", {})
    hints = _hints(kind, place)
    fields = {
        name: Part(hints.get(name, Any), maybe_none=defaults.get(name, PydanticUndefined) is None) for name in names
    }
    return Parts(fields, _held_by(kind, names))


def _hints(kind: type, place: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError) as error:
        raise ContractError(
            f"{place}: the annotations of {kind.__name__} cannot be resolved ({type(error).__name__})",
            hint="define the types that it names at the top level of its module",
        ) from error

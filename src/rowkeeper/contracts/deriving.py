"""From a field's annotation to its column type.

    bool, int, float, str, bytes    Bool, 64-bit integer and float, text, bytes
    Decimal                         Decimal(max_digits, decimal_places); Decimal(38, 9) where nothing is said
    date, time, timedelta           days; microseconds of the day, without zone; microseconds
    datetime, AwareDatetime         microseconds in UTC; a value without a zone is taken as UTC
    NaiveDatetime                   microseconds without a zone
    UUID                            16 bytes, marked as a UUID
    Enum, Literal                   text or integers where all values are such, marked with the list of them
    URLs, e-mail and IP addresses, paths, regular expressions: as text
    models, dataclasses, TypedDict, NamedTuple, tuple[X, Y]     struct ("1", "2", ... in a plain tuple)
    list[X], tuple[X, ...], set[X], Sequence[X]                 list; sets in ascending order
    dict[str, X], dict[int, X]      map
    unions, Any, and all that may hold more than its fields (extra="allow", recursive models): JSON text

`X | None` and a field whose default is None are nullable. A list, map or struct that may be None is JSON text,
for ClickHouse has no nullable ones. What cannot be a column is refused with a ContractError.
"""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import enum
import re
import types
import typing
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic
import pydantic_core
from pydantic.fields import FieldInfo

from rowkeeper.contracts import scalars
from rowkeeper.contracts.columntype import ColumnType
from rowkeeper.contracts.containers import list_type, map_type, optional, struct_of_kind, tuple_type
from rowkeeper.contracts.jsontext import JSON
from rowkeeper.errors import ContractError

SCALARS: tuple[tuple[type, ColumnType], ...] = (  # the first that is a base of the annotation; bool is an int
    (bool, scalars.BOOL),
    (int, scalars.INT),
    (float, scalars.FLOAT),
    (str, scalars.STR),
    (bytes, scalars.BYTES),
    (bytearray, scalars.BYTES),
    (datetime, scalars.INSTANT),
    (date, scalars.DATE),
    (time, scalars.TIME),
    (timedelta, scalars.DURATION),
    (UUID, scalars.UUID_TYPE),
    (re.Pattern, scalars.PATTERN),
)
PYDANTIC_TIMES: dict[Any, ColumnType] = {
    pydantic.PastDate: scalars.DATE,
    pydantic.FutureDate: scalars.DATE,
    pydantic.PastDatetime: scalars.INSTANT,
    pydantic.FutureDatetime: scalars.INSTANT,
    pydantic.AwareDatetime: scalars.INSTANT,
    pydantic.NaiveDatetime: scalars.WALL_TIME,
}
IP_CLASSES = (IPv4Address, IPv6Address, IPv4Interface, IPv6Interface, IPv4Network, IPv6Network)
IP_ANY: tuple[Any, ...] = (pydantic.IPvAnyAddress, pydantic.IPvAnyInterface, pydantic.IPvAnyNetwork)
PRINTED = (*IP_CLASSES, PurePath, ZoneInfo, Fraction, complex)
LISTS = (
    *(list, set, frozenset, collections.deque),
    *(collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Collection),
    *(collections.abc.Set, collections.abc.MutableSet),
)
MAPS = (
    *(dict, collections.defaultdict, collections.OrderedDict, collections.Counter),
    *(collections.abc.Mapping, collections.abc.MutableMapping),
)
SECRETS = (pydantic.SecretStr, pydantic.SecretBytes, pydantic.Secret)
LAZY = (
    *(collections.abc.Iterable, collections.abc.Iterator),
    *(collections.abc.Generator, collections.abc.AsyncIterable),
)
UNSTORABLE = (collections.abc.Callable, type, pydantic.ImportString)


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where in the contract an annotation stands.

    Attributes:
        name: the field, as "Flight.carrier", with "[]" for what is inside a container.
        within: the classes and aliases around it, to notice recursion.
    """

    name: str
    within: tuple[Any, ...] = ()

    def inside(self, part: str, *around: Any) -> Place:
        """The place of a part."""
        return Place(self.name + part, (*self.within, *around))


def derive(annotation: Any, metadata: Sequence[Any], place: Place) -> ColumnType:  # noqa: PLR0911 - a table of forms
    """The column type of an annotation with its constraints.

    Raises:
        ContractError: no column can hold its values; names the field and the next step.
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return derive(inner, [*metadata, *_flat(more)], place)
    alias = _alias_value(annotation, origin)
    if alias is not None:
        return JSON if annotation in place.within else derive(alias, metadata, place.inside("", annotation))
    if isinstance(annotation, typing.NewType):
        return derive(annotation.__supertype__, metadata, place)
    if annotation is None or annotation is type(None):
        return optional(JSON)
    if origin in (Union, types.UnionType):
        return _union(get_args(annotation), metadata, place)
    if origin is Literal:
        return _literal(annotation, get_args(annotation))
    if annotation in (Any, object, pydantic.Json, collections.abc.Hashable) or isinstance(annotation, TypeVar | str):
        return optional(JSON)
    kind = origin or annotation
    if not isinstance(kind, type):
        raise _no_column(annotation, place)
    return _container(kind, get_args(annotation), place) or _class(kind, metadata, place)


def _flat(metadata: Sequence[Any]) -> list[Any]:
    """The constraints that a `Field(...)` inside `Annotated` carries, beside the bare ones."""
    flat: list[Any] = []
    for each in metadata:
        flat += each.metadata if isinstance(each, FieldInfo) else [each]
    return flat


def _alias_value(annotation: Any, origin: Any) -> Any:
    """What a `type X = ...` alias stands for, its parameters filled in; None for anything else."""
    if type(annotation).__name__ == "TypeAliasType":
        return annotation.__value__
    if type(origin).__name__ == "TypeAliasType":
        value = origin.__value__
        return value[get_args(annotation)] if getattr(value, "__parameters__", ()) else value
    return None


def _union(members: tuple[Any, ...], metadata: Sequence[Any], place: Place) -> ColumnType:
    """`X | None` is a nullable X; members that share one column type have it; any other union is JSON."""
    real = [each for each in members if each not in (None, type(None))]
    derived = _merged(real, metadata, place)
    return optional(derived) if len(real) < len(members) else derived


def _merged(members: Sequence[Any], metadata: Sequence[Any], place: Place) -> ColumnType:
    if not members:
        return optional(JSON)
    if len(members) > 1 and all(get_origin(each) is Literal for each in members):
        return _literal(members[0], [value for each in members for value in get_args(each)])
    derived = [derive(each, metadata, place) for each in members]
    first = derived[0]
    if all(each == first for each in derived):
        return first
    return optional(JSON) if any(each.nullable for each in derived) else JSON


def _literal(annotation: Any, values: Sequence[Any]) -> ColumnType:
    real = [value for value in values if value is not None]
    table = {value: value.value if isinstance(value, enum.Enum) else value for value in real}
    if real and all(isinstance(value, bool) for value in real):
        derived = scalars.BOOL
    else:
        derived = scalars.choice_type(table) or JSON if len(table) == len(real) else JSON
    return optional(derived) if len(real) < len(values) else derived


def _container(kind: type, arguments: tuple[Any, ...], place: Place) -> ColumnType | None:
    """Lists, maps and tuples; None for any other class."""
    if kind is tuple:
        if not arguments:
            return list_type(derive(Any, (), place))
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return list_type(derive(arguments[0], (), place.inside("[]")))
        return tuple_type([derive(each, (), place.inside(f".{n}")) for n, each in enumerate(arguments, 1)])
    if kind in LISTS:
        return list_type(derive(arguments[0] if arguments else Any, (), place.inside("[]")))
    if kind in MAPS:
        key, value = _key_and_value(kind, arguments)
        return map_type(derive(key, (), place.inside("[key]")), derive(value, (), place.inside("[]")))
    return None


def _key_and_value(kind: type, arguments: tuple[Any, ...]) -> tuple[Any, Any]:
    if kind is collections.Counter:
        return (arguments[0] if arguments else Any), int
    return (arguments[0], arguments[1]) if len(arguments) == 2 else (Any, Any)


def _class(kind: type, metadata: Sequence[Any], place: Place) -> ColumnType:  # noqa: PLR0911 - a table of classes
    if issubclass(kind, SECRETS):
        raise ContractError(
            f"{place.name} is a {kind.__name__}: a secret is not stored in a column",
            hint="leave the field out of the contract, or exclude the column at the source",
        )
    if kind in UNSTORABLE or kind in LAZY:
        raise _no_column(kind, place)
    if kind in PYDANTIC_TIMES:
        return PYDANTIC_TIMES[kind]
    if issubclass(kind, enum.Enum):
        return _enumeration(kind)
    if issubclass(kind, Decimal):
        return scalars.decimal_type(_constraint(metadata, "max_digits"), _constraint(metadata, "decimal_places"))
    for base, column in SCALARS:
        if issubclass(kind, base):
            return column
    parts = struct_of_kind(kind, place.name)
    if parts is not None:
        if kind in place.within:
            return JSON
        fields = [
            (name, derive(each.annotation, each.metadata, place.inside(f".{name}", kind)), each.maybe_none)
            for name, each in parts.fields.items()
        ]
        column = parts.column([(name, optional(inner) if none else inner) for name, inner, none in fields])
        return JSON if parts.open else column
    return _printed(kind, place)


def _printed(kind: type, place: Place) -> ColumnType:
    """Classes whose values are written with `str`: addresses and the like, and Pydantic-aware ones that say how."""
    if kind in IP_ANY:
        return scalars.printed_type(*IP_CLASSES)
    if issubclass(kind, PRINTED):
        return scalars.printed_type(kind)
    if kind is pydantic.EmailStr:
        return scalars.STR
    if any(base.__module__ == "pydantic.networks" for base in kind.__mro__):
        return scalars.printed_type(kind, pydantic.AnyUrl, pydantic_core.Url, pydantic_core.MultiHostUrl)
    if hasattr(kind, "__get_pydantic_core_schema__") and kind.__str__ is not object.__str__:
        return scalars.printed_type(kind)
    raise _no_column(kind, place)


def _enumeration(kind: type[enum.Enum]) -> ColumnType:
    if issubclass(kind, enum.IntFlag):  # its values are sums of its members
        return scalars.INT
    if issubclass(kind, enum.Flag):
        return JSON
    return scalars.choice_type({member: member.value for member in kind}) or JSON


def _constraint(metadata: Sequence[Any], name: str) -> int | None:
    """The tightest value of a constraint; Pydantic keeps it as an attribute of one of the annotations."""
    found = [getattr(each, name, None) for each in metadata]
    return min((each for each in found if isinstance(each, int)), default=None)


def _no_column(annotation: Any, place: Place) -> ContractError:
    name = getattr(annotation, "__name__", None) or str(annotation)
    return ContractError(
        f"{place.name} is annotated with {name}, which no column can hold",
        hint="annotate it with a type that has values to store (such as str, list[int], a model), or leave it out",
        context={"field": place.name},
    )

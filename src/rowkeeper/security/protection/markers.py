"""What a contract says of its fields: `Classified`, and protections, wherever in an annotation they stand."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typing_extensions import get_type_hints, is_typeddict

from rowkeeper.errors import DeclarationError
from rowkeeper.security.classified import Classified
from rowkeeper.security.protection.method import Method

MARKERS = (Classified, Method)


@dataclasses.dataclass(frozen=True, slots=True)
class Marked:
    """A field that is classified, protected, or both.

    Attributes:
        labels: its classifications; what is protected without one has none.
        method: its own protection; None where the contract names none.
        inside: a marker stands inside a list, a map or another model, and so is of a part of the column only.
    """

    labels: tuple[str, ...]
    method: Method | None
    inside: bool


def marked_fields(model: type[BaseModel]) -> dict[str, Marked]:
    """The fields and computed fields of a contract with a marker in them, under their names.

    Raises DeclarationError for a field with two protections, or one for a part of it.
    """
    found = {}
    for name, annotation, metadata in _declared(model):
        whole = list(_own(annotation, metadata))
        parts = list(_inside(annotation, ()))
        markers = [*whole, *parts]
        if not markers:
            continue
        uncalled = next((each for each in markers if isinstance(each, type)), None)
        if uncalled is not None:
            raise DeclarationError(
                f"{model.__name__}.{name}: the marker {uncalled.__name__} is not called",
                hint=f"write rk.{uncalled.__name__}(...), with its brackets",
            )
        methods = [each for each in whole if isinstance(each, Method)]
        if len(methods) > 1:
            raise DeclarationError(
                f"{model.__name__}.{name} has two protections", hint="a column is protected once: leave one of them"
            )
        if any(isinstance(each, Method) for each in parts):
            raise DeclarationError(
                f"{model.__name__}.{name}: a protection stands inside of it, and a column is protected as a whole",
                hint="give the field itself the protection (a list or a model takes rk.Redact() only), or a column "
                "of its own to what is to be protected",
            )
        labels = dict.fromkeys(each.label for each in markers if isinstance(each, Classified))
        found[name] = Marked(tuple(labels), methods[0] if methods else None, bool(parts))
    return found


def _declared(model: type[BaseModel]) -> Iterator[tuple[str, Any, Iterable[Any]]]:
    for name, info in model.model_fields.items():
        yield name, info.annotation, info.metadata
    for name, computed in model.model_computed_fields.items():
        yield name, computed.return_type, ()


def _own(annotation: Any, metadata: Iterable[Any]) -> Iterator[Any]:
    """The markers of the field as a whole: beside it, or beside the one thing that it is if it is not None."""
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from _own(None, each.metadata)
        elif isinstance(each, MARKERS) or (isinstance(each, type) and issubclass(each, MARKERS)):
            yield each
    for annotated in _as_whole(annotation):
        yield from _own(get_args(annotated)[0], get_args(annotated)[1:])


def _as_whole(annotation: Any) -> Iterator[Any]:
    annotation = _unaliased(annotation)
    if get_origin(annotation) is Annotated:
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType):
        for each in get_args(annotation):
            yield from _as_whole(each)


def _inside(annotation: Any, within: tuple[Any, ...]) -> Iterator[Any]:
    """The markers of parts of the field."""
    annotation = _unaliased(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _inside(get_args(annotation)[0], within)
    elif origin in (Union, types.UnionType):
        for each in get_args(annotation):
            yield from _inside(each, within)
    elif origin is not None:
        for each in get_args(annotation):
            yield from _own(each, ())
            yield from _inside(each, within)
    elif isinstance(annotation, type) and annotation not in within:
        for part, metadata in _parts_of(annotation):
            yield from _own(part, metadata)
            yield from _inside(part, (*within, annotation))


def _parts_of(kind: type) -> Iterator[tuple[Any, Iterable[Any]]]:
    """The fields of a model, a dataclass, a typed dictionary or a named tuple."""
    if issubclass(kind, BaseModel):
        for _, annotation, metadata in _declared(kind):
            yield annotation, metadata
    elif dataclasses.is_dataclass(kind) or is_typeddict(kind) or hasattr(kind, "_fields"):
        try:
            hints = get_type_hints(kind, include_extras=True)
        except NameError:  # of a class inside a function, which names others there
            hints = kind.__annotations__
        for annotation in hints.values():
            yield annotation, ()


def _unaliased(annotation: Any) -> Any:
    """What a `type X = ...` stands for."""
    while type(annotation).__name__ == "TypeAliasType":
        annotation = annotation.__value__
    return annotation

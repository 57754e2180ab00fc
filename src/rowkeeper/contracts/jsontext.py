"""Values written as JSON text, for columns that have no narrower type."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
from pydantic import BaseModel, RootModel
from pydantic_core import PydanticSerializationError, to_json

from rowkeeper.contracts.columntype import TYPE_KEY, ColumnType
from rowkeeper.contracts.faults import UNSTORABLE, Unfit

SORTABLE = frozenset({bool, int, float, str, bytes, Decimal, date, datetime, time, timedelta, UUID})
"""Types with one total order; sets of sets, by contrast, are ordered by inclusion."""


def json_text(value: Any) -> str:
    """The value as JSON: bytes in URL-safe base64, infinities and NaN as strings, sets in a fixed order.

    Raises Unfit for a value that has no JSON form.
    """
    try:
        text = to_json(_json_ready(value), bytes_mode="base64", inf_nan_mode="strings")
    except (PydanticSerializationError, RecursionError):
        raise Unfit(UNSTORABLE, f"the value of type {type(value).__name__} has no JSON form") from None
    return text.decode()


def ordered(values: Iterable[Any]) -> list[Any]:
    """The members of a set in an order that is the same in every process (that of a set of text is not)."""
    members = list(values)
    if set(map(type, members)) <= SORTABLE:
        try:
            return sorted(members, key=lambda value: (value != value, value))  # noqa: PLR0124 - only NaN is not itself; it goes last
        except TypeError:  # text beside numbers, times with a zone beside times without
            pass
    return sorted(members, key=lambda value: (json_text(value), type(value).__name__))


def model_values(model: BaseModel) -> dict[str, Any]:
    """What a model holds, by field name: no serializer is asked. Computed fields and extra values included."""
    kind = type(model)
    values = {name: getattr(model, name) for name in (*kind.model_fields, *kind.model_computed_fields)}
    return values | (model.__pydantic_extra__ or {})


def _json_ready(value: Any) -> Any:  # noqa: PLR0911 - a table of kinds
    """Models, sets and the like as what `to_json` writes without asking their serializers."""
    match value:
        case RootModel():
            return _json_ready(value.root)
        case BaseModel():
            return {name: _json_ready(each) for name, each in model_values(value).items()}
        case enum.Enum():
            return _json_ready(value.value)
        case Mapping():
            return {_json_key(key): _json_ready(each) for key, each in value.items()}
        case tuple() if hasattr(value, "_asdict"):
            return {name: _json_ready(each) for name, each in value._asdict().items()}
        case list() | tuple() | deque():
            return [_json_ready(each) for each in value]
        case set() | frozenset():
            return [_json_ready(each) for each in ordered(value)]
        case re.Pattern():
            return value.pattern
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {each.name: _json_ready(getattr(value, each.name)) for each in dataclasses.fields(value)}
        case _:
            return value


def _json_key(key: Any) -> Any:
    return key.value if isinstance(key, enum.Enum) else key


JSON = ColumnType(pa.string(), json_text, metadata={TYPE_KEY: b"json"})

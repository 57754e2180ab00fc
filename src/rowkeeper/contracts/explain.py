"""How each field of a contract is checked, and why: what `rowkeeper explain` prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import pyarrow as pa

from rowkeeper.contracts.columntype import TYPE_KEY

WHY = "row by row through Pydantic; the compiler comes with the next release"


@dataclasses.dataclass(frozen=True, slots=True)
class FieldPlan:
    """How one field is checked.

    Attributes:
        name: the field.
        kind: V by column, P prefiltered by column, F by Pydantic row by row.
        column: its Arrow type, and "or null".
        why: the reason for the kind.
    """

    name: str
    kind: Literal["V", "P", "F"]
    column: str
    why: str


def explain_fields(schema: Iterable[pa.Field[Any]]) -> list[FieldPlan]:
    """The plan of each field, in the order of the columns."""
    return [FieldPlan(field.name, "F", _column(field), WHY) for field in schema]


def _column(field: pa.Field[Any]) -> str:
    mark = (field.metadata or {}).get(TYPE_KEY)
    name = mark.decode() if mark else str(field.type)
    return f"{name} or null" if field.nullable else name

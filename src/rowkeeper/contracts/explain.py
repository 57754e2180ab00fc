"""How each field of a contract is checked, and why: what `rowkeeper explain` prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import pyarrow as pa

from rowkeeper.contracts.columntype import TYPE_KEY
from rowkeeper.contracts.compiler import FieldKind


@dataclasses.dataclass(frozen=True, slots=True)
class FieldPlan:
    """How one field is checked.

    Attributes:
        name: the field.
        kind: V by column, P by column where its form is narrow, F by Pydantic.
        column: its Arrow type, and "or null".
        check: the column expression; empty for F.
        why: why the kind is not V.
    """

    name: str
    kind: Literal["V", "P", "F"]
    column: str
    check: str
    why: str


def explain_fields(kinds: Iterable[FieldKind], schema: pa.Schema) -> list[FieldPlan]:
    """The plan of each field, in the order of the columns."""
    return [
        FieldPlan(each.name, each.kind, _column(schema.field(each.name)), each.expression, each.why) for each in kinds
    ]


def _column(field: pa.Field[Any]) -> str:
    mark = (field.metadata or {}).get(TYPE_KEY)
    name = mark.decode() if mark else str(field.type)
    return f"{name} or null" if field.nullable else name

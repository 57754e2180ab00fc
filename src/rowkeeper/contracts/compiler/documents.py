"""JSON documents: which type each field's key is read as, and what a null cell stands for.

A JSON value of that type is to Pydantic what the same value of Python is, in lax mode; a value of another type cannot
be read as a column, and its row goes to Pydantic. A key that is null and one that is absent are both null cells, told
apart where they mean different things. Proof: tests/contracts/test_documents.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.contracts.compiler.schema import FieldSchema, without_nullable
from rowkeeper.contracts.documents import Read

FUNCTIONS = ("function-after", "function-before", "function-wrap")
TYPES: dict[str, tuple[pa.DataType, ...]] = {
    "bool": (pa.bool_(),),
    "int": (pa.int64(),),
    "float": (pa.float64(),),
    "decimal": (pa.string(),),
    "str": (pa.string(),),
    "uuid": (pa.string(),),
    "date": (pa.string(),),
    "datetime": (pa.string(),),
    "literal": (pa.string(), pa.int64()),
    "enum": (pa.string(), pa.int64()),
}
"""By type of core schema, the types that its values may be read as, the first that suits its rule being taken."""


SHOWN_RAW = (pa.bool_(), pa.int64(), pa.string())
"""Types whose values a function sees as the document has them: a float may be written 1, and is an int to it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Inner:
    """What a field's JSON value is checked by, within the field's functions.

    Attributes:
        nullable: whether None is accepted before any function is asked.
        functions: whether there are any; they may accept None.
        shown_raw: whether one of them sees the value before it is checked.
    """

    schema: Mapping[str, Any]
    nullable: bool
    functions: bool
    shown_raw: bool


def inner(schema: Mapping[str, Any]) -> Inner:
    """Goes through what may be null, and through functions that see nothing but the value."""
    nullable = functions = shown_raw = False
    while True:
        schema, more = without_nullable(schema)
        nullable = nullable or more
        function = schema.get("function")
        if schema["type"] not in FUNCTIONS or not isinstance(function, Mapping) or function.get("type") != "no-info":
            return Inner(schema, nullable, functions, shown_raw)
        functions = True
        shown_raw = shown_raw or schema["type"] != "function-after"
        schema = schema["schema"]


@dataclasses.dataclass(frozen=True, slots=True)
class DocumentField:
    """A field whose JSON value can be read as a column of this type.

    Attributes:
        takes_none: whether None may be accepted.
        same: whether null and absent come to the same.
    """

    field: FieldSchema
    type: pa.DataType
    takes_none: bool
    same: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """Documents in which it is known what each null cell stands for.

    Attributes:
        table: those rows.
        positions: where they stand.
        absent: for fields with a default, by name, in which rows the key is absent; the other null cells are nulls.
    """

    table: pa.Table
    positions: pa.Array[Any]
    absent: Mapping[str, pa.Array[Any]]


def settled(read: Read, fields: Sequence[DocumentField]) -> Settled:
    """Leaves out the rows in which a null cell has no meaning but an error."""
    absences: dict[str, Any] = {}
    keep: Any = None
    for each in fields:
        field = each.field
        cells = read.table[field.keys[0]]
        if not cells.null_count or each.same or not (each.takes_none or field.default):
            continue  # no question; one answer to both; or both are refused, by Pydantic
        empty: Any = _array(pc.is_null(cells))
        absent: Any = read.absent.get(field.keys[0], pa.repeat(pa.scalar(False), len(empty)))
        known: Any = pc.invert(empty)
        if each.takes_none:
            known = pc.or_(known, pc.and_not(empty, absent))
        if field.default:
            absences[field.name] = absent
            known = pc.or_(known, absent)
        keep = known if keep is None else pc.and_(keep, known)
    if keep is None or pc.all(keep).as_py():
        return Settled(read.table, read.positions, absences)
    absences = {name: each.filter(keep) for name, each in absences.items()}
    return Settled(read.table.filter(keep), read.positions.filter(keep), absences)


def _array(values: Any) -> Any:
    return values.combine_chunks()

"""A first contract from a sample, as Python source: a start to be tightened, not a truth."""

from __future__ import annotations

import dataclasses
import keyword
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from rowkeeper.batch import RAW_LINE, InputMode

# Narrow before wide: the first type that takes every value of the sample is chosen.
CANDIDATES: tuple[tuple[str, Any], ...] = (("int", int), ("float", float), ("date", date), ("datetime", datetime))
CANONICAL_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})")
DATE_LIKE = re.compile(r"\d{4}-\d{2}-\d{2}")
BOOLEANS = {"true", "false", "True", "False", "TRUE", "FALSE"}
RESERVED = {"model_config", "model_fields", "copy", "dict", "json", "schema", "validate", "construct"}


@dataclasses.dataclass(frozen=True, slots=True)
class InferredContract:
    """A contract as text.

    Attributes:
        imports: lines to stand at the top of the file.
        source: the class.
        required: the fields that had a value in every row: candidates for a sorting key.
        fields: how many there are.
    """

    imports: tuple[str, ...]
    source: str
    required: tuple[str, ...]
    fields: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    column: str
    name: str
    annotation: str
    optional: bool
    absent: bool


def infer_contract(sample: pa.Table, mode: InputMode, name: str) -> InferredContract:
    """Infers a model of this name from a sample: types by value, optional where a value is missing."""
    fields: list[_Field] = []
    for column, values, absent in _columns(sample, mode):
        known = [value for value in values if value is not None]
        annotation = _of_text(known) if mode is InputMode.STRINGS else _of_values(known)
        taken = {field.name for field in fields}
        fields.append(_Field(column, _identifier(column, taken), annotation, len(known) < len(values), absent))
    lines = [_line(field) for field in fields] or ["    pass"]
    text = "\n".join(lines)
    times = sorted({word for word in ("date", "datetime", "time", "timedelta") if re.search(rf"\b{word}\b", text)})
    imports = [
        *([f"from datetime import {', '.join(times)}"] if times else []),
        *(["from decimal import Decimal"] if "Decimal" in text else []),
        *(["from typing import Any"] if re.search(r"\bAny\b", text) else []),
    ]
    pydantic = "BaseModel, Field" if "Field(" in text else "BaseModel"
    imports += ([""] if imports else []) + [f"from pydantic import {pydantic}"]
    required = tuple(field.name for field in fields if not field.optional and field.annotation in SORTABLE)
    return InferredContract(tuple(imports), f"class {name}(BaseModel):\n{text}\n", required, len(fields))


SORTABLE = {"int", "str", "date", "datetime", "float", "bool", "Decimal"}


def _columns(sample: pa.Table, mode: InputMode) -> Iterable[tuple[str, list[Any], bool]]:
    """Name, values, and whether some rows lack the column altogether."""
    if mode is not InputMode.JSON:
        for name in sample.column_names:
            yield name, sample[name].to_pylist(), False
        return
    documents = [each for each in (from_json(line) for line in sample[RAW_LINE].to_pylist()) if isinstance(each, dict)]
    for key in dict.fromkeys(key for document in documents for key in document):
        values = [document.get(key) for document in documents]
        yield key, values, any(key not in document for document in documents)


def _of_text(values: Sequence[str]) -> str:
    if not values:
        return "str"
    if all(value in BOOLEANS for value in values):
        return "bool"
    for name, kind in CANDIDATES:
        if all(_fits(name, kind, value) for value in values):
            return name
    return "str"


def _fits(name: str, kind: Any, value: str) -> bool:
    """Whether the text is one of this type and nothing is lost by taking it for one (007 stays text)."""
    if name == "int":
        return CANONICAL_INT.fullmatch(value) is not None
    if name == "float" and (not re.fullmatch(r"[-+0-9.eE]+", value) or re.fullmatch(r"-?0\d.*", value)):
        return False
    if name in ("date", "datetime") and not DATE_LIKE.match(value):
        return False
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return name != "date" or len(value) == len("2026-01-01")


def _of_values(values: Sequence[Any]) -> str:
    """By the Python types of the values; a mixture is Any."""
    names = {_type_name(value) for value in values}
    if names == {"int", "float"}:
        return "float"
    if len(names) == 1:
        name = names.pop()
        return _of_text(values) if name == "str" and _of_text(values) in ("date", "datetime") else name
    return "Any" if names else "str"


def _type_name(value: Any) -> str:
    if isinstance(value, dict):
        return "dict[str, Any]"
    if isinstance(value, list):
        inner = {_type_name(each) for each in value if each is not None}
        plain = len(inner) == 1 and None not in value
        return f"list[{inner.pop()}]" if plain else "list[Any]"
    name = type(value).__name__
    return (
        name
        if name in ("int", "float", "bool", "str", "bytes", "date", "datetime", "time", "timedelta", "Decimal")
        else "Any"
    )


def _line(field: _Field) -> str:
    annotation = f"{field.annotation} | None" if field.optional and field.annotation != "Any" else field.annotation
    default = "None" if field.absent else ""
    if field.name != field.column:
        arguments = ", ".join(filter(None, [f"default={default}" if default else "", f"alias={field.column!r}"]))
        return f"    {field.name}: {annotation} = Field({arguments})"
    return f"    {field.name}: {annotation}" + (f" = {default}" if default else "")


def _identifier(column: str, taken: set[str]) -> str:
    name = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_") or "column"
    if name[0].isdigit():
        name = f"column_{name}"
    if keyword.iskeyword(name) or name in RESERVED or name.startswith("model_"):
        name += "_"
    number = 2
    base = name
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name

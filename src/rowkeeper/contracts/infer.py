"""A first contract from a sample: the Python source of a model that accepts the sample as it stands.

It is a place to start from: a column in which the sample has no null is required, one that looks like numbers is
numbers. Where values of one column do not agree, the narrowest type that holds them all is taken.
"""

from __future__ import annotations

import dataclasses
import keyword
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pydantic import BaseModel
from pydantic_core import from_json

from rowkeeper.batch import RAW_LINE, InputMode
from rowkeeper.contracts.guessing import Guess, Object, guess_arrow, guess_json, guess_text
from rowkeeper.errors import ContractError

_PROTECTED = ("model_validate", "model_dump")  # prefixes that Pydantic warns of
_TYPE_NAMES = frozenset(
    {"Annotated", "Any", "BaseModel", "Decimal", "Field", "Json", "UUID", "date", "datetime", "time", "timedelta"}
    | {"bool", "bytes", "dict", "float", "int", "list", "str"}
)


@dataclasses.dataclass(frozen=True, slots=True)
class InferredContract:
    """A contract as source.

    Attributes:
        imports: the import lines that it needs, in order.
        source: the class definitions, the contract's last.
        required: the fields that are never null and can be ordered by, in order.
        fields: how many fields the contract has.
    """

    imports: tuple[str, ...]
    source: str
    required: tuple[str, ...]
    fields: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """A field to write: the source's name, what its values look like, whether they may be null or absent."""

    column: str
    guess: Guess
    null: bool
    absent: bool


def infer_contract(sample: pa.Table, mode: InputMode, name: str) -> InferredContract:
    """The source of a model `name` that accepts every row of the sample (every JSON document that is an object).

    Args:
        sample: as a source gives it: columns of text, typed columns, or `RAW_LINE` with JSON documents. Of a table
            without rows the types and the nullability of its columns are taken.

    Raises:
        ContractError: the sample has no columns, or no documents.
    """
    fields = _fields_of_documents(sample) if mode is InputMode.JSON else _fields_of_table(sample, mode)
    if not fields:
        raise ContractError(
            f"there is nothing in the sample to infer the contract {name} from",
            hint="give a sample with at least one column (of JSON: one document that is an object)",
        )
    writer = _Writer(name)
    names = writer.write(name, fields)
    required = [
        identifier
        for field, identifier in zip(fields, names, strict=True)
        if field.guess.sortable and not field.null and not field.absent
    ]
    return InferredContract(writer.import_lines(), "\n\n\n".join(writer.classes) + "\n", tuple(required), len(fields))


def _fields_of_table(sample: pa.Table, mode: InputMode) -> list[_Field]:
    guess = guess_arrow if mode is InputMode.PYTHON else _guess_strings
    return [
        _Field(
            field.name,
            guess(column),
            # Without rows it is the schema's word that counts.
            null=column.null_count > 0 or column.type == pa.null() or (not sample.num_rows and field.nullable),
            absent=False,
        )
        for field, column in zip(sample.schema, sample.columns, strict=True)
    ]


def _guess_strings(column: pa.ChunkedArray[Any]) -> Guess:
    return guess_text([value for value in column.to_pylist() if value is not None], numbers=True)


def _fields_of_documents(sample: pa.Table) -> list[_Field]:
    documents = [_parsed(line) for line in sample[RAW_LINE].to_pylist() if line is not None]
    objects = [document for document in documents if isinstance(document, dict)]
    return _fields_of_objects(objects)


def _parsed(line: bytes) -> Any:
    try:
        return from_json(line)
    except ValueError:
        return None  # a broken line will go to quarantine


def _fields_of_objects(objects: Sequence[Mapping[str, Any]]) -> list[_Field]:
    fields = []
    for key in dict.fromkeys(key for each in objects for key in each):
        present = [each[key] for each in objects if key in each]
        values = [value for value in present if value is not None]
        fields.append(_Field(key, guess_json(values), len(values) < len(present), len(present) < len(objects)))
    return fields


class _Writer:
    """Writes classes, inner ones first, and notes what they import."""

    def __init__(self, name: str) -> None:
        self.classes: list[str] = []
        self._names = {name, *_TYPE_NAMES}
        self._imports: set[tuple[str, str]] = {("pydantic", "BaseModel")}

    def import_lines(self) -> tuple[str, ...]:
        """`from a import b, c` lines, the standard library's first."""
        modules = sorted({module for module, _ in self._imports}, key=lambda module: (module == "pydantic", module))
        return tuple(
            f"from {module} import {', '.join(sorted(name for each, name in self._imports if each == module))}"
            for module in modules
        )

    def write(self, name: str, fields: Sequence[_Field]) -> list[str]:
        """Writes the class; returns the fields' names."""
        names = _identifiers(fields)
        lines = [
            self._line(identifier, field, name + _camel(identifier))
            for identifier, field in zip(names, fields, strict=True)
        ]
        self.classes.append(f"class {name}(BaseModel):\n" + "\n".join(lines))
        return names

    def _line(self, identifier: str, field: _Field, class_name: str) -> str:
        annotation = self._annotation(field.guess, class_name)
        if (field.null or field.absent) and annotation != "Any":
            annotation += " | None"
        if identifier != field.column:
            self._imports |= {("typing", "Annotated"), ("pydantic", "Field")}
            annotation = f"Annotated[{annotation}, Field(alias={field.column!a})]"
        return f"    {identifier}: {annotation}" + (" = None" if field.absent else "")

    def _annotation(self, guess: Guess, class_name: str) -> str:
        self._imports |= guess.imports
        if guess.inner is None:
            return guess.annotation
        if isinstance(guess.inner, Object):
            return guess.annotation.format(self._class_of(guess.inner, class_name))
        inner = self._annotation(guess.inner, class_name)
        if guess.inner_null and inner != "Any":
            inner += " | None"
        return guess.annotation.format(inner)

    def _class_of(self, inner: Object, class_name: str) -> str:
        while class_name in self._names:
            class_name += "_"
        self._names.add(class_name)
        if inner.objects is not None:
            fields = _fields_of_objects(inner.objects)
        else:
            fields = [
                _Field(name, guess_arrow(column), null=column.null_count > 0, absent=False)
                for name, column in inner.columns
            ]
        self.write(class_name, fields)
        return class_name


def _identifiers(fields: Iterable[_Field]) -> list[str]:
    """A name for each field, all different, that neither Python nor Pydantic objects to."""
    fields = list(fields)
    taken = {field.column for field in fields if _identifier(field, "") == field.column}
    names = []
    for number, field in enumerate(fields, 1):
        name = _identifier(field, f"column_{number}")
        if name != field.column:
            while name in taken:
                name += "_"
        taken.add(name)
        names.append(name)
    return names


def _identifier(field: _Field, fallback: str) -> str:
    plain = unicodedata.normalize("NFKC", field.column)  # as Python does with identifiers
    name = plain if plain.isidentifier() else re.sub(r"\W+", "_", plain, flags=re.ASCII)
    name = name.strip("_") if name.startswith("_") or name != field.column else name
    if name[:1].isdigit():
        name = f"column_{name}"
    if not name.isidentifier():
        return fallback
    # A default is an assignment: in the class's body it would hide a type of the same name.
    hides = field.absent and name in _TYPE_NAMES
    if hides or keyword.iskeyword(name) or hasattr(BaseModel, name) or name.startswith(_PROTECTED):
        return f"{name}_" if not name.startswith(_PROTECTED) else f"its_{name}"
    return name


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))

"""The protections of one contract: which columns, by which method and key; made before a row is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from rowkeeper.errors import DeclarationError, ProtectionMissing, SecurityError
from rowkeeper.security.keysets import Keysets
from rowkeeper.security.protection import columnar
from rowkeeper.security.protection.markers import Marked, marked_fields
from rowkeeper.security.protection.method import PURPOSE, Method, Use, use_of
from rowkeeper.security.protection.policy import Policy

DEFAULT_PURPOSE = "default"


@dataclasses.dataclass(frozen=True, slots=True)
class ProtectedColumn:
    """One column, its method and the key in use."""

    name: str
    labels: tuple[str, ...]
    method: Method
    use: Use

    def document(self) -> dict[str, Any]:
        """For the ledger, as JSON values: from it a value can be revealed, and no key be found out."""
        document = self.method.document()
        if self.method.keyed:
            document["purpose"] = self.use.purpose
        if self.use.key is not None:
            document["key"] = self.use.key
        return {**document, "labels": list(self.labels), "kind": kind_of(self.use.field)}


def kind_of(field: pa.Field[Any]) -> str:
    """How a revealed value is to be read."""
    if pa.types.is_integer(field.type):
        return "integer"
    binary = pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
    return "bytes" if binary else "text"


@dataclasses.dataclass(frozen=True, slots=True)
class Protections:
    """What is done with the columns of a contract.

    Attributes:
        columns: those that are protected.
        classified: the names of those that have a classification, protected or not, and of all that are protected.
        labels: by column, its classifications.
    """

    columns: tuple[ProtectedColumn, ...] = ()
    classified: frozenset[str] = frozenset()
    labels: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def clear(self) -> frozenset[str]:
        """The classified columns that nothing protects: the destination gets their values as they are."""
        return self.classified - {each.name for each in self.columns}

    def of(self, name: str) -> Method | None:
        """The method of a column; None for one that is not protected."""
        return next((each.method for each in self.columns if each.name == name), None)

    def stored(self, schema: pa.Schema) -> pa.Schema:
        """The columns that the destination gets for those of the contract."""
        methods = {each.name: each.method for each in self.columns}
        return pa.schema([methods[each.name].stored(each) if each.name in methods else each for each in schema])

    def unfit(self, rows: pa.Table) -> dict[str, list[int]]:
        """By column, the rows with a value that its method cannot take."""
        found = {each.name: columnar.unfit(rows[each.name], each.method) for each in self.columns}
        return {name: places for name, places in found.items() if places}

    def apply(self, rows: pa.Table) -> pa.Table:
        """The rows in their protected form. None of the values may be unfit."""
        for each in self.columns:
            place = rows.schema.get_field_index(each.name)
            column = columnar.protected(rows[each.name], each.method, each.use)
            rows = rows.set_column(place, each.method.stored(rows.schema.field(place)), column)
        return rows

    def document(self) -> dict[str, Any]:
        """For the ledger, by column."""
        return {each.name: each.document() for each in self.columns}


def protections_of(model: type[BaseModel], schema: pa.Schema, policy: Policy, keysets: Keysets) -> Protections:
    """What a contract and the policy together say.

    Args:
        schema: the contract's columns.

    Raises:
        DeclarationError: a column cannot be protected like that, or contract and policy contradict each other.
        ProtectionMissing: a column has no protection, and the policy asks for one.
    """
    marked = marked_fields(model)
    columns = []
    for name, each in marked.items():
        method = _method_of(f"{model.__name__}.{name}", each, policy)
        if method is not None:
            columns.append(_column(f"{model.__name__}.{name}", each, method, schema.field(name), keysets))
    return Protections(tuple(columns), frozenset(marked), {name: each.labels for name, each in marked.items()})


def _method_of(field: str, marked: Marked, policy: Policy) -> Method | None:
    entry = policy.entry_of(marked.labels)
    if marked.method is not None:
        if entry is not None and entry.enforce and _says(marked.method, marked) != _says(entry.method, marked):
            raise DeclarationError(
                f"{field} is protected by {marked.method.word}, and the policy {policy.path} enforces "
                f"{entry.method.word} for {entry.classification}",
                hint="leave out the protection in the contract: the policy's is taken",
            )
        return marked.method
    if entry is not None:
        return entry.method
    if policy.requires(marked.labels):
        raise ProtectionMissing(
            f"{field} is classified as {', '.join(marked.labels)} and has no protection, which {policy.path} asks for",
            hint="give it one in the contract, such as rk.Pseudonymise(), or an entry [[protect]] in the policy",
        )
    return None


def _says(method: Method, marked: Marked) -> dict[str, Any]:
    return {**method.document(), "purpose": method.own_purpose or (marked.labels or ("",))[0]}


def _column(field: str, marked: Marked, method: Method, column: pa.Field[Any], keysets: Keysets) -> ProtectedColumn:
    refusal = method.refusal(column)
    if refusal:
        raise DeclarationError(
            f"{field} ({column.type}) cannot be protected by {method.word}: {refusal}",
            hint="rk.Redact() takes every column, rk.Encrypt() every one of single values",
        )
    purpose = method.own_purpose or (marked.labels or (DEFAULT_PURPOSE,))[0]
    if method.keyed and not PURPOSE.fullmatch(purpose):
        raise DeclarationError(
            f"{field}: its classification {purpose!r} cannot name a key's purpose",
            hint=f'name one: rk.{type(method).__name__}(purpose="...") of letters, digits, "_", "." and "-"',
        )
    return ProtectedColumn(column.name, marked.labels, method, use_of(method, column, purpose, keysets))


def column_of_document(name: str, document: Mapping[str, Any], methods: Mapping[str, type[Method]]) -> Method:
    """The method of a column as the ledger has it. Raises SecurityError for one that this version does not know."""
    word = str(document.get("method"))
    if word not in methods:
        raise SecurityError(
            f"the column {name} was protected by {word}, which this version does not know",
            hint="upgrade: pip install --upgrade rowkeeper",
        )
    kind = methods[word]
    known = {each.name for each in dataclasses.fields(kind)}  # type: ignore[arg-type]  # every method is a dataclass
    return kind(**{key: value for key, value in document.items() if key in known})

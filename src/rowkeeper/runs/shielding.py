"""Classified values in quarantine: sealed cell by cell inside the sealed file, and shown masked.

A replay opens them again, in memory. Whoever opens the file itself, for its reasons or to count, sees ciphertext.

The file says in its metadata (`rk:cells`) what is sealed in it:

    open        names of columns, or keys of JSON documents, that are no secret; all others are sealed
    shown       by column or key: how it is shown (a protection's document); of others it is shown that there is a value
    text        what could not be read as a row is no document, and is not shown
    types       the Arrow schema of the sealed columns as they were

A column or key that the contract does not know may be one that it does, misspelt: it is sealed too.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import msgspec
import pyarrow as pa
from pydantic import BaseModel
from pydantic_core import core_schema

from rowkeeper.batch import RAW_LINE, ROW_ID, InputMode
from rowkeeper.contracts.names import names_of, runs_code_before
from rowkeeper.security.keysets import Keyset, Keysets
from rowkeeper.security.protection.ciphertext import Opener, sealed_cells
from rowkeeper.security.protection.plan import Protections, column_of_document
from rowkeeper.security.protection.policy import METHODS

PURPOSE = "quarantine.cells"
CELLS_KEY = b"rk:cells"
HIDDEN = "[classified]"
TEXT = "_rk_text"
NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
# Pydantic's error types whose messages say what was wanted and never what was there. Those of the user's own code, and
# of parsers that point at a character, are none of them.
SILENT = frozenset(
    {
        *("missing", "extra_forbidden", "frozen_field", "none_required", "json_type", "model_type", "dict_type"),
        *("bool_type", "bool_parsing", "int_type", "int_parsing", "int_parsing_size", "int_from_float"),
        *("float_type", "float_parsing", "finite_number", "multiple_of"),
        *("greater_than", "greater_than_equal", "less_than", "less_than_equal"),
        *("string_type", "string_too_short", "string_too_long", "string_pattern_mismatch", "string_unicode"),
        *("bytes_type", "bytes_too_short", "bytes_too_long", "too_short", "too_long", "list_type", "set_type"),
        *("decimal_type", "decimal_parsing", "decimal_max_digits", "decimal_max_places", "decimal_whole_digits"),
        *("date_type", "date_past", "date_future", "date_from_datetime_inexact"),
        *("datetime_type", "datetime_past", "datetime_future", "timezone_naive", "timezone_aware"),
        *("time_type", "time_delta_type", "uuid_type", "uuid_version", "enum", "literal_error", "json_invalid"),
        *("rk_out_of_range", "rk_nanoseconds", "rk_validator_raised", "rk_unstorable", "rk_unreadable"),
        *("rk_rule", "rk_rule_unknown", "rk_more_errors", "rk_unprotectable", "rk_unknown_column"),
    }
)
# What the user's own code raises may quote any field of the row; all other types speak of their own field.
PYDANTICS = frozenset(get_args(core_schema.ErrorType)) - {"value_error", "assertion_error"}


def bound_to(name: str, address: int) -> bytes:
    """What a sealed cell is bound to, so that it stands for no other: its column and the address of its row."""
    return f"{name}\0{address}".encode()


@dataclasses.dataclass(frozen=True, slots=True)
class Shield:
    """What of the raw rows of a pipeline is classified.

    Attributes:
        keyset: seals it.
        open: what is not, by the names of the source and of the contract. Nothing is where the model's own code makes
            rows of raw ones: each raw column may then hold what is classified.
        shown: by name under which the source has it, the protection that says how it is shown.
    """

    keyset: Keyset
    open: frozenset[str]
    shown: Mapping[str, Mapping[str, Any]]

    def errors(self, texts: Sequence[str]) -> list[str]:
        """Error lists of rejected rows without what may quote a classified value."""
        known: dict[str, str] = {}
        return [known[text] if text in known else known.setdefault(text, self._without_values(text)) for text in texts]

    def _without_values(self, text: str) -> str:
        errors: list[dict[str, Any]] = json.loads(text)
        return json.dumps([self._withheld(each) if self._may_quote(each) else each for each in errors])

    def _may_quote(self, error: Mapping[str, Any]) -> bool:
        kind, loc = error["type"], error["loc"]
        if not loc or loc[0] not in self.open:
            return kind not in SILENT or len(loc) > 1  # later parts of a location may be data
        return kind not in SILENT and kind not in PYDANTICS

    def _withheld(self, error: Mapping[str, Any]) -> dict[str, Any]:
        silent = error["type"] in SILENT
        message = error["msg"] if silent else "what is wrong is not told: it may quote a classified value"
        return {"type": error["type"], "loc": list(error["loc"][:1]), "msg": message}

    def seal(self, table: pa.Table, raw: Iterable[str], mode: InputMode) -> pa.Table:
        """Seals the classified cells of rejected rows.

        Args:
            table: with `ROW_ID` and `_rk_text` beside the raw columns.
        """
        names = [name for name in raw if mode is InputMode.JSON or name not in self.open]
        cells = {
            "open": sorted(self.open),
            "shown": self.shown,
            "text": True,
            "types": base64.b64encode(pa.schema([table.schema.field(name) for name in names]).serialize()).decode(),
        }
        return _sealed(table, [*names, TEXT], cells, self.keyset)


def shield_of(model: type[BaseModel], protections: Protections, keysets: Keysets) -> Shield | None:
    """The shield of a contract; None if nothing of it is classified."""
    if not protections.classified:
        return None
    shown: dict[str, Mapping[str, Any]] = {}
    known: set[str] = set()
    closed: set[str] = set(protections.classified)
    for name, info in model.model_fields.items():
        names, method = names_of(model, name, info), protections.of(name)
        (closed if name in protections.classified else known).update({name, *names})
        if method is not None:
            shown |= dict.fromkeys(names, method.document())
    return Shield(keysets.of(PURPOSE), frozenset() if runs_code_before(model) else frozenset(known - closed), shown)


def shield_stored(table: pa.Table, classified: frozenset[str], keysets: Keysets) -> pa.Table:
    """Seals the text of rows that came out of the staging area: their values as JSON, of these columns in the clear."""
    if not classified:
        return table
    names = {name for text in table[TEXT].to_pylist() for name in object_of(text) or ()}
    cells = {"open": sorted(names - classified), "shown": {}, "text": False}
    return _sealed(table, [TEXT], cells, keysets.of(PURPOSE))


def _sealed(table: pa.Table, names: Sequence[str], cells: Mapping[str, Any], keyset: Keyset) -> pa.Table:
    addresses: list[Any] = table[ROW_ID].to_pylist()
    for name in names:
        clear = cell_bytes(table[name])
        there = [place for place, each in enumerate(clear) if each is not None]
        made: list[bytes | None] = [None] * len(clear)
        context = (bound_to(name, addresses[place]) for place in there)
        for place, each in zip(
            there, sealed_cells((clear[place] or b"" for place in there), keyset, context), strict=True
        ):
            made[place] = each
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(made, pa.large_binary()))
    metadata = {**(table.schema.metadata or {}), CELLS_KEY: json.dumps(cells).encode()}
    return table.replace_schema_metadata(metadata)


def cell_bytes(column: Any) -> list[bytes | None]:
    """Each cell of a raw column, of whatever type, as bytes; null for null."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return [None if each is None else each.encode() for each in column.to_pylist()]
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        found: list[bytes | None] = column.to_pylist()
        return found
    return [_ipc(column.slice(place, 1)) if column[place].is_valid else None for place in range(len(column))]


def _ipc(cell: Any) -> bytes:
    sink = io.BytesIO()
    table = pa.table({"cell": cell})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def cell_array(cells: Sequence[bytes | None], kind: Any) -> Any:
    """The inverse of `cell_bytes`."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.array([None if each is None else each.decode() for each in cells], kind)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array(cells, kind)
    parts = [pa.nulls(1, kind) if each is None else _of_ipc(each) for each in cells]
    return pa.concat_arrays(parts) if parts else pa.nulls(0, kind)


def _of_ipc(data: bytes) -> Any:
    with pa.ipc.open_stream(data) as stream:
        return stream.read_all()["cell"].combine_chunks()


@dataclasses.dataclass(frozen=True, slots=True)
class Cells:
    """What is sealed in a quarantine file, read from its metadata."""

    open: frozenset[str]
    shown: Mapping[str, Mapping[str, Any]]
    text: bool
    types: pa.Schema
    opener: Opener

    @classmethod
    def of(cls, table: pa.Table, keysets: Keysets) -> Cells | None:
        """None for a file in which nothing is sealed."""
        data = (table.schema.metadata or {}).get(CELLS_KEY)
        if data is None:
            return None
        said = json.loads(data)
        given = said.get("types")
        types = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(given))) if given else pa.schema([])
        opener = Opener(keysets.of(PURPOSE))
        return cls(frozenset(said["open"]), said["shown"], said["text"], types, opener)

    @property
    def names(self) -> list[str]:
        """The columns whose cells are sealed."""
        return [*self.types.names, TEXT]

    def type_of(self, name: str) -> pa.DataType:
        """What a column's type was."""
        return pa.large_binary() if name == TEXT else self.types.field(name).type

    def open_cells(self, table: pa.Table, name: str) -> list[bytes | None]:
        """The clear bytes of a column's cells."""
        pairs: Any = zip(table[name].to_pylist(), table[ROW_ID].to_pylist(), strict=True)
        return [None if cell is None else self.opener.open(cell, bound_to(name, row)) for cell, row in pairs]


def clear_table(table: pa.Table, keysets: Keysets) -> pa.Table:
    """The rows of a quarantine file as they were read.

    Raises RevealFailed or KeyUnusable where a cell does not open.
    """
    cells = Cells.of(table, keysets)
    if cells is None:
        return table
    for name in cells.names:
        made = cell_array(cells.open_cells(table, name), cells.type_of(name))
        table = table.set_column(table.schema.get_field_index(name), name, made)
    kept = {key: value for key, value in (table.schema.metadata or {}).items() if key != CELLS_KEY}
    return table.replace_schema_metadata(kept)


def masked_cells(table: pa.Table, keysets: Keysets) -> dict[str, list[str | None]]:
    """By column that is sealed, its cells as they may be shown to everybody; null for null."""
    cells = Cells.of(table, keysets)
    return {} if cells is None else {name: _shown(cells, table, name) for name in cells.names}


def _shown(cells: Cells, table: pa.Table, name: str) -> list[str | None]:
    """A document with its classified keys masked, a value by its protection; of all else that there was one."""
    if name == RAW_LINE or (name == TEXT and not cells.text):
        return [None if each is None else _masked_document(each, cells) for each in cells.open_cells(table, name)]
    document, kind = cells.shown.get(name), cells.type_of(name)
    if document is None or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return [None if each is None else HIDDEN for each in table[name].to_pylist()]
    method = column_of_document(name, document, METHODS)
    opened = cells.open_cells(table, name)
    return [None if each is None else method.masked(each.decode()) or HIDDEN for each in opened]


def _masked_document(document: bytes, cells: Cells) -> str:
    parts = object_of(document)
    if parts is None:
        return HIDDEN
    return json.dumps({key: _masked_value(key, bytes(raw), cells) for key, raw in parts.items()}, ensure_ascii=False)


def object_of(document: bytes | None) -> dict[str, msgspec.Raw] | None:
    """The keys of a JSON object with their values as they stand; None for what is no object."""
    try:
        return None if document is None else msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    except NOT_JSON:
        return None


def _masked_value(key: str, raw: bytes, cells: Cells) -> Any:
    value = json.loads(raw)
    if key in cells.open or value is None:
        return value
    document = cells.shown.get(key)
    if document is None or not isinstance(value, str):
        return HIDDEN
    return column_of_document(key, document, METHODS).masked(value) or HIDDEN

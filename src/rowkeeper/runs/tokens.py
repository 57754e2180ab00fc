"""Classified values in an export, as tokens: `{"_rk_sealed": "..."}`.

Who mends the other values of a row does not have to see them. A token opens in its own row and column alone, when the
mended file is replayed in the state folder that gave it out.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec
import pyarrow as pa

from rowkeeper.batch import RAW_LINE, ROW_ID
from rowkeeper.errors import RevealFailed
from rowkeeper.runs.jsonvalues import NO_JSON, to_json
from rowkeeper.runs.shielding import (
    PURPOSE,
    TEXT,
    Cells,
    bound_to,
    cell_array,
    object_of,
)
from rowkeeper.security.keysets import Keysets
from rowkeeper.security.protection.ciphertext import from_text, sealed_cells, to_text

SEALED = "_rk_sealed"


@dataclasses.dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one quarantine file."""

    cells: Cells
    keysets: Keysets

    @classmethod
    def of(cls, table: pa.Table, keysets: Keysets) -> Tokens | None:
        """None for a file in which nothing is sealed."""
        cells = Cells.of(table, keysets)
        return None if cells is None else cls(cells, keysets)

    # ------------------------------------------------------------------ out

    def column(self, table: pa.Table, name: str) -> list[Any] | None:
        """The cells of a column as tokens; None for one that is not sealed."""
        if name not in self.cells.names or name == TEXT:
            return None
        return [None if each is None else {SEALED: to_text(each)} for each in table[name].to_pylist()]

    def documents(self, table: pa.Table) -> list[Any]:
        """JSON objects as they stand, but for classified keys; `NO_JSON` for what is no object in one line."""
        lines = self.cells.open_cells(table, RAW_LINE)
        addresses: list[Any] = table[ROW_ID].to_pylist()
        return [self._document(line, address) for line, address in zip(lines, addresses, strict=True)]

    def _document(self, line: bytes | None, address: int) -> Any:
        parts = object_of(line)
        if parts is None:
            return NO_JSON
        made: dict[str, Any] = dict(parts)
        for key, raw in parts.items():
            if key not in self.cells.open:
                (cell,) = sealed_cells([bytes(raw)], self.keysets.of(PURPOSE), [_of_key(key, address)])
                made[key] = {SEALED: to_text(cell)}
        written = msgspec.json.encode(made)
        return NO_JSON if b"\n" in written else written

    # ------------------------------------------------------------------ in

    def value(self, given: Any, name: str, address: int) -> Any:
        """What a token of a column stands for, as the JSON form of its value; all else as it is.

        Raises RevealFailed for the token of another row or column.
        """
        if not is_token(given):
            return given
        if name not in self.cells.names:
            raise RevealFailed("a sealed value stands in a column of which none was sealed")
        clear = self.cells.opener.open(from_text(given[SEALED]), bound_to(name, address))
        return to_json(cell_array([clear], self.cells.type_of(name)))[0]

    def document(self, row: bytes, address: int) -> bytes:
        """A mended document with its tokens opened. Raises RevealFailed."""
        parts = object_of(row) if SEALED.encode() in row else None
        if parts is None:
            return row
        made: dict[str, Any] = dict(parts)
        for key, raw in parts.items():
            given: Any = json.loads(bytes(raw)) if SEALED.encode() in bytes(raw) else None
            if is_token(given):
                made[key] = msgspec.Raw(self.cells.opener.open(from_text(given[SEALED]), _of_key(key, address)))
        return msgspec.json.encode(made)


def is_token(given: Any) -> bool:
    """Whether a value of a mended row is a token."""
    return isinstance(given, dict) and set(given) == {SEALED} and isinstance(given[SEALED], str)


def _of_key(key: str, address: int) -> bytes:
    return bound_to(f"key {key}", address)

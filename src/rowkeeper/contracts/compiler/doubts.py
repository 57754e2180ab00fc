"""Single fields of rows of which the columns accept all the others.

A model whose fields can be judged apart rejects a row if and only if it rejects one of its fields, and its errors are
the fields' errors in their order. So it is enough to ask a model of the fields in doubt; a bad row of twelve columns
costs a third of what the whole of it would.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pydantic_core import SchemaValidator

from rowkeeper.contracts.checking import Judged, RowByRow, getter
from rowkeeper.contracts.columntype import Column
from rowkeeper.contracts.compiler.schema import ModelSchema


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """Pydantic's verdict on some rows.

    Attributes:
        accepted: the accepted rows' columns, in the contract's Arrow schema.
        positions: uint64 array, where they stand in the input, ascending.
        rejected: by position in the input, the errors of the others as JSON text.
    """

    accepted: pa.Table
    positions: pa.Array[Any]
    rejected: dict[int, str]


class Doubts:
    """Asks Pydantic about some fields of a model.

    Args:
        model: its name, for messages.
        schema: of the model.
        columns: by field.
    """

    def __init__(self, model: str, schema: ModelSchema, columns: Mapping[str, Column]) -> None:
        self._model = model
        self._schema = schema
        self._columns = columns
        self._checkers: dict[tuple[str, ...], RowByRow] = {}

    def judge(self, fields: Sequence[str], table: pa.Table) -> Judged:
        """The verdict on rows of which only these fields, in the model's order, are looked at.

        Args:
            table: for each of the fields the column under whose name it is looked for.
        """
        names = tuple(fields)
        if names not in self._checkers:
            self._checkers[names] = self._checker(names)
        return self._checkers[names].check_table(table)

    def _checker(self, names: tuple[str, ...]) -> RowByRow:
        fields = {field.name: field.whole for field in self._schema.fields if field.name in names}
        core: Any = {"type": "model-fields", "fields": fields}
        if self._schema.definitions:
            core = {"type": "definitions", "schema": core, "definitions": list(self._schema.definitions)}
        config: Any = self._schema.config
        values = getter(names)
        return RowByRow(
            self._model,
            SchemaValidator(core, config),
            [self._columns[name] for name in names],
            lambda held: values(held[0]),  # it returns the fields' values, the extra ones, and which were set
        )

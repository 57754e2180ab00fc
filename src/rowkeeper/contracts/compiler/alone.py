"""A field that only Pydantic can judge, judged without the rest of its row.

The field's own core schema makes a validator of its own. That is the same as within the model as long as no function in
it may look at the fields before it (Pydantic's `info.data`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import SchemaValidator

from rowkeeper.contracts.checking import ONE_AT_A_TIME
from rowkeeper.contracts.columntype import Column
from rowkeeper.contracts.compiler.distinct import DISTINCT_SHARE_MAX, encoded
from rowkeeper.contracts.compiler.rule import is_text
from rowkeeper.contracts.compiler.schema import Together, nodes
from rowkeeper.contracts.reading import python_values
from rowkeeper.errors import SecurityError, is_fault

LIBRARIES = ("pydantic.", "pydantic_core.", "annotated_types.", "pydantic_extra_types.")


class Alone:
    """Pydantic's judgement of one field.

    Args:
        name: of the field, for reasons.
        schema: its core schema, without the default around it.
        config: of the model.
        definitions: that the schema may refer to.
        column: where its values go.

    Raises:
        Together: a function in it may look at other fields.
    """

    def __init__(
        self,
        name: str,
        schema: Mapping[str, Any],
        config: Mapping[str, Any],
        definitions: Sequence[Mapping[str, Any]],
        column: Column,
    ) -> None:
        self.is_pure = True
        for node in nodes(schema):
            function = node.get("function")
            if node["type"].startswith("function-"):
                if not isinstance(function, Mapping) or function.get("type") != "no-info":
                    raise Together(f"a validator of {name} may look at the other fields")
                self.is_pure = self.is_pure and _is_of_library(function["function"])
            elif node["type"] == "definition-ref" or "function" in node or "post_init" in node or "cls" in node:
                self.is_pure = False
        whole: Any = {"type": "definitions", "schema": schema, "definitions": list(definitions)}
        self._validate = SchemaValidator(whole if definitions else schema, config).validate_python  # type: ignore[arg-type]
        self._column = column

    def judge(self, cells: pa.ChunkedArray[Any]) -> tuple[pa.Array[Any], pa.Array[Any]]:
        """The values as the contract's column holds them, and for each cell whether it is accepted.

        A cell that is not accepted sends its row to Pydantic, which gives the errors.
        """
        if self.is_pure and is_text(cells.type) and len(cells):
            distinct = encoded(cells)
            if len(distinct.dictionary) <= len(cells) * DISTINCT_SHARE_MAX:
                # A null is no value of the dictionary; here it is the last one.
                with_null = pa.concat_arrays([distinct.dictionary, pa.nulls(1, distinct.dictionary.type)])
                values, good = self._judge(pa.chunked_array([with_null]))
                indices = distinct.indices.cast(pa.int64()).fill_null(len(distinct.dictionary))
                return values.take(indices), good.take(indices).fill_null(False)
        return self._judge(cells)

    def _judge(self, cells: pa.ChunkedArray[Any]) -> tuple[pa.Array[Any], pa.Array[Any]]:
        with ONE_AT_A_TIME:
            return self._one_by_one(cells)

    def _one_by_one(self, cells: pa.ChunkedArray[Any]) -> tuple[pa.Array[Any], pa.Array[Any]]:
        values, unreadable = python_values(cells)
        held: list[Any] = []
        good: list[bool] = []
        validate = self._validate
        for position, value in enumerate(values):
            if position in unreadable:
                good.append(False)
                continue
            try:
                held.append(validate(value))
                good.append(True)
            except (MemoryError, SecurityError):
                raise
            except BaseException as error:
                if not is_fault(error):
                    raise
                # The user's own validators may raise anything; the whole row will say what.
                good.append(False)
        mask = pa.array(good, pa.bool_())
        array, unfit = self._column.build(held)
        if unfit:
            places = [place for place, is_good in enumerate(good) if is_good]
            fit = [place for place in range(len(held)) if place not in unfit]
            for place in unfit:
                good[places[place]] = False
            array, mask = array.take(pa.array(fit, pa.int64())), pa.array(good, pa.bool_())
        return _spread(array, mask), mask


def _spread(array: pa.Array[Any], good: pa.Array[Any]) -> pa.Array[Any]:
    """The values of the good cells, each in the place of its cell, nulls between."""
    if len(array) == len(good):
        return array
    return array.take(places_of(good))


def places_of(good: Any) -> Any:
    """For each good cell its place among the good ones, null for the others."""
    counted: Any = pc.subtract(pc.cumulative_sum(good.cast(pa.int64())), 1)
    return pc.if_else(good, counted, None)


def _is_of_library(function: Any) -> bool:
    module = getattr(function, "__module__", None) or ""
    return f"{module}.".startswith(LIBRARIES)

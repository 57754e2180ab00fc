"""Columns as Arrow can hold them and few expect them: found by an audit, each once wrong."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any

import pyarrow as pa
import pytest
from pydantic import Field, PastDate, StringConstraints

from tests.contracts.compiler.agreeing import agree, model_of


@pytest.mark.parametrize("annotation", [dt.date | None, dt.datetime | None, PastDate | None, dt.date])
def test_a_cell_that_python_cannot_hold_moves_no_other(annotation: Any):
    """A time finer than a microsecond rejects its row, and the values after it stay where they are."""
    cells = pa.array([0, 1, 86_400 * 10**9, None], pa.int64()).cast(pa.timestamp("ns"))
    agree(model_of(annotation), pa.table({"x": cells}))


def test_days_beyond_python():
    """A date in the year 200,000 rejects its row."""
    cells = pa.array([0, 2**30, 1], pa.int32()).cast(pa.date32())
    agree(model_of(dt.date | None), pa.table({"x": cells}))
    agree(model_of(PastDate), pa.table({"x": cells}))


@pytest.mark.parametrize("annotation", [str, Annotated[str, StringConstraints(to_lower=True)], int, dt.date])
def test_bytes_that_are_no_text(annotation: Any):
    """Arrow takes any bytes for text; such rows are rejected, and nothing crashes."""
    data = pa.py_buffer(b"a\xff1")
    offsets = pa.py_buffer(bytes(memoryview(pa.array([0, 1, 2, 3], pa.int32()).buffers()[1])))
    cells = pa.Array.from_buffers(pa.string(), 3, [None, offsets, data])
    agree(model_of(annotation), pa.table({"x": cells}))


@pytest.mark.parametrize("annotation", [str, Annotated[str, Field(max_length=1)], bytes, int])
@pytest.mark.parametrize("type", [pa.string_view(), pa.binary_view(), pa.list_(pa.string_view())])
def test_views(annotation: Any, type: pa.DataType):
    """Arrow can neither filter nor take them."""
    values: list[Any] = [["a"], ["b"]] if pa.types.is_list(type) else ["1", "22", None]
    agree(model_of(annotation), pa.table({"x": pa.array(values, type)}))


@pytest.mark.parametrize("type", [pa.decimal256(40, 2), pa.decimal256(10, 2), pa.decimal128(10, -2)])
@pytest.mark.parametrize(
    "annotation", [Decimal, Annotated[Decimal, Field(max_digits=12, decimal_places=2)], int, float]
)
def test_decimals_that_polars_does_not_know(annotation: Any, type: pa.DataType):
    """Wide ones, and such with a negative scale."""
    agree(model_of(annotation), pa.table({"x": pa.array([Decimal(100), Decimal(-300), None], type)}))


@pytest.mark.parametrize("annotation", [str, Annotated[str, Field(pattern="^a")], int])
def test_chunks_with_dictionaries_of_their_own(annotation: Any):
    """Together they have more values than the index type can count."""
    chunks = [
        pa.array([f"a{first + number}" for number in range(100)])
        .dictionary_encode()
        .cast(pa.dictionary(pa.int8(), pa.string()))
        for first in (0, 100)
    ]
    agree(model_of(annotation), pa.table({"x": pa.chunked_array(chunks)}))


@pytest.mark.parametrize("bound", ["le", "lt", "ge", "gt"])
def test_a_bound_that_is_no_number(bound: str):
    """Nothing is on either side of NaN."""
    annotation = Annotated[float, Field(**{bound: float("nan")})]
    agree(model_of(annotation), pa.table({"x": [0.0, 1.0, float("nan")]}))

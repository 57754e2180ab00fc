"""A column judged twice: by the compiler's rules, and row by row by Pydantic alone."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
from pydantic import ConfigDict, create_model

from rowkeeper.batch import Batch, InputMode, Verdict
from rowkeeper.contracts.checking import Judged, by_model
from rowkeeper.contracts.contract import Contract, _columns_of
from rowkeeper.contracts.reading import rows_of
from tests.contracts.batches import documents


def batch_of(table: pa.Table, mode: InputMode = InputMode.PYTHON) -> Batch:
    numbers = pa.array(range(table.num_rows), pa.uint64())
    return Batch(table, mode, "p", 0, table.num_rows, numbers, numbers.cast(pa.string()))


def model_of(annotation: Any, **config: Any) -> Any:
    return create_model("M", __config__=ConfigDict(**config), x=(annotation, ...))


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit: NaN is NaN, and 0.0 is not -0.0."""
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    return bool(type(one) is type(other) and one == other)


def agree(model: Any, table: pa.Table) -> int:
    """Compares verdicts, values and errors; returns how many rows the columns decided."""
    verdict = Contract(model, drift="ignore").check(batch_of(table))
    known = [name for name in table.column_names if name in Contract(model).columns().known]
    judged = by_model(model, list(_columns_of(model))).check_rows(rows_of(table.select(known)))
    return _compare(verdict, judged, table.num_rows)


def agree_on_documents(model: Any, lines: list[bytes]) -> int:
    """`agree` for JSON documents."""
    verdict = Contract(model, drift="ignore").check(documents(*lines))
    judged = by_model(model, list(_columns_of(model))).check_documents(lines)
    return _compare(verdict, judged, len(lines))


def _compare(verdict: Verdict, judged: Judged, rows: int) -> int:
    assert verdict.accepted_index.to_pylist() == judged.accepted
    assert {each.index: each.text for each in verdict.rejected} == judged.rejected
    for name, theirs in zip(verdict.accepted.column_names, judged.columns, strict=True):
        ours = verdict.accepted[name]
        assert ours.type == theirs.type
        for one, other in zip(ours.to_pylist(), theirs.to_pylist(), strict=True):
            assert same(one, other), (name, one, other)
    return rows - verdict.by_pydantic


def decided(annotation: Any, values: Any, type: pa.DataType | None = None, **config: Any) -> int:
    """`agree` for one column; a null is among the values, and the field is judged without and with it allowed."""
    array = pa.array([*values, None], type)
    return agree(model_of(annotation, **config), pa.table({"x": array})) + agree(
        model_of(annotation | None, **config), pa.table({"x": array})
    )

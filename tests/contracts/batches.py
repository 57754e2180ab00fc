"""Batches made by hand, and what Pydantic itself says of them."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from rowkeeper.batch import RAW_LINE, Batch, InputMode, Verdict
from rowkeeper.contracts import Contract


def batch_of(table: pa.Table, mode: InputMode) -> Batch:
    numbers = pa.array(range(table.num_rows), pa.uint64())
    places = pa.array([f"row {number + 1}" for number in range(table.num_rows)], pa.string())
    return Batch(table, mode, "p", 0, table.num_rows, numbers, places)


def strings(*rows: dict[str, str | None]) -> Batch:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in names}
    return batch_of(pa.table(columns), InputMode.STRINGS)


def typed(**columns: Any) -> Batch:
    return batch_of(pa.table(columns), InputMode.PYTHON)


def documents(*lines: Any) -> Batch:
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return batch_of(pa.table({RAW_LINE: pa.array(raw, pa.large_binary())}), InputMode.JSON)


def values_of(verdict: Verdict) -> list[dict[str, Any]]:
    return verdict.accepted.to_pylist(maps_as_pydicts="strict")


def error_types(verdict: Verdict) -> list[list[str]]:
    return [[error["type"] for error in row.errors] for row in verdict.rejected]


def check(model: type[BaseModel], batch: Batch, **options: Any) -> Verdict:
    """The contract's verdict, after the claims that hold for each: a full account, the schema, JSON-safe errors."""
    contract = Contract(model, **options)
    verdict = contract.check(batch)
    accepted, rejected = verdict.accepted_index.to_pylist(), [row.index for row in verdict.rejected]
    assert sorted(accepted + rejected) == list(range(batch.table.num_rows))
    assert accepted == sorted(accepted)
    assert rejected == sorted(rejected)
    assert verdict.accepted_index.type == pa.uint64()
    assert verdict.accepted.num_rows == len(accepted)
    assert verdict.accepted.schema.equals(
        pa.schema(
            [
                *contract.schema,
                *(verdict.accepted.schema.field(n) for n in verdict.accepted.column_names[len(contract.schema) :]),
            ]
        ),
        check_metadata=True,
    )
    verdict.accepted.validate(full=True)
    for row in verdict.rejected:
        assert row.errors
        for error in json.loads(json.dumps(row.errors, allow_nan=False)):
            assert {"type", "loc", "msg"} <= set(error)
            assert "input" not in error
    return verdict


def pydantic_errors(model: type[BaseModel], row: Any, *, as_json: bool = False) -> list[str] | None:
    """The error types of `model_validate`; None if it accepts the row."""
    try:
        (model.model_validate_json if as_json else model.model_validate)(row)
    except ValidationError as error:
        return [each["type"] for each in error.errors()]
    return None

"""`rk.check`: the contract's check, without a pipeline."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from rowkeeper.batch import RAW_LINE, Batch, InputMode, RejectedRow, RejectedRows, RuleCount, Verdict
from rowkeeper.contracts.contract import Contract
from rowkeeper.contracts.rules import BusinessRule
from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import one_of

BATCH_ROWS = 131_072


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    """What a model says of a table; every row is in exactly one of `accepted` and `rejected`.

    Attributes:
        accepted: the accepted rows, a column for each field with the values that the model would hold.
        accepted_index: uint64 array, the number in the table of each accepted row, from 0.
        rejected: the others: `index` is the row's number, `errors` Pydantic's own error list.
        by_pydantic: how many rows the columns could not decide, so that Pydantic was asked.
        rules: for each rule, for how many rows it held, did not hold, and could not be told.
    """

    accepted: pa.Table
    accepted_index: pa.Array[Any]
    rejected: Sequence[RejectedRow]
    by_pydantic: int
    rules: Mapping[str, RuleCount]


def check(
    model: type[BaseModel],
    table: pa.Table | pl.DataFrame,
    mode: Literal["python", "json", "strings"] = "python",
    *,
    rules: Sequence[BusinessRule] = (),
) -> Checked:
    """Checks every row of a table against a Pydantic model, by column where a column can tell, on all cores.

        result = rk.check(Trip, pl.read_parquet("trips.parquet"))
        result.accepted, [row.errors for row in result.rejected]

    Args:
        model: any Pydantic v2 model.
        table: an Arrow table or a Polars frame; in mode "json" its one column holds a JSON document per row.
        mode: how Pydantic takes the cells: "python" as typed values (`model_validate`), "strings" as text
            (`model_validate` on text, as read from CSV), "json" as documents (`model_validate_json`).
        rules: conditions on the accepted values, made by `rk.rule`.

    Raises:
        ContractError: the model cannot be turned into columns.
        DeclarationError: the table does not fit the mode, or a rule cannot be worked out.
    """
    given = table.to_arrow() if isinstance(table, pl.DataFrame) else table
    if mode not in list(InputMode):
        raise DeclarationError(f"mode={mode!r} is no mode", hint=one_of(mode, ("python", "json", "strings")))
    if mode == "json":
        given = _documents(given)
    elif mode == "strings":
        for field in given.schema:
            if not (pa.types.is_string(field.type) or pa.types.is_large_string(field.type) or _is_view(field.type)):
                raise DeclarationError(
                    f'mode="strings" takes text, and the column {field.name!r} is {field.type}',
                    hint='mode="python" takes typed columns',
                )
    contract = Contract(model, drift="ignore", rules=rules)
    firsts = range(0, max(given.num_rows, 1), BATCH_ROWS)
    batches = [_batch(given.slice(first, BATCH_ROWS), InputMode(mode), first) for first in firsts]
    with ThreadPoolExecutor(min(len(batches), pl.thread_pool_size())) as pool:
        verdicts = list(pool.map(lambda batch: contract.check(batch, whole_rows=True), batches))
    return _together(verdicts, firsts)


def _batch(table: pa.Table, mode: InputMode, first: int) -> Batch:
    end = first + table.num_rows
    numbers = pl.int_range(first, end, dtype=pl.UInt64, eager=True).to_arrow()
    return Batch(table, mode, "table", first, end, numbers, numbers)


def _together(verdicts: Sequence[Verdict], firsts: Sequence[int]) -> Checked:
    """The verdicts on the parts of a table as one. Args: firsts: where each part begins."""
    index: list[Any] = [
        pc.add(verdict.accepted_index, pa.scalar(first, pa.uint64()))
        for verdict, first in zip(verdicts, firsts, strict=True)
    ]
    positions = [
        first + position
        for verdict, first in zip(verdicts, firsts, strict=True)
        for position in verdict.rejected.positions
    ]
    rejected = RejectedRows(positions, [text for verdict in verdicts for text in verdict.rejected.texts])
    return Checked(
        pa.concat_tables([verdict.accepted for verdict in verdicts]),
        pa.concat_arrays(index),
        rejected,
        sum(verdict.by_pydantic for verdict in verdicts),
        {name: sum((each.rules[name] for each in verdicts), RuleCount()) for name in verdicts[0].rules},
    )


def _is_view(type: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(type) or pa.types.is_null(type))


def _documents(table: pa.Table) -> pa.Table:
    if table.num_columns != 1:
        raise DeclarationError(
            f'mode="json" takes one column of JSON documents, and the table has {table.num_columns}',
            hint='pass pa.table({"line": documents})',
        )
    column = table.column(0)
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    try:
        return pa.table({RAW_LINE: column.cast(pa.large_binary())})
    except pa.ArrowException as error:
        raise DeclarationError(
            f'mode="json" takes text or bytes, and the column is {column.type}', hint="one JSON document per row"
        ) from error

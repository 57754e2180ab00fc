"""Arrow tables as Polars frames, whatever they hold.

Polars 1 has no type for decimals of more than 38 digits, and where it meets them it does not raise an error: it panics,
which is no `Exception` and ends the run with a trace of the stack.
"""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa


def frame_of(table: pa.Table) -> pl.DataFrame:
    """The rows as a frame; decimals of more than 38 digits come as text, with every digit."""
    held = pa.schema([field.with_type(_held(field.type)) for field in table.schema])
    return pl.DataFrame(pl.from_arrow(table if held.equals(table.schema) else table.cast(held)))


def _held(kind: pa.DataType) -> pa.DataType:
    """The type that Polars can hold a column in."""
    if pa.types.is_decimal256(kind):
        return pa.string()
    if pa.types.is_string(kind):
        return pa.string_view()  # Polars' own form: Arrow is five times as quick on the way to it
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        made: Any = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return made(kind.value_field.with_type(_held(kind.value_type)))  # type: ignore[no-any-return]
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_held(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_held(kind.key_type), _held(kind.item_type))
    return kind

"""Rows for COPY: a column at a time as PostgreSQL reads it, then CSV in pieces.

In CSV as PostgreSQL reads it an empty field without quotes is null, and one with quotes is an empty text: so every
value is quoted, and no null is.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from rowkeeper.destinations.relational.dialect import bare_kind
from rowkeeper.destinations.relational.fitting import (
    NUL,
    NUL_IN_JSON,
    as_json,
    hexadecimal,
    is_document,
    is_list,
    places_in_lists,
    places_matching,
)

PIECE_ROWS = 8_192
OPTIONS = csv.WriteOptions(include_header=False, quoting_style="all_valid")


def csv_of(rows: pa.Table, kinds: Mapping[str, str]) -> Iterator[bytes]:
    """The rows as CSV, some thousand at a time."""
    for start in range(0, rows.num_rows, PIECE_ROWS):
        piece = rows.slice(start, PIECE_ROWS)
        texts = {name: as_text(piece.column(name), kinds[name]) for name in piece.column_names}
        sink = io.BytesIO()
        csv.write_csv(pa.table(texts), sink, OPTIONS)
        yield sink.getvalue()


def as_text(column: pa.ChunkedArray[Any], kind: str) -> pa.Array[Any]:
    """A column as PostgreSQL reads the type."""
    bare = bare_kind(kind)
    if bare == "jsonb":
        return as_json(column)
    if bare.endswith("[]"):
        return _arrays(column, bare.removesuffix("[]"))
    if bare == "bytea":
        return _array(pl.select(pl.lit(r"\x") + hexadecimal(column)).to_series())
    if bare == "uuid":
        return _array(hexadecimal(column))
    whole = column.combine_chunks()
    if bare == "interval":
        numbers: Any = whole.cast(pa.int64()).cast(pa.string())
        joined: pa.Array[Any] = pc.binary_join_element_wise(numbers, pa.scalar("microseconds"), pa.scalar(" "))
        return joined
    return whole.cast(pa.string())


def _array(texts: pl.Series) -> pa.Array[Any]:
    return texts.to_arrow().cast(pa.string())


def _arrays(column: pa.ChunkedArray[Any], kind: str) -> pa.Array[Any]:
    """Lists as array literals: {"a","b",NULL}."""
    whole: Any = column.combine_chunks()
    inner = as_text(pa.chunked_array([whole.flatten()]), kind).to_pylist()
    texts = ["NULL" if each is None else _quoted(each) for each in inner]
    found: list[str | None] = []
    at = 0
    for length in pc.list_value_length(whole).to_pylist():
        found.append(None if length is None else "{" + ",".join(texts[at : at + length]) + "}")
        at += length or 0
    return pa.array(found, pa.string())


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unfit_in_postgresql(field: pa.Field[Any], column: pa.ChunkedArray[Any]) -> tuple[Sequence[int], str]:
    """The rows with a value that its column cannot hold, and why."""
    if is_document(field):
        texts = pa.chunked_array([as_json(column)])
        return places_matching(
            texts, NUL_IN_JSON, regex=True
        ), "the value has a NUL, which PostgreSQL's jsonb cannot hold"
    if is_list(field.type):
        whole: Any = column.combine_chunks()
        inner: pa.ChunkedArray[Any] = pa.chunked_array([whole.flatten()])
        found, why = unfit_in_postgresql(field.type.value_field, inner)
        return (places_in_lists(column, found) if found else ()), why
    if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
        return places_matching(column, NUL), "the text has a NUL, which PostgreSQL cannot hold"
    return (), ""

"""The engine: distinct values are protected, and every row takes its own from them. Null stays null."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.security.protection.method import Method, Use
from rowkeeper.security.protection.values import Values

SAMPLE_ROWS = 8_192


def protected(column: Values, method: Method, use: Use) -> Values:
    """A column in its protected form, of the type that `method.stored` names."""
    values, places = _once(_whole(column), method)
    made: Any = method.protect(values, use)
    return made if places is None else made.take(places)


def unfit(column: Values, method: Method) -> list[int]:
    """The rows whose value the method cannot take."""
    values, places = _once(_whole(column), method)
    found = method.unfit(values)
    if places is None or not found:
        return found
    rows: list[int] = pc.indices_nonzero(pc.is_in(places, pa.array(found, places.type))).to_pylist()
    return rows


def revealed(column: Values, method: Method, use: Use) -> Values:
    """The clear values of a protected column. Raises RevealFailed."""
    values, places = _once(_whole(column), method)
    made: Any = method.reveal(values, use)
    return made if places is None else made.take(places)


def _whole(column: Values) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _once(values: Any, method: Method) -> tuple[Any, Any]:
    """The values to protect, none of them null, and for each row the place of its own; None where they are the rows."""
    there = values.drop_null() if values.null_count else values
    places = None
    if method.repeats and _repeats(there):
        there, places = _distinct(there)
    if values.null_count:
        valid = values.is_valid()
        counted = pc.if_else(valid, pc.subtract(pc.cumulative_sum(valid.cast(pa.int64())), 1), None)
        places = counted if places is None else places.take(counted)
    return there, places


def _repeats(values: Any) -> bool:
    """Whether half of the values or fewer differ, by a sample from the midst of them.

    Of d values that are equally frequent, a sample of n has n^2 / 2d that it has met before.
    """
    if len(values) <= SAMPLE_ROWS:
        return True
    sample = values.slice(len(values) // 2 - SAMPLE_ROWS // 2, SAMPLE_ROWS)
    distinct: int = pc.count_distinct(sample, mode="all").as_py()
    return SAMPLE_ROWS - distinct >= SAMPLE_ROWS**2 / len(values)


def _distinct(values: Any) -> tuple[Any, Any]:
    """The values that differ, and for each value the place of its own among them; no null among the values.

    Text is told apart by a hash of 64 bits, which is four times as fast as by itself; then each is compared with the
    one that it was taken for, and should two texts have one hash, they are told apart by themselves after all.
    """
    if pa.types.is_string(values.type) and len(values) > SAMPLE_ROWS:
        texts: Any = pl.from_arrow(values)
        hashed = pc.dictionary_encode(texts.hash().to_arrow())
        places = hashed.indices.to_numpy()
        first = np.empty(len(hashed.dictionary), np.int64)
        first[places[::-1]] = np.arange(len(places) - 1, -1, -1)
        if (texts == texts.gather(first).gather(places)).all():
            return values.take(pa.array(first)), hashed.indices
    encoded = pc.dictionary_encode(values)
    return encoded.dictionary, encoded.indices

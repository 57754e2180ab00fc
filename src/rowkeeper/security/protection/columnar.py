"""The engine: distinct values are protected, and every row takes its own from them. Null stays null."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.security.protection.method import Method, Use
from rowkeeper.security.protection.values import Values

SAMPLE_ROWS = 8_192
DISTINCT_SHARE_MAX = 0.5  # of the sample; beyond it, finding the distinct values costs more than it saves


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
    if method.repeats and _repeats(values):
        encoded = pc.dictionary_encode(values)
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        return encoded.dictionary, encoded.indices
    if not values.null_count:
        return values, None
    valid = values.is_valid()
    counted = pc.subtract(pc.cumulative_sum(valid.cast(pa.int64())), 1)
    return values.drop_null(), pc.if_else(valid, counted, None)


def _repeats(values: Any) -> bool:
    """Whether few enough of the values differ, by a sample from the midst of them."""
    if len(values) <= SAMPLE_ROWS:
        return True
    sample = values.slice(len(values) // 2 - SAMPLE_ROWS // 2, SAMPLE_ROWS)
    distinct: int = pc.count_distinct(sample, mode="only_valid").as_py()
    return distinct <= DISTINCT_SHARE_MAX * SAMPLE_ROWS

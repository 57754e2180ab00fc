"""The check alone: the trips' contract by column, and `model_validate` row by row over the same Arrow input.

`python -m bench.checking [ROWS]` prints a JSON document. All figures are of one run, the quickest of a few repeats.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import pyarrow as pa
from pydantic import ValidationError

import rowkeeper as rk
from bench.generate import chunk
from bench.trips import Trip
from rowkeeper.contracts.reading import rows_of

ROW_BY_ROW = 100_000
REPEATS = 5


def quickest(work: Callable[[], object]) -> float:
    """Seconds of the quickest of a few repeats."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def row_by_row(table: pa.Table) -> int:
    """How many rows the model accepts, one after the other."""
    accepted = 0
    for row in rows_of(table).rows:
        try:
            Trip.model_validate(row)
            accepted += 1
        except ValidationError as error:
            error.errors(include_url=False, include_input=False)
    return accepted


def main() -> None:
    """Measures and prints."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    table = chunk(0, rows).to_arrow()
    bad = table.slice(0, ROW_BY_ROW).set_column(
        table.schema.get_field_index("distance_km"), "distance_km", pa.array([-1.0] * min(rows, ROW_BY_ROW))
    )
    check = quickest(lambda: rk.check(Trip, table))
    slow = quickest(lambda: row_by_row(table.slice(0, ROW_BY_ROW))) / min(rows, ROW_BY_ROW)
    all_bad = quickest(lambda: rk.check(Trip, bad)) / bad.num_rows
    slow_bad = quickest(lambda: row_by_row(bad)) / bad.num_rows
    print(
        json.dumps(
            {
                "rows": rows,
                "rows_per_second": round(rows / check),
                "row_by_row_per_second": round(1 / slow),
                "times_row_by_row": round(rows / check * slow, 1),
                "all_bad_seconds_to_row_by_row": round(all_bad / slow_bad, 2),
            }
        )
    )


if __name__ == "__main__":
    main()

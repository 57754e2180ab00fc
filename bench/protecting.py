"""Column protection: values a second of each method, on a column that repeats its values and one that does not.

`python -m bench.protecting [ROWS]` prints a table for people and a JSON document in its last line. Text of 22
characters (digits, 16 of them, where the form is kept), 50,000 distinct values or all of them distinct. The figure is
the quickest of a few repeats, by the clock; `cpu` is by the processor time of all threads, which other work on the
machine changes less.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from rowkeeper.security.keysets import Keysets
from rowkeeper.security.protection import (
    Encrypt,
    EncryptJoinable,
    FormatPreserving,
    Generalise,
    Method,
    PartialMask,
    Pseudonymise,
    Redact,
    columnar,
)
from rowkeeper.security.protection.method import use_of
from rowkeeper.security.statefolder import open_state_folder

ROWS = 2_000_000
DISTINCT = 50_000
REPEATS = 3
SLOW_ROWS = 200_000  # of methods that take a value at a time, where all are distinct
METHODS: tuple[tuple[Method, bool], ...] = (  # and whether it takes a value at a time
    (Redact(), False),
    (PartialMask(first=2, last=4), False),
    (Generalise(truncate=3), False),
    (Pseudonymise(), False),
    (EncryptJoinable(), True),
    (Encrypt(), True),
    (FormatPreserving(), True),
)


def texts(rows: int, distinct: int, *, digits: bool) -> pa.Array[Any]:
    """Text in which each of the values is met as often as another, in no order."""
    numbers: Any = pa.array(np.random.default_rng(7).permutation(rows) % distinct)
    words = [f"{each:016d}" if digits else f"user{each:07d}@mail.ex" for each in range(distinct)]
    return pa.array(words).take(numbers)


def quickest(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the quickest of a few repeats, by the clock and of the processor."""
    found = []
    for _ in range(REPEATS):
        started, busy = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - started, time.process_time() - busy))
    return min(each for each, _ in found), min(each for _, each in found)


def rates(method: Method, values: pa.Array[Any], keysets: Keysets) -> dict[str, int]:
    """Values a second."""
    use = use_of(method, pa.field("value", values.type), "bench", keysets)
    seconds, busy = quickest(lambda: columnar.protected(values, method, use))
    return {"clock": round(len(values) / seconds), "cpu": round(len(values) / busy)}


def main() -> None:
    """Measures and prints."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as folder:
        keysets = open_state_folder(Path(folder) / "state", f"file:{folder}/key").keysets
        measure(rows, keysets)


def measure(rows: int, keysets: Keysets) -> None:
    """Measures every method, and prints a table and a JSON document."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for method, slow in METHODS:
        digits = isinstance(method, FormatPreserving)
        alike = texts(rows, min(DISTINCT, rows), digits=digits)
        every = min(rows, SLOW_ROWS) if slow else rows
        repeating = rates(method, alike if method.repeats else alike.slice(0, every), keysets)
        found[method.word] = {
            "repeating": repeating,
            "distinct": rates(method, texts(every, every, digits=digits), keysets),
        }
    table = Table("method", f"{DISTINCT:,} distinct: M/s", "cpu", "all distinct: M/s", "cpu")
    for word, each in found.items():
        figures = [each[kind][by] / 1e6 for kind in ("repeating", "distinct") for by in ("clock", "cpu")]
        table.add_row(word, *(f"{figure:.2f}" for figure in figures))
    Console().print(f"Column protection, {rows:,} rows of text", table)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

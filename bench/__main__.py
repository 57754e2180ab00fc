"""Prints the table of ratios. Times of one machine on one day mean little; the ratios are of the same minute.

make bench                       10 million rows in three formats, the check alone, memory and publish time of Parquet
.venv/bin/python -m bench --large 100000000           memory at 100 million rows: ten minutes, and 3 GB of disk
.venv/bin/python -m bench --rows 200000 --large 0     a quick look
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.generate import FORMATS, files
from bench.one import DATA

MEMORY_MAX = "900MB"
COPIED_ROWS_MAX = 2_000_000  # a server has to be filled with them first
STAGED_ROWS_MAX = 2_000_000  # the rows that are staged to see what the host costs are in memory, all of them


def measured(module: str, *words: str, **settings: str) -> dict[str, Any]:
    """One measurement in a fresh process, with these settings."""
    argv, env = [sys.executable, "-m", module, *words], {**os.environ, **settings}
    done = subprocess.run(argv, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent, env=env)
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


def best(module: str, *words: str, repeats: int) -> dict[str, Any]:
    """The quickest of a few: what is slower had something else to wait for."""
    runs = [measured(module, *words) for _ in range(repeats)]
    return min(runs, key=lambda run: float(run["seconds"]))


def main() -> None:
    """Parses the two options and prints the two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--large", type=int, default=10_000_000, help="rows of the memory and publish section")
    parser.add_argument("--repeats", type=int, default=2, help="the quickest of so many counts")
    options = parser.parse_args()
    console = Console()
    whole: dict[str, float] = {}
    table = Table("format", "rows", "raw s", "Rowkeeper s", "speed, raw = 1", "raw MB", "Rowkeeper MB")
    for kind in FORMATS:
        files(DATA, options.rows, kind)
        raw = best("bench.one", "raw", kind, str(options.rows), repeats=options.repeats)
        load = best("bench.one", "load", kind, str(options.rows), repeats=options.repeats)
        whole[kind] = float(load["seconds"])
        table.add_row(
            kind,
            f"{options.rows:,}",
            f"{raw['seconds']:.2f}",
            f"{load['seconds']:.2f}",
            f"{raw['seconds'] / load['seconds']:.2f}",
            f"{raw['megabytes_peak']:.0f}",
            f"{load['megabytes_peak']:.0f}",
        )
    console.print("A whole run against a raw INSERT ... SELECT FROM file()", table)
    _check(console, options.rows)
    _protect(console)
    _host(console, min(options.rows, STAGED_ROWS_MAX), options.repeats, whole["parquet"] / options.rows)
    _audit(console)
    _access(console)
    _pages(console)
    _copying(console, min(options.rows, COPIED_ROWS_MAX))
    if options.large:
        _large(console, options.large)


def _copying(console: Console, rows: int) -> None:
    found = measured("bench.copying", str(rows))
    table = Table("way", "rows/s", "speed, by hand = 1")
    for word, ratio in (("by hand", 1.0), ("rowkeeper", float(found["ratio"]))):
        table.add_row(word, f"{found['rows_per_second'][word]:,.0f}", f"{ratio:.2f}")
    console.print("PostgreSQL to ClickHouse; by hand: COPY to a file, and a raw insert of it", table)


def _pages(console: Console) -> None:
    found = measured("bench.paging")
    table = Table("client", "pages/s", "speed, bare client = 1")
    for word, ratio in (("bare", 1.0), ("rowkeeper", float(found["ratio"]))):
        table.add_row(word, f"{found['pages_per_second'][word]:,.0f}", f"{ratio:.2f}")
    console.print(f"An API by TLS, {found['records_per_page']} records a page", table)


def _protect(console: Console) -> None:
    found = measured("bench.protecting")
    table = Table("method", "50,000 distinct values: M/s", "all distinct: M/s")
    for word, each in found.items():
        table.add_row(word, *(f"{each[kind]['clock'] / 1e6:.2f}" for kind in ("repeating", "distinct")))
    console.print("Column protection, 2 million rows of text (bench.protecting tells more)", table)


def _audit(console: Console) -> None:
    found = measured("bench.auditing")
    table = Table("the audit trail", "measured", "bare, in the same run", "ratio")
    threads = "one_by_one_from_8_threads"
    for what, name, bare, ratio in (
        ("one by one, a second", "one_by_one_per_second", "bare_sqlite_commits_per_second", "one_by_one_to_bare"),
        ("from 8 threads, a second", f"{threads}_per_second", "bare_sqlite_commits_per_second", f"{threads}_to_bare"),
        ("in batches, a second", "in_batches_per_second", "bare_sqlite_in_batches_per_second", "in_batches_to_bare"),
        (f"{found['entries']:,} verified, s", "verify_seconds", "bare_sha256_seconds", "verify_to_bare"),
    ):
        table.add_row(what, f"{found[name]:,}", f"{found[bare]:,}", f"{found[ratio]}")
    console.print("The audit trail in SQLite, each commit on the disk before it counts", table)


def _access(console: Console) -> None:
    found = measured("bench.access")
    table = Table("kept, a second", "a like one kept, a second", "decided anew, us", "kept: times anew")
    table.add_row(
        f"{found['kept_per_second']:,}",
        f"{found['by_class_per_second']:,}",
        f"{found['anew_microseconds']:,}",
        f"{found['times_anew']:,}",
    )
    console.print("Decisions of permissions, one thread", table)


def _check(console: Console, rows: int) -> None:
    found = measured("bench.checking", str(min(rows, 1_000_000)))
    table = Table("rows a second", "row by row", "times row by row", "all bad: time, row by row = 1")
    table.add_row(
        f"{found['rows_per_second']:,}",
        f"{found['row_by_row_per_second']:,}",
        f"{found['times_row_by_row']}",
        f"{found['all_bad_seconds_to_row_by_row']}",
    )
    console.print("The check alone, 1% bad rows, against model_validate row by row over the same Arrow table", table)


def _host(console: Console, rows: int, repeats: int, run_seconds_per_row: float) -> None:
    host, inside = (
        float(best("bench.hosting", how, str(rows), repeats=repeats)["seconds"]) for how in ("host", "inside")
    )
    table = Table("rows staged", "through the host s", "in this process s", "the host costs a run")
    table.add_row(f"{rows:,}", f"{host:.2f}", f"{inside:.2f}", f"{(host - inside) / rows / run_seconds_per_row:.1%}")
    console.print("What the engine's host process costs (Parquet)", table)


def _large(console: Console, rows: int) -> None:
    table = Table("rows", "Rowkeeper s", "of which publish s", "seal (read back) s", "peak MB, both processes")
    for count in (rows // 10, rows):
        files(DATA, count, "parquet")
        load = measured("bench.one", "load", "parquet", str(count), ROWKEEPER_MEMORY_MAX=MEMORY_MAX)
        table.add_row(
            f"{count:,}",
            f"{load['seconds']:.1f}",
            f"{load['seconds_publish']:.3f}",
            f"{load['seconds_seal']:.2f}",
            f"{load['megabytes_peak']:.0f}",
        )
    console.print(f"Publish time and memory by rows (Parquet, ROWKEEPER_MEMORY_MAX={MEMORY_MAX})", table)


if __name__ == "__main__":
    main()

"""Backups against a raw copy: `python -m bench.backups`, or `--gigabytes 0.2` for a quick look.

The raw copy is `cp -r` of the engine's disk to the same file system, with `sync`, which is the least that a backup
could be; it is neither consistent, nor hashed, nor does it know what is new. The figures are of a full backup into a
folder, of an incremental one with nothing new (its base read and hashed, and not), of `verify`, and of a restore into
an empty folder, in which every row is hashed anew.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import rowkeeper as rk
from rowkeeper.batch import Fingerprint
from rowkeeper.destinations.mergetree.layout import row_hash
from rowkeeper.destinations.mergetree.session import TableSession
from rowkeeper.operations.backups.creating import create_backup
from rowkeeper.operations.backups.verifying import verify_backups
from rowkeeper.operations.restoring.restoring import Wanted, restore
from rowkeeper.pipeline import load_file
from rowkeeper.runs.reconciling import destination_of

PIPELINE = """
import rowkeeper as rk
from pydantic import BaseModel

class Row(BaseModel):
    id: int
    noise: str

noisy = rk.Pipeline("noisy", source=rk.sources.files("*.csv"), contract=Row,
    destination=rk.destinations.clickhouse("noisy", order_by=["id"]))
"""
COLUMNS = (("id", "Int64"), ("noise", "String"))
ROW_BYTES = 200  # of noise, which no codec makes smaller
ROWS_PER_INSERT = 500_000


def seconds_of(work: Callable[[], object]) -> float:
    """How long it took."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def fill(workspace: rk.Workspace, gigabytes: float) -> None:
    """Makes a table of a run large: by rows past the run, as loading them would take longer than what is measured.

    The books are told afterwards: what a restore proves is that they agree.
    """
    session = destination_of(workspace.ledger.run(1)).connect(workspace.site, None)
    assert isinstance(session, TableSession)
    session.statements.do(session.ddl.hold_still(session.names.live))  # or an incremental backup would have what merged
    rows = int(gigabytes * 1e9 / ROW_BYTES)
    for start in range(0, rows, ROWS_PER_INSERT):
        count = min(ROWS_PER_INSERT, rows - start)
        session.statements.do(
            "INSERT INTO default.noisy (id, noise, _rk_run, _rk_row, _rk_hash) "
            f"SELECT id, noise, 1, id + 1, {row_hash(COLUMNS)} FROM (SELECT toInt64(number + {start}) AS id, "
            f"base64Encode(randomString({ROW_BYTES * 3 // 4})) AS noise FROM numbers({count}))"
        )
    session.engine.sync()
    (found,) = session.verify({1: Fingerprint()})
    session.close()
    books = f"{found.found.rows}:{found.found.hash_sum:016x}"
    with contextlib.closing(sqlite3.connect(workspace.folder.path / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE postings SET change = ? WHERE run = 1", (books,))


def raw_copy(disk: Path, to: Path) -> None:
    """The least that a backup could be."""
    subprocess.run(["cp", "-r", str(disk), str(to)], check=True)
    subprocess.run(["sync", "-f", str(to)], check=True)


def size_of(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Prints one line of JSON, and the same for people."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, help="where it is done; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        figures = measured(Path(made), options.gigabytes)
    sys.stdout.write(json.dumps(figures) + "\n")
    for name in ("full", "verify", "incremental", "quick", "restore"):
        share = figures["copy_seconds"] / figures[f"{name}_seconds"]
        sys.stdout.write(f"{name:12} {figures[f'{name}_seconds']:8.1f} s   {share:5.2f} of a raw copy's speed\n")


def measured(folder: Path, gigabytes: float) -> dict[str, float]:
    """All figures."""
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
    os.chdir(folder)
    (folder / "p.py").write_text(PIPELINE)
    (folder / "a.csv").write_text("id,noise\n1,x\n")
    settings = rk.Settings(home=folder / "state", backup_to=str(folder / "place"), engine_idle_seconds=30)
    with rk.Workspace.open(settings) as workspace:
        rk.run(load_file(folder / "p.py")["noisy"], workspace)
        fill(workspace, gigabytes)
        disk = workspace.folder.path / "engine" / "disk"
        figures: dict[str, float] = {"bytes": size_of(disk)}
        figures["copy_seconds"] = seconds_of(lambda: raw_copy(disk, folder / "copy"))
        shutil.rmtree(folder / "copy")
        figures["full_seconds"] = seconds_of(lambda: create_backup(workspace))
        figures["full_bytes"] = size_of(folder / "place")
        figures["verify_seconds"] = seconds_of(lambda: verify_backups(workspace))
        figures["incremental_seconds"] = seconds_of(lambda: create_backup(workspace))
        figures["quick_seconds"] = seconds_of(lambda: create_backup(workspace, quick=True))
        figures["incremental_bytes"] = size_of(folder / "place") - figures["full_bytes"]
    figures["restore_seconds"] = seconds_of(lambda: restore(settings, Wanted(), into=folder / "restored"))
    return figures


if __name__ == "__main__":
    main()

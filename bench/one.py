"""One measured load in a process of its own: `python -m bench.one load|raw KIND ROWS` prints a JSON document.

Memory is the peak of resident memory (VmHWM) of this process and of the engine's host added up: an upper bound, as
pages that both map count twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench.generate import files
from bench.trips import RAW_DDL, RAW_FORMATS, pipeline

DATA = Path(__file__).parent / "data"


def peak_megabytes(pid: int | str = "self") -> float:
    """The most resident memory that a process ever had."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) / 1000


def load(kind: str, rows: int) -> dict[str, object]:
    """A whole run: read, check, encrypt, stage, verify, publish, record.

    What is imported and started is there before the clock starts, as chDB is for the raw load.
    """
    import rowkeeper as rk  # noqa: PLC0415 - the raw load must not pay for it
    from rowkeeper.destinations import engine_status  # noqa: PLC0415
    from rowkeeper.runs.report import Progress  # noqa: PLC0415

    paths = files(DATA, rows, kind)
    steps: dict[str, float] = {}

    def observe(progress: Progress) -> None:
        steps.setdefault(progress.step, time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CONFIG_HOME"] = folder + "/config"
        settings = rk.Settings(home=Path(folder) / "state", engine_idle_seconds=5)
        with rk.Workspace.open(settings) as workspace:
            engine_status(workspace.site)
            run, declared = rk.run, pipeline(str(paths[0].parent / f"*.{kind}"), "trips")
            started = time.perf_counter()
            report = run(declared, workspace, observe)
            seconds = time.perf_counter() - started
            host = engine_status(workspace.site).pid
            memory = peak_megabytes() + peak_megabytes(host)
        _end(host)  # it drops tables in the background, in a folder that is about to go
    assert (report.account.read, report.account.quarantined) == (rows, rows // 100), report
    return {
        "seconds": seconds,
        "seconds_publish": steps["record"] - steps["publish"],
        "seconds_seal": steps["publish"] - steps["seal"],
        "megabytes_peak": memory,
    }


def _end(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.terminate()
        process.wait(30)


def raw(kind: str, rows: int) -> dict[str, object]:
    """`INSERT INTO ... SELECT * FROM file()` in this process, chDB as it comes."""
    import chdb.session  # noqa: PLC0415

    paths = files(DATA, rows, kind)
    with tempfile.TemporaryDirectory() as folder:
        engine: Any = chdb.session
        session = engine.Session(folder)
        session.query("CREATE DATABASE bench ENGINE = Atomic")
        session.query("USE bench")
        session.query(RAW_DDL)
        started = time.perf_counter()
        session.query(
            f"INSERT INTO raw SELECT * FROM file('{paths[0].parent}/*.{kind}', '{RAW_FORMATS[kind]}') "
            "SETTINGS date_time_input_format = 'best_effort'"
        )
        seconds = time.perf_counter() - started
        count = session.query("SELECT count() FROM raw", "CSV").bytes().decode().strip()
        session.close()
    assert int(count) == rows, count
    return {"seconds": seconds, "megabytes_peak": peak_megabytes()}


if __name__ == "__main__":
    what, file_kind, row_count = sys.argv[1:]
    print(json.dumps((load if what == "load" else raw)(file_kind, int(row_count))))

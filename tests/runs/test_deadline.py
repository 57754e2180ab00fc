"""A deadline that strikes in mid-run is one more way to be interrupted: the next run loads every row once."""

from __future__ import annotations

import time

import pytest

import rowkeeper as rk
from rowkeeper.errors import FrameworkError, TransformError
from rowkeeper.pipeline import select
from tests.arena import Arena

PIPELINE = """
from pydantic import BaseModel
import rowkeeper as rk

class Row(BaseModel):
    id: int
    text: str

rows = rk.Pipeline(
    "rows",
    source=rk.sources.files("t/*.csv"),
    contract=Row,
    destination=rk.destinations.clickhouse("rows", order_by=["id"]),
)
"""


def test_a_deadline_in_mid_run_loses_and_doubles_nothing(own_arena: Arena):
    """Runs cut off at growing deadlines, then one without: the table holds each row once, and verifies."""
    for number in range(4):
        lines = "".join(f"{number * 50_000 + row},x\n" for row in range(50_000))
        own_arena.write(f"t/{number}.csv", "id,text\n" + lines)
    file = own_arena.write("rows.py", PIPELINE)
    settings = rk.Settings(
        home=own_arena.home,
        key_file=own_arena.folder / "the.key",
        engine_idle_seconds=20,
        batch_rows=20_000,
        lease_seconds=1,
    )
    cut = 0
    with rk.Workspace.open(settings) as workspace:
        (pipeline,) = select(file, "rows")
        for seconds in (0.05, 0.2, 0.4, 0.6, 0.8):
            began = time.monotonic()
            try:
                with rk.deadline(seconds):
                    rk.run(pipeline, workspace)
            except FrameworkError:
                cut += 1
                assert time.monotonic() - began < seconds + 5
        rk.run(pipeline, workspace)
        account = rk.Account()
        for run in workspace.ledger.runs(limit=100):
            account = account + run.account if run.status.value == "published" else account
    assert cut >= 1
    assert account.committed == 200_000
    own_arena.env["ROWKEEPER_KEY_FILE"] = str(own_arena.folder / "the.key")
    assert own_arena.ok("query", "SELECT count() AS n, uniqExact(id) AS u FROM rows")["rows"] == [[200_000, 200_000]]
    own_arena.ok("verify", "rows.py")


def test_a_fault_is_told_although_no_time_is_left_to_clean_up(own_arena: Arena):
    """The pipeline's own fault is what the caller hears of, not that dropping its staging came too late."""
    own_arena.write("t/a.csv", "id,text\n1,x\n")
    failing = PIPELINE.replace("contract=Row,", "contract=Row, transform=slow_and_wrong,").replace(
        "rows = rk",
        "def slow_and_wrong(frame):\n    import time\n    time.sleep(1.5)\n    raise ValueError('no')\n\nrows = rk",
    )
    file = own_arena.write("rows.py", failing)
    settings = rk.Settings(home=own_arena.home, key_file=own_arena.folder / "the.key", engine_idle_seconds=20)
    with rk.Workspace.open(settings) as workspace:
        (pipeline,) = select(file, "rows")
        with pytest.raises(TransformError):
            rk.run(pipeline, workspace)  # starts the engine, which takes a while
        with pytest.raises(TransformError), rk.deadline(1.0):
            rk.run(pipeline, workspace)

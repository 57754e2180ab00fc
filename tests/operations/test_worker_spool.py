"""`rowkeeper worker` drains the spool."""

from __future__ import annotations

from tests.arena import Arena
from tests.operations.test_worker import working
from tests.runs.outages import SPOOL, cut, mend
from tests.runs.scenarios import PIPELINE, trips


def test_the_worker_drains_what_waits_as_soon_as_the_destination_is_there(arena: Arena):
    """Tried while the engine is away, told, and published when it is back; nobody has to ask for it."""
    arena.ok("query", "SELECT 1")
    arena.write("w.py", PIPELINE.format(name="w", options=SPOOL, gates="", on_error="stop"))
    arena.write("w/1.csv", trips(0, 40))
    cut(arena)
    run = arena.ok("run", "w.py")["run"]
    with working(arena) as worker:
        worker.wait_for("not drained")
        mend(arena)
        assert worker.wait_for("drained") == {**worker.events("drained")[0], "run": run, "pipeline": "w"}
    assert arena.ok("show", str(run))["status"] == "published"
    assert arena.ok("verify", "w.py")["sound"]

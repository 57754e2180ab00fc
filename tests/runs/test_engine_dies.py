"""The engine is killed at the steps of a run: before the publish the run goes on, in it the next one settles it."""

from __future__ import annotations

import pytest

from tests.arena import Arena
from tests.runs.scenarios import PIPELINE, trips

# Where the run goes on by itself.
SURVIVED = ["run.after_start", "stage.after_insert", "gate.after_judging", "run.after_duplicates", "run.after_seal"]
# Where it may stop: what changes the table once is not said twice.
SETTLED = ["publish.before_clone", "publish.before_exchange", "publish.after_exchange", "publish.after_undo"]
ROWS = [
    [number, ("Oslo", "Bern", "Rome")[number % 3], 1.5 + number] for number in range(80) if number % 5 and number % 7
]


@pytest.mark.parametrize("point", SURVIVED + SETTLED)
def test_every_row_is_there_once(arena: Arena, point: str):
    """Killed at this step, the table holds what an undisturbed run would have left, after one run or two."""
    name = point.replace(".", "_")
    arena.write(f"{name}/a.csv", trips(0, 40))
    arena.write(f"{name}/b.csv", trips(40, 40))
    gates = 'rk.complete("city"), rk.unique("id", across="table")'
    options = 'key=["id"], duplicates="quarantine"'
    arena.write(f"{name}.py", PIPELINE.format(name=name, options=options, on_error="stop", gates=gates))
    running = arena.start("run", f"{name}.py", "--json", failpoints=f"{point}=stop")
    running.wait_stopped()
    arena.kill_host()
    running.go_on()
    outcome = running.wait()
    assert outcome.status == 0 or point in SETTLED, outcome
    assert "Traceback" not in outcome.stderr, outcome
    arena.ok("run", f"{name}.py")
    assert arena.rows(name) == ROWS
    assert arena.ok("verify", f"{name}.py")["sound"]
    published = [each for each in arena.ok("runs", "--pipeline", name)["runs"] if each["status"] == "published"]
    assert [each["account"]["committed"] for each in published] == [len(ROWS)]

"""`rowkeeper doctor` on installations that were broken by hand: each fault is found, named, and has a mend."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import rowkeeper as rk
from rowkeeper.operations import surroundings, tablecheck
from rowkeeper.operations.doctor import diagnose
from tests.arena import Arena, Outcome

PIPELINES = """
import rowkeeper as rk
from pydantic import BaseModel, Field

class Row(BaseModel):
    id: int
    name: str = Field(max_length=20)

def pipeline(name):
    return rk.Pipeline(name, source=rk.sources.files(name + "*.csv"), contract=Row,
        destination=rk.destinations.clickhouse(name, order_by=["id"]))

fine, damaged, forgotten, dying = map(pipeline, ("fine", "damaged", "forgotten", "dying"))
"""


def rows(first: int) -> str:
    return "id,name\n" + "".join(f"{number},name {number}\n" for number in range(first, first + 200)) + "x,bad\n"


def by_name(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in outcome.json["checks"]}


@pytest.fixture(scope="module")
def healthy(arena: Arena) -> Outcome:
    arena.write("pipelines.py", PIPELINES)
    for name in ("fine", "damaged", "forgotten"):
        arena.write(f"{name}1.csv", rows(0))
        arena.ok("run", f"pipelines.py:{name}")
    arena.write("forgotten2.csv", rows(1000))
    arena.ok("run", "pipelines.py:forgotten")
    return arena.run("doctor", "--json")


@pytest.fixture(scope="module")
def broken(arena: Arena, healthy: Outcome) -> dict[str, dict[str, Any]]:
    """The same installation after a number of misfortunes."""
    arena.write("dying1.csv", rows(0))
    arena.run("run", "pipelines.py:dying", failpoints="run.after_stage=kill")
    [paths] = arena.ok("query", "SELECT data_paths FROM system.tables WHERE name = 'damaged'")["rows"]
    arena.kill_host()
    [data] = Path(paths[0][0]).glob("all_*/data.bin")
    data.write_bytes(data.read_bytes()[:-20] + b"damaged on its disk!")
    first = sorted((arena.home / "quarantine").rglob("*.sealed"))[0]
    first.write_bytes(first.read_bytes()[:-1] + b"?")
    with arena.by_hand() as ledger:
        ledger.execute("UPDATE runs SET publish_order = NULL WHERE run = 4")
        ledger.execute("UPDATE runs SET finished_at = '2199-01-01 00:00:00.000000' WHERE run = 1")
    (arena.home / ".home.json.0123456789abcdef").touch(mode=0o600)
    outcome = arena.run("doctor", "--json", env={"ROWKEEPER_MEMORY_MAX": "300MB"})
    assert outcome.status == 1
    return by_name(outcome)


def test_an_installation_without_fault_is_told_so(healthy: Outcome):
    """Exit status 0, and nothing is called wrong."""
    assert healthy.status == 0, healthy
    found = by_name(healthy)
    assert not [each for each in found.values() if each["level"] == "wrong"]
    assert found["table default.fine"]["found"] == "200 rows in 1 parts, published last by run 1"
    assert "4 files" in found["sealed files"]["found"] or "8 files" in found["sealed files"]["found"]
    assert "schema" in found["ledger"]["found"]


@pytest.mark.parametrize("point", ["run.after_start", "run.after_stage", "publish.after_exchange"])
def test_a_run_that_is_under_way_is_no_fault(arena: Arena, healthy: Outcome, point: str):
    """At whatever step it is: exit status 0, and the run is named."""
    del healthy
    name = point.replace(".", "_")
    arena.write("live.py", PIPELINES + f"{name} = pipeline('{name}')")
    arena.write(f"{name}1.csv", rows(0))
    long = {"ROWKEEPER_LEASE_SECONDS": "600"}  # stopped, it cannot renew it
    run = arena.start("run", f"live.py:{name}", failpoints=f"{point}=stop", env=long)
    run.wait_stopped()
    try:
        outcome = arena.run("doctor", "--json")
    finally:
        run.go_on()
    assert run.wait().status == 0
    found = by_name(outcome)
    assert outcome.status == 0, outcome
    assert found["runs"]["level"] == "ok"
    assert f"of {name} (" in found["runs"]["found"]


@pytest.mark.parametrize(
    ("name", "level", "found"),
    [
        ("runs", "wrong", "dying"),
        ("leases", "note", "left by processes that died"),
        ("sealed files", "wrong", "was changed since it was sealed"),
        ("ledger's times", "wrong", "in the future"),
        ("state folder", "note", ".home.json.0123456789abcdef"),
        ("memory", "wrong", "at rest"),
        ("table default.forgotten", "wrong", "published last by run 4, and the ledger says by run 3"),
        ("table default.fine", "ok", "200 rows"),
    ],
)
def test_a_fault_is_named_with_its_mend(broken: dict[str, dict[str, Any]], name: str, level: str, found: str):
    """And none hides another."""
    assert broken[name]["level"] == level, broken[name]
    assert found in broken[name]["found"]
    assert bool(broken[name]["mend"]) == (level != "ok")


def test_damage_on_the_disk_is_found(broken: dict[str, dict[str, Any]]):
    """By the files' checksums, or, where the engine could not even load the part, by its being set aside."""
    table = broken["table default.damaged"]
    assert table["level"] == "wrong"
    assert "damaged on disk" in table["found"] or "set aside" in table["found"]
    assert "verify" in table["mend"]


def test_a_state_folder_that_cannot_be_opened_is_a_finding_among_others(tmp_path: Path):
    """The key is gone: that is told with its mend, beside what was found elsewhere."""
    settings = rk.Settings(home=tmp_path / "home", key_file=tmp_path / "the.key")
    with rk.Workspace.open(settings):
        pass
    (tmp_path / "the.key").unlink()
    found = {each.name: each for each in diagnose(settings)}
    assert not found["state folder"].ok
    assert "put it back" in found["state folder"].mend
    assert found["disk"].ok


def test_what_is_installed_is_compared_with_what_is_needed(monkeypatch: pytest.MonkeyPatch):
    """Extras and markers are not asked for; a gap and an old version are."""
    monkeypatch.setattr(surroundings, "requires", lambda _: ["pyarrow>=9999", "absent>=1.0", 'other>=1; extra == "x"'])
    found = {each.name: each for each in surroundings.examine_surroundings(rk.Settings())}["version"]
    assert not found.ok
    assert "pyarrow is" in found.found
    assert "absent is missing" in found.found
    assert "other" not in found.found


def test_an_engine_that_hangs_is_told_with_its_process(own_arena: Arena, monkeypatch: pytest.MonkeyPatch):
    """Asking it does not hang the doctor."""
    own_arena.ok("query", "SELECT 1")
    pid = own_arena.host_pid()
    assert pid is not None
    monkeypatch.setattr(tablecheck, "ANSWER_SECONDS_MAX", 0.5)
    [key] = (own_arena.folder / "config" / "rowkeeper").iterdir()
    os.kill(pid, signal.SIGSTOP)
    try:
        with rk.Workspace.open(rk.Settings(home=own_arena.home, key_file=key)) as workspace:
            [found] = tablecheck.examine_tables(workspace)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert not found.ok
    assert f"kill -9 {pid}" in found.mend

"""`fallback="spool"`: a destination that is really away, and what becomes of the runs meanwhile and afterwards."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import pytest

from tests.arena import KILLED, Arena
from tests.runs.outages import AT_LENGTH, SPOOL, cut, mend, outage
from tests.runs.scenarios import PIPELINE, left_behind, trips

NO_ROOM = {"ROWKEEPER_DISK_FREE_MIN": "1000000TiB"}
HELD = 'rk.between("fare", 0, 100, at_least=1.0)'


def declare(arena: Arena, name: str, *, options: str = SPOOL, gates: str = "", on_error: str = "stop") -> None:
    arena.write(f"{name}.py", PIPELINE.format(name=name, options=options, gates=gates, on_error=on_error))
    arena.write(f"{name}/0.csv", trips(0, 40))
    arena.ok("run", f"{name}.py")


def spooled(arena: Arena, name: str) -> dict[str, object]:
    report = arena.ok("run", f"{name}.py")
    assert report["status"] == "spooled", report
    return report


def statuses(arena: Arena, name: str) -> list[str]:
    """Of the runs that brought something, oldest first."""
    runs = arena.ok("runs", "--pipeline", name, "--limit", "1000")["runs"]
    return [each["status"] for each in reversed(runs) if each["status"] != "unchanged"]


def feed(arena: Arena, name: str, number: int) -> None:
    """A new file, and a change of the one that came before."""
    arena.write(f"{name}/{number}.csv", trips(100 * number, 40))
    arena.write(f"{name}/{number - 1}.csv", trips(100 * (number - 1), 45, fare=2.5))


def test_what_waits_is_drained_in_order_and_leaves_what_an_undisturbed_sequence_leaves(arena: Arena):
    """Three runs while the engine cannot start, then one when it can: order, accounts, table as if it had been up."""
    for name in ("undisturbed", "disturbed"):
        declare(arena, name)
    for number in range(1, 5):
        feed(arena, "undisturbed", number)
        arena.ok("run", "undisturbed.py")
    with outage(arena, AT_LENGTH):
        for number in range(1, 4):
            feed(arena, "disturbed", number)
            report = spooled(arena, "disturbed")
            assert report["account"]["read"] == 85
            assert "the embedded ClickHouse did not start" in report["degraded"][0]
            shown = arena.ok("show", str(report["run"]))
            assert (shown["status"], shown["degraded"]) == ("spooled", report["degraded"])
            assert shown["account"] == report["account"]
        waiting = arena.ok("spool", "list")
        assert [run["status"] for run in waiting["runs"]] == ["spooled"] * 3
        assert waiting["bytes"] > 0
        again = arena.ok("run", "disturbed.py")
        assert (again["status"], again["account"]["read"]) == ("unchanged", 0)
    feed(arena, "disturbed", 4)
    last = arena.ok("run", "disturbed.py")
    assert last["status"] == "published"
    assert statuses(arena, "disturbed") == ["published"] * 5
    assert left_behind(arena, "disturbed") == left_behind(arena, "undisturbed")
    assert arena.ok("spool", "list") == {"bytes": 0, "runs": []}


def test_an_engine_that_dies_in_mid_run_is_one_that_cannot_take_it(arena: Arena):
    """What it had staged is read again into the spool, under the run's own number, and comes once."""
    for name in ("calm", "dying"):
        declare(arena, name)
        for number in range(1, 6):
            arena.write(f"{name}/{number}.csv", trips(100 * number, 40))
    arena.ok("run", "calm.py")
    run = arena.start("run", "dying.py", "--json", failpoints="stage.before_insert=stop@3")
    run.wait_stopped()
    cut(arena)
    run.go_on()
    outcome = run.wait()
    mend(arena)
    assert (outcome.status, outcome.json["status"]) == (0, "spooled"), outcome
    assert statuses(arena, "dying") == ["published", "spooled"]
    assert arena.run("spool", "drain", "dying").status == 0
    assert statuses(arena, "dying") == ["published", "published"]
    assert left_behind(arena, "dying") == left_behind(arena, "calm")


def test_a_run_that_died_at_the_destination_starts_over_in_the_spool(arena: Arena):
    """SIGKILL in mid-staging, then an outage: the same run is spooled, with what is there by now, and comes once."""
    for name in ("calm_over", "over"):
        declare(arena, name)
        arena.write(f"{name}/1.csv", trips(100, 40))
        arena.write(f"{name}/2.csv", trips(200, 40))
    arena.ok("run", "calm_over.py")
    assert arena.run("run", "over.py", failpoints="run.after_stage=kill@2").status == KILLED
    with outage(arena):
        report = spooled(arena, "over")
    arena.ok("spool", "drain", "over")
    assert statuses(arena, "over") == ["published", "published"]
    assert arena.ok("show", str(report["run"]))["status"] == "published"
    assert left_behind(arena, "over") == left_behind(arena, "calm_over")


@pytest.mark.parametrize("point", ["publish.before_exchange", "publish.after_exchange"])
def test_a_run_that_was_being_published_comes_before_what_was_spooled_behind_it(arena: Arena, point: str):
    """Only the destination knows whether it took effect: its files are not read again, and it is settled first."""
    name = point.replace(".", "_")
    for each in (f"calm_{name}", name):
        declare(arena, each)
        feed(arena, each, 1)
    arena.ok("run", f"calm_{name}.py")
    feed(arena, f"calm_{name}", 2)
    arena.ok("run", f"calm_{name}.py")
    assert arena.run("run", f"{name}.py", failpoints=f"{point}=kill").status == KILLED
    with outage(arena):
        assert arena.ok("run", f"{name}.py")["status"] == "unchanged"
        feed(arena, name, 2)
        assert spooled(arena, name)["account"]["read"] == 85
    arena.ok("spool", "drain", name)
    assert statuses(arena, name) == ["published"] * 3
    assert left_behind(arena, name) == left_behind(arena, f"calm_{name}")


def test_nothing_of_a_spooled_row_is_on_disk_in_the_clear(own_arena: Arena):
    """Values of accepted and of rejected rows, searched for in every file of the state folder while they wait."""
    declare(own_arena, "sealed")
    canaries = [f"canary{number:05}" for number in range(200)]
    rows = "".join(f"{number},{canary},{number % 3 - 0.5}\n" for number, canary in enumerate(canaries))
    own_arena.write("sealed/1.csv", "id,city,fare\n" + rows)
    with outage(own_arena):
        report = spooled(own_arena, "sealed")
    assert report["account"]["committed"] > 0
    assert report["account"]["quarantined"] > 0
    files = [path for path in own_arena.home.rglob("*") if path.is_file()]
    assert any(path.parent.parent.name == "spool" for path in files)
    assert not [path for path in files if b"canary0" in path.read_bytes()]
    assert not [path for path in (own_arena.home / "spool").rglob("*") if path.stat().st_mode & 0o077]


def test_a_changed_file_stops_the_queue_until_its_run_is_given_up(arena: Arena):
    """The later run waits behind it, the table stays as it was; abandoned, its input can be loaded again."""
    declare(arena, "torn")
    with outage(arena):
        for number in (1, 2):
            feed(arena, "torn", number)
            report = spooled(arena, "torn")
    first = arena.ok("spool", "list")["runs"][0]["run"]
    before = arena.rows("torn")
    file = next((arena.home / "spool" / str(first)).glob("*-0-0.sealed"))
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    drained = arena.run("spool", "drain", "torn", "--json")
    assert drained.status == 1
    assert drained.json["error"]["code"] == "RK-5004"
    assert arena.rows("torn") == before
    assert [run["status"] for run in arena.ok("spool", "list")["runs"]] == ["spooled", "spooled"]
    doctor = {check["name"]: check for check in arena.run("doctor", "--json").json["checks"]}
    assert f"run {first} was not drained" in doctor["spool"]["found"]
    feed(arena, "torn", 3)
    behind = spooled(arena, "torn")
    assert f"run {first} of torn comes first, and cannot be drained" in behind["degraded"][0]
    arena.ok("abandon", str(first), "--reason", "the disk lost it")
    last = arena.ok("run", "torn.py")
    assert last["status"] == "published"
    assert [each["key"] for each in last["partitions"]] == ["torn/0.csv"]
    assert statuses(arena, "torn") == ["published", "failed", "published", "published", "published"]
    assert arena.ok("verify", "torn.py")["sound"]
    declare(arena, "untorn")
    for number in (1, 2, 3):
        feed(arena, "untorn", number)
    arena.ok("run", "untorn.py")
    assert arena.rows("torn") == arena.rows("untorn")
    assert report["run"] not in [run["run"] for run in arena.ok("spool", "list")["runs"]]


def test_gates_are_asked_when_a_run_is_drained_and_nothing_passes_one_that_is_held(arena: Arena):
    """Held, and the next run spooled behind it; published against its gates, and what waits follows."""
    declare(arena, "gated", gates=HELD)
    arena.write("gated/1.csv", trips(100, 40))
    with outage(arena):
        run = str(spooled(arena, "gated")["run"])
    drained = arena.run("spool", "drain", "gated")
    assert drained.status == 1
    assert f"run {run} of gated is held" in drained.stderr
    arena.write("gated/2.csv", trips(0, 20))
    behind = spooled(arena, "gated")
    assert "is held" in behind["degraded"][0]
    assert statuses(arena, "gated") == ["published", "held", "spooled"]
    arena.ok("publish", run, "--override", "the fares are right")
    arena.ok("spool", "drain", "gated")
    assert statuses(arena, "gated") == ["published"] * 3
    assert arena.ok("verify", "gated.py")["sound"]
    assert not list((arena.home / "spool").iterdir())


def test_what_is_no_fault_of_the_destination_fails_as_ever(arena: Arena):
    """Another layout, a failed gate, a damaged file: no run is spooled."""
    declare(arena, "faulty", gates='rk.between("fare", 0, 200, at_least=1.0)')
    arena.write("faulty/1.csv", trips(300, 40))
    assert arena.run("run", "faulty.py").status == 1
    arena.write("faulty/1.csv", trips(100, 40) + '"open')
    assert arena.run("run", "faulty.py").status == 1
    with outage(arena):
        assert arena.run("run", "faulty.py").status == 1
    arena.write("faulty/1.csv", trips(100, 40))
    text = (arena.folder / "faulty.py").read_text()
    arena.write("faulty.py", text.replace("city: str", "city: int"))
    assert arena.run("run", "faulty.py").status == 2
    assert arena.ok("spool", "list")["runs"] == []
    assert not list((arena.home / "spool").iterdir())


def test_an_engine_without_memory_is_one_that_cannot_take_it(arena: Arena):
    """The insert is refused for want of memory; with more of it the run is drained."""
    declare(arena, "memory")
    arena.kill_host()
    arena.write("memory/1.csv", trips(100, 2000))
    short = arena.run("run", "memory.py", "--json", env={"ROWKEEPER_ENGINE_MEMORY_BYTES_MAX": "60000"})
    assert (short.status, short.json["status"]) == (0, "spooled"), short
    assert "more memory" in short.json["degraded"][0]
    arena.kill_host()
    arena.ok("spool", "drain", "memory")
    assert statuses(arena, "memory") == ["published", "published"]
    assert arena.ok("verify", "memory.py")["sound"]


def test_a_pipeline_without_a_fallback_waits_for_what_is_in_the_spool_of_its_table(arena: Arena):
    """Runs of another pipeline into the same table are drained first; if they cannot be, it fails."""
    declare(arena, "shared", gates=HELD)
    text = (arena.folder / "shared.py").read_text().replace(f", {SPOOL}", "").replace(f"gates=[{HELD}]", "gates=[]")
    arena.write("plain.py", text.replace('"shared",\n', '"plain",\n', 1).replace('"shared/*.csv"', '"plain/*.csv"'))
    arena.write("shared/1.csv", trips(100, 40))
    arena.write("plain/1.csv", trips(500, 40))
    with outage(arena):
        spooled(arena, "shared")
        assert arena.run("run", "plain.py").status == 1
    blocked = arena.run("run", "plain.py", "--json")
    assert (blocked.status, blocked.json["error"]["code"]) == (1, "RK-2003"), blocked
    arena.write("shared.py", (arena.folder / "shared.py").read_text().replace(HELD, ""))
    arena.ok("run", "plain.py")
    assert statuses(arena, "shared") == ["published", "published"]
    brought = arena.ok("query", "SELECT _rk_run FROM shared GROUP BY 1 ORDER BY 1")["rows"]
    assert len(brought) == 3
    assert arena.ok("verify", "plain.py")["sound"]


def test_columns_that_drift_brings_wait_too(arena: Arena):
    """With drift="evolve", a column that came during an outage is in the table after the drain."""
    declare(arena, "drifting")
    text = (arena.folder / "drifting.py").read_text()
    arena.write("drifting.py", text.replace("contract=Trip", 'contract=Trip, drift="evolve"'))
    arena.write("drifting/1.csv", trips(100, 5))
    arena.write("drifting/2.csv", "id,city,fare,tip\n201,Oslo,1.5,7\n202,Bern,2.5,\n")
    with outage(arena):
        spooled(arena, "drifting")
    arena.ok("spool", "drain", "drifting")
    found = arena.ok("query", "SELECT id, tip FROM drifting WHERE id > 200 ORDER BY id")["rows"]
    assert found == [[201, "7"], [202, None]]
    assert arena.ok("verify", "drifting.py")["sound"]


def test_a_file_that_fails_is_left_out_and_the_others_are_spooled(arena: Arena):
    """With on_error="continue" the next run loads it, when it is mended."""
    declare(arena, "partly", on_error="continue")
    arena.write("partly/1.csv", trips(100, 40) + '"open')
    arena.write("partly/2.csv", trips(200, 40))
    with outage(arena):
        outcome = arena.run("run", "partly.py", "--json")
    assert (outcome.status, outcome.json["status"]) == (3, "spooled"), outcome
    arena.ok("spool", "drain", "partly")
    arena.write("partly/1.csv", trips(100, 40))
    assert [each["key"] for each in arena.ok("run", "partly.py")["partitions"]] == ["partly/1.csv"]
    assert arena.ok("verify", "partly.py")["sound"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_disk_that_is_full_of_spool_stops_a_run_that_then_goes_on(own_arena: Arena):
    """It fails cleanly, keeps what it had sealed, and goes on from there when there is room."""
    declare(own_arena, "full")
    folder = own_arena.home / "spool"
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24k,mode=0700", "tmpfs", str(folder)], check=True)
    try:
        for number in range(1, 8):
            own_arena.write(f"full/{number}.csv", trips(100 * number, 40))
        with outage(own_arena):
            failed = own_arena.run("run", "full.py", "--json")
            assert (failed.status, failed.json["error"]["code"]) == (1, "RK-3101"), failed
            assert statuses(own_arena, "full") == ["published", "interrupted"]
            subprocess.run(["mount", "-o", "remount,size=10m", str(folder)], check=True)
            report = spooled(own_arena, "full")
            assert re.fullmatch(r"run \d+ goes on: [1-9]\d* rows had been read before it stopped", report["notes"][0])
        own_arena.ok("spool", "drain", "full")
        assert statuses(own_arena, "full") == ["published", "published"]
        assert own_arena.ok("verify", "full.py")["sound"]
        assert len({id for id, *_ in own_arena.rows("full")}) == len(own_arena.rows("full")) > 200
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_too_little_room_stops_it_before_anything_is_written(arena: Arena):
    """What is to stay free stays free, with the destination there and without; the run can go on."""
    declare(arena, "tight")
    arena.write("tight/1.csv", trips(100, 40))
    refused = arena.run("run", "tight.py", "--json", env=NO_ROOM)
    assert (refused.status, refused.json["error"]["code"]) == (1, "RK-3101"), refused
    (parked,) = [run for run in arena.ok("runs", "--pipeline", "tight")["runs"] if run["status"] == "interrupted"]
    assert parked["error"]["code"] == "RK-3101"
    with outage(arena):
        refused = arena.run("run", "tight.py", "--json", env=NO_ROOM)
        assert (refused.status, refused.json["error"]["code"]) == (1, "RK-3101"), refused
        assert spooled(arena, "tight")["run"] == parked["run"]
    arena.ok("spool", "drain", "tight")
    assert arena.ok("verify", "tight.py")["sound"]


def test_a_drain_that_is_stopped_waits_and_is_drained_later(arena: Arena):
    """SIGTERM in mid-drain: the run waits in the spool again."""
    declare(arena, "stopped")
    for number in range(1, 5):
        arena.write(f"stopped/{number}.csv", trips(100 * number, 40))
    with outage(arena):
        spooled(arena, "stopped")
    drain = arena.start("spool", "drain", "stopped", failpoints="drain.after_stage=stop")
    drain.wait_stopped()
    drain.signal(signal.SIGTERM)
    drain.go_on()
    assert drain.wait().status == 1
    assert statuses(arena, "stopped") == ["published", "spooled"]
    arena.ok("spool", "drain", "stopped")
    assert statuses(arena, "stopped") == ["published", "published"]
    assert arena.ok("verify", "stopped.py")["sound"]


def test_a_fallback_that_is_none_is_refused(arena: Arena):
    """A slip in the declaration is told before anything is read."""
    arena.write("slip.py", PIPELINE.format(name="slip", options='fallback="spol"', gates="", on_error="stop"))
    outcome = arena.run("run", "slip.py")
    assert outcome.status == 2
    assert "spool" in outcome.stderr


def test_an_engine_that_dies_in_mid_drain_leaves_the_run_in_the_spool(arena: Arena):
    """What it had staged is dropped, and staged anew by the next drain."""
    declare(arena, "faint")
    for number in range(1, 4):
        arena.write(f"faint/{number}.csv", trips(100 * number, 40))
    with outage(arena):
        spooled(arena, "faint")
    drain = arena.start("spool", "drain", "faint", "--json", failpoints="drain.before_stage=stop@2")
    drain.wait_stopped()
    cut(arena)
    drain.go_on()
    outcome = drain.wait()
    mend(arena)
    assert (outcome.status, outcome.json["error"]["code"]) == (1, "RK-3002"), outcome  # it was looked for once more
    assert statuses(arena, "faint") == ["published", "spooled"]
    arena.ok("run", "faint.py")
    assert statuses(arena, "faint") == ["published", "published"]
    assert arena.ok("verify", "faint.py")["sound"]


def test_an_engine_that_dies_while_it_publishes_leaves_an_error_and_no_second_copy(arena: Arena):
    """Whether the run is published is not known, and that is what is said; its rows come once, whichever it was."""
    declare(arena, "unknown")
    arena.write("unknown/1.csv", trips(100, 40))
    run = arena.start("run", "unknown.py", failpoints="publish.before_exchange=stop")
    run.wait_stopped()
    cut(arena)
    run.go_on()
    assert run.wait().status == 1
    assert statuses(arena, "unknown") == ["published", "prepared"]
    again = arena.ok("run", "unknown.py")
    assert again["status"] == "unchanged"
    assert "waits to be published" in again["notes"][-1]
    mend(arena)
    arena.ok("run", "unknown.py")
    assert statuses(arena, "unknown") == ["published", "published"]
    assert arena.ok("verify", "unknown.py")["sound"]

"""Files that come after a run died: it goes on with what it had, and takes them in; what changed begins anew."""

from __future__ import annotations

import re

import hypothesis.strategies as st
import pytest
from hypothesis import given

from rowkeeper.batch import Account, Partition
from rowkeeper.ledger import RunPartition
from rowkeeper.protocols import Plan
from rowkeeper.runs.work import to_add
from tests import extent
from tests.arena import KILLED, Arena
from tests.runs.scenarios import FAILING, PIPELINE, trips
from tests.runs.test_state_machine import KILLS

A_BATCH_NOTED = "ledger.after_commit:note_batch"


def declare(arena: Arena, name: str, gates: str = "") -> None:
    """Two files, of 40 and 41 rows."""
    arena.write(f"{name}.py", PIPELINE.format(name=name, options="", gates=gates, on_error="stop"))
    arena.write(f"{name}/b.csv", trips(0, 40))
    arena.write(f"{name}/d.csv", trips(100, 41))


def die(arena: Arena, name: str, point: str = A_BATCH_NOTED) -> None:
    assert arena.run("run", f"{name}.py", failpoints=f"{point}=kill").status == KILLED


def ids(arena: Arena, name: str) -> list[int]:
    return [row[0] for row in arena.ok("query", f"SELECT id FROM {name} ORDER BY id")["rows"]]


def test_a_run_that_died_takes_in_what_has_come_since(arena: Arena):
    """Wherever their names put the new files: what was read is not read again, and all is one run."""
    declare(arena, "came")
    die(arena, "came")
    for name, first in (("a", 200), ("c", 300), ("e", 400)):
        arena.write(f"came/{name}.csv", trips(first, 40))
    report = arena.ok("run", "came.py")
    assert re.fullmatch(
        rf"run {report['run']} goes on: [1-9]\d* rows had been read before it stopped; "
        "partitions that have come since, and are read as well: 3",
        report["notes"][1],
    )
    assert [each["key"] for each in report["partitions"]] == [f"came/{name}.csv" for name in "bdace"]
    assert [each["status"] for each in arena.ok("runs", "--pipeline", "came")["runs"]] == ["published"]
    assert report["account"]["read"] == 4 * 40 + 41
    assert arena.ok("verify", "came.py")["sound"]
    assert arena.ok("run", "came.py")["status"] == "unchanged"


def test_it_takes_in_more_each_time_it_dies(arena: Arena):
    """Also where it died right after it had been taken over, with the first of them noted and nothing of it read."""
    declare(arena, "again")
    die(arena, "again")
    arena.write("again/a.csv", trips(200, 40))
    die(arena, "again", "reconcile.after_resume")
    arena.write("again/c.csv", trips(300, 40))
    report = arena.ok("run", "again.py")
    assert [each["key"] for each in report["partitions"]] == [f"again/{name}.csv" for name in "bdac"]
    assert len(ids(arena, "again")) == len(set(ids(arena, "again"))) == report["account"]["committed"]


@pytest.mark.parametrize("change", ["changed", "gone"])
def test_a_run_whose_own_files_are_not_what_they_were_begins_anew(arena: Arena, change: str):
    """Also when others have come: nothing of what it had staged is published."""
    declare(arena, change)
    die(arena, change)
    if change == "changed":
        arena.write(f"{change}/b.csv", trips(500, 10))
    else:
        (arena.folder / change / "b.csv").unlink()
    arena.write(f"{change}/c.csv", trips(300, 40))
    report = arena.ok("run", f"{change}.py")
    assert any("the pipeline or its input changed since" in note for note in report["notes"])
    assert report["account"]["read"] == 41 + 40 + (10 if change == "changed" else 0)
    assert not [number for number in ids(arena, change) if number < 100]
    assert arena.ok("verify", f"{change}.py")["sound"]


def test_what_was_decided_on_takes_nothing_in(arena: Arena):
    """A run that failed its gates and was to be published all the same dies: rows that nobody saw are not in it."""
    declare(arena, "decided", gates=FAILING)
    assert arena.run("run", "decided.py").status == 1
    held = str(arena.ok("runs", "--pipeline", "decided")["runs"][0]["run"])
    died = arena.run("publish", held, "--override", "the city is right", failpoints="reconcile.after_resume=kill")
    assert died.status == KILLED
    arena.write("decided/c.csv", trips(300, 40))
    assert arena.run("run", "decided.py").status == 1
    first, *_ = arena.ok("runs", "--pipeline", "decided")["runs"]
    assert first["status"] == "held"
    assert str(first["run"]) != held


@pytest.mark.parametrize("point", extent.sample("files that come after a death", KILLS, 5))
def test_wherever_it_died_every_file_is_loaded_once(arena: Arena, point: str):
    """One run or two: the table is that of one undisturbed run over all files."""
    name = "anywhere_" + re.sub(r"\W", "_", point)
    declare(arena, name)
    arena.run("run", f"{name}.py", failpoints=f"{point}=kill")
    arena.write(f"{name}/a.csv", trips(200, 40))
    arena.run("run", f"{name}.py", failpoints=f"{point}=kill")
    arena.write(f"{name}/c.csv", trips(300, 40))
    arena.ok("run", f"{name}.py")
    accounts = [run["account"] for run in arena.ok("runs", "--pipeline", name)["runs"] if run["status"] == "published"]
    assert sum(account["read"] for account in accounts) == 3 * 40 + 41
    found = ids(arena, name)
    assert len(found) == len(set(found)) == sum(account["committed"] for account in accounts)
    assert {number // 100 for number in found} == {0, 1, 2, 3}
    assert arena.ok("verify", f"{name}.py")["sound"]


parts = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("12")), unique_by=lambda each: each[0])


@given(before=parts, load=parts, reload=parts, takes_in=st.booleans())
def test_what_is_added_is_what_is_missing(before, load, reload, takes_in):
    """A run goes on only if nothing of it is lost; then its own and the added ones are all that there is to read."""
    plan = Plan(
        load=tuple(Partition(key, identity=identity) for key, identity in load),
        reload=tuple(Partition(f"r{key}", identity=identity) for key, identity in reload),
    )
    own = [
        RunPartition(1, at, Partition(key, identity=identity), False, False, 0, Account(), None)
        for at, (key, identity) in enumerate(before)
    ]
    more = to_add(own, plan, takes_in=takes_in)
    if more is not None:
        assert takes_in or not more
        assert sorted([*(each.partition for each in own), *more], key=repr) == sorted(plan.to_read, key=repr)
    elif takes_in and not reload:
        assert not {*before} <= {*load} or {key for key, _ in before} & {key for key, _ in {*load} - {*before}}

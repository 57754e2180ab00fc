"""Slots as workers answer them: several on one ledger, killed and stopped; publishes of others; streams."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import psutil
import pytest

from rowkeeper.ledger import Ledger, RunStatus, SlotRecord, SlotState
from rowkeeper.schedule import Timing
from tests.arena import KILLED, Arena
from tests.auditing import AUDITING
from tests.brokers.fixtures import valkey_server
from tests.brokers.servers import ValkeyServer
from tests.operations.watched import SECONDS_MAX, Watched, working

__all__ = ["valkey_server"]  # a fixture
EVERY_SECONDS = 3
HEAD = """
import rowkeeper as rk
from pydantic import BaseModel

class Row(BaseModel):
    id: int
"""
PIPELINE = """
{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*.csv"),
    contract=Row,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"]),
    {when},
)
"""
STREAM = """
{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.stream("valkey://127.0.0.1:{port}/{name}", max_rows=50, max_wait="50ms"),
    contract=Row,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"]),
    schedule="follow",
)
"""


def declare(arena: Arena, name: str, when: str) -> str:
    arena.write(f"{name}/a.csv", "id\n1\n2\n")
    arena.write(f"{name}.py", HEAD + PIPELINE.format(name=name, when=when))
    return f"{name}.py"


def ledger_of(arena: Arena) -> AbstractContextManager[Ledger]:
    """In this process: what is asked again and again until it is so, is no command of its own each time."""
    return Ledger.open(None, arena.home, auditing=AUDITING)


def slots_of(arena: Arena, name: str) -> list[SlotRecord]:
    with ledger_of(arena) as ledger:
        return ledger.schedules.slots(name, limit=1_000)[::-1]


def committed(arena: Arena, name: str) -> int:
    """How many rows the published runs of a pipeline have brought."""
    with ledger_of(arena) as ledger:
        found = ledger.runs(limit=1_000, pipeline=name)
    return sum(each.account.committed for each in found if each.status is RunStatus.PUBLISHED)


def is_under_way(arena: Arena, name: str) -> bool:
    with ledger_of(arena) as ledger:
        return any(each.under_way is not None for each in ledger.schedules.all() if each.pipeline == name)


def answers_of(arena: Arena, name: str) -> list[int]:
    """The runs of a pipeline that came to something, each of which answered a slot."""
    found = arena.ok("runs", "--pipeline", name, "--limit", "1000")["runs"]
    return [each["run"] for each in found if each["status"] in ("published", "unchanged")]


def until(happens: Callable[[], Any]) -> Any:
    ends = time.monotonic() + SECONDS_MAX
    while not (found := happens()):
        assert time.monotonic() < ends
        time.sleep(0.1)
    return found


def of_schedule(arena: Arena, name: str) -> dict[str, Any]:
    return next(each for each in arena.ok("schedule", "list")["schedules"] if each["pipeline"] == name)


def stand_still(arena: Arena, worker: Watched) -> None:
    """With a lease, and perhaps a run under way; not in the midst of a transaction, for which SQLite has one lock."""
    while True:
        worker.running.signal(signal.SIGSTOP)
        try:
            with closing(sqlite3.connect(arena.home / "ledger.sqlite", timeout=0.1)) as direct:
                direct.execute("BEGIN IMMEDIATE")
                direct.rollback()
        except sqlite3.OperationalError:
            worker.running.signal(signal.SIGCONT)
        else:
            return


@pytest.mark.of_sqlite("asks it for its lock")
def test_workers_that_die_and_stand_still_answer_each_slot_once(arena: Arena):
    """Three of them: the one that serves is killed, the next stands still beyond its lease and goes on."""
    file = declare(arena, "crowd", f'every="{EVERY_SECONDS}s", catch_up="all"')
    env = {"ROWKEEPER_LEASE_SECONDS": "6"}
    workers = [Watched(arena, file, env=env) for _ in range(3)]
    try:
        serve_by_turns(arena, workers)
    finally:
        for each in workers:
            each.running.process.kill()

    slots = slots_of(arena, "crowd")
    done = [each for each in slots if each.state is SlotState.DONE]
    assert len(done) >= 3
    assert all(earlier.until == later.since for earlier, later in pairwise(slots))
    assert {each.until - each.since for each in slots} == {timedelta(seconds=EVERY_SECONDS)}
    runs = Counter(each.run for each in done)
    assert set(runs.values()) == {1}
    assert sorted(answers_of(arena, "crowd")) == sorted(each for each in runs if each is not None)


def serve_by_turns(arena: Arena, workers: list[Watched]) -> None:
    """The first is killed, the second stands still until another has served for a while, then goes on."""

    def serving() -> list[Watched]:
        return [each for each in workers if each.running.process.is_alive() and each.events("started")]

    def done() -> int:
        return sum(each.state is SlotState.DONE for each in slots_of(arena, "crowd"))

    first = until(serving)[0]
    first.running.signal(signal.SIGKILL)
    assert first.running.wait().status == KILLED
    workers.remove(first)
    second = until(serving)[0]
    stand_still(arena, second)
    so_far = done()
    until(lambda: done() >= so_far + 1)
    second.running.signal(signal.SIGCONT)
    until(lambda: done() >= max(3, so_far + 2))
    for each in workers:
        assert each.end() == 0, each.running._read("err")


@pytest.mark.in_turns("steps of a worker after a publish", 1)
@pytest.mark.parametrize("point", ["worker.before_start", "worker.after_start", "worker.before_note"])
def test_after_a_publish_it_is_run_once_although_the_worker_dies(arena: Arena, point: str):
    """At each of its steps: the next worker finds what is to be done, and one run answers."""
    name = point.replace(".", "_")
    upstream = declare(arena, f"up_{name}", "deadline=60")
    file = declare(arena, name, f'after=["up_{name}"]')
    arena.ok("run", upstream)  # before it is declared: not followed
    with working(arena, upstream, file) as worker:
        worker.wait_for("ready")
    assert slots_of(arena, name) == []
    arena.write(f"up_{name}/b.csv", "id\n3\n")
    arena.ok("run", upstream)
    doomed = arena.start("worker", upstream, file, "--json", failpoints=f"{point}=kill")
    assert doomed.wait().status == KILLED
    with working(arena, upstream, file) as second:
        second.wait_for("ready")
        until(lambda: [each.state for each in slots_of(arena, name)] == [SlotState.DONE])
    (slot,) = slots_of(arena, name)
    assert answers_of(arena, name) == [slot.run]


def test_what_comes_after_an_unknown_pipeline_or_in_a_circle_is_told_and_not_served(arena: Arena):
    """Across files, which no file can know by itself; the others are served."""
    files = [
        declare(arena, "fine", 'every="1h"'),
        declare(arena, "lost", 'after=["fien"]'),
        declare(arena, "hen", 'after=["egg"]'),
        declare(arena, "egg", 'after=["hen"]'),
    ]
    with working(arena, *files) as worker:
        assert worker.wait_for("ready")["pipelines"] == ["fine"]
        told = {each["pipeline"]: each["error"] for each in worker.events("ignored")}
    assert "did you mean fine?" in told["lost"]
    assert set(told) == {"lost", "hen", "egg"}
    assert "each would wait for the other" in told["egg"]


def test_a_circle_in_one_file_is_refused(arena: Arena):
    """When it is read, whoever reads it: exit status 2."""
    both = PIPELINE.format(name="one", when='after=["two"]') + PIPELINE.format(name="two", when='after=["one"]')
    arena.write("circle.py", HEAD + both)
    outcome = arena.run("schedule", "list", "circle.py", "--json")
    assert (outcome.status, outcome.json["error"]["code"]) == (2, "RK-1101")
    assert "each would wait for the other" in outcome.json["error"]["what"]


def test_a_paused_schedule_is_not_served_and_caught_up_with_when_it_is_resumed(arena: Arena):
    """By any worker, from the command on; with an entry for each in the trail."""
    file = declare(arena, "calm", 'every="1s"')
    with working(arena, file) as worker:
        worker.wait_for("ended")
        told = arena.ok("schedule", "pause", "calm", "--reason", "the source is being mended")
        assert told["schedule"]["paused"]["why"] == "the source is being mended"
        begun = until(lambda: len(worker.events("started")) == len(worker.events("ended")) and worker.events("ended"))
        until(lambda: not is_under_way(arena, "calm"))
        late = of_schedule(arena, "calm")
        assert (late["pid"], late["next"], late["late_seconds"]) == (None, None, 0)
        assert len(worker.events("started")) <= len(begun) + 1
        assert arena.ok("schedule", "resume", "calm")["schedule"]["paused"] is None
        worker.wait_for("ended", lambda _: len(worker.events("ended")) > len(begun) + 1)
    entries = [each["action"] for each in arena.ok("audit", "list", "--limit", "500")["entries"]]
    assert (entries.count("schedule.pause"), entries.count("schedule.resume")) == (1, 1)
    assert arena.run("schedule", "pause", "clam", "--json").json["error"]["hint"] == "did you mean calm?"


# ------------------------------------------------------------------------------------------------- streams


def rows(count: int, first: int = 0) -> list[bytes]:
    return [json.dumps({"id": number}).encode() for number in range(first, first + count)]


def test_a_stream_is_followed_by_one_worker_and_anew_when_its_process_dies(arena: Arena, valkey_server: ValkeyServer):
    """Killed, it is begun again; paused, it is stopped; a worker that stops takes it along; no message is lost."""
    arena.write("heard.py", HEAD + STREAM.format(name="heard", port=valkey_server.port))
    with valkey_server.client as client:
        client.xgroup_create("heard", "others", mkstream=True)
    valkey_server.publish("heard", rows(20))

    with working(arena, "heard.py") as worker, working(arena, "heard.py") as other:
        first = until(lambda: worker.events("started") or other.events("started"))[0]["pid"]
        until(lambda: committed(arena, "heard") == 20)
        os.kill(first, signal.SIGKILL)
        ended = until(lambda: worker.events("ended") or other.events("ended"))
        assert ended[0]["outcome"] == "died"
        valkey_server.publish("heard", rows(5, first=20))
        until(lambda: committed(arena, "heard") == 25)
        second = [each["pid"] for each in (*worker.events("started"), *other.events("started"))][-1]
        arena.ok("schedule", "pause", "heard")
        until(lambda: not psutil.pid_exists(second))
        arena.ok("schedule", "resume", "heard")
        valkey_server.publish("heard", rows(5, first=25))
        until(lambda: committed(arena, "heard") == 30)
        third = [each["pid"] for each in (*worker.events("started"), *other.events("started"))][-1]
    assert not psutil.pid_exists(third)
    assert [row[0] for row in arena.ok("query", "SELECT id FROM heard ORDER BY id")["rows"]] == list(range(30))


def test_only_streams_can_be_followed(arena: Arena):
    """The declaration of another source is refused."""
    arena.write("deaf.py", HEAD + PIPELINE.format(name="deaf", when='schedule="follow"'))
    outcome = arena.run("schedule", "list", "deaf.py", "--json")
    assert "cannot be followed" in outcome.json["error"]["what"]


# ------------------------------------------------------------------------------------------------ backfill


BY_DAY = """
day = rk.slot().since

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files(f"{name}/{{day:%Y-%m-%d}}.csv"),
    contract=Row,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"]),
    schedule="0 0 * * * Europe/Oslo",
)
"""


def by_day(arena: Arena, name: str, days: int) -> str:
    """A file of each day of November 2025 in Oslo, with the number of the day as its row."""
    for day in range(1, days + 1):
        arena.write(f"{name}/2025-11-{day:02}.csv", f"id\n{day}\n")
    arena.write(f"{name}.py", HEAD + BY_DAY.format(name=name))
    return f"{name}.py"


def test_a_backfill_that_is_killed_goes_on_where_it_stopped(arena: Arena):
    """Each slot of the range once, in order, with its interval in the schedule's time zone."""
    file = by_day(arena, "days", 4)
    words = ("schedule", "backfill", file, "2025-11-01T00:00+01:00", "2025-11-05T00:00+01:00")
    killed = arena.run(*words, failpoints="backfill.after_slot=kill@2")
    assert killed.status == KILLED
    done = arena.ok(*words)
    assert (done["slots"], done["answered_before"], done["done"]) == (4, 2, 2)
    assert sorted(row[0] for row in arena.rows("days")) == [1, 2, 3, 4]
    slots = slots_of(arena, "days")
    assert [each.until for each in slots] == [datetime(2025, 11, day, 23, tzinfo=UTC) for day in (1, 2, 3, 4)]
    assert [each.run for each in slots] == sorted(answers_of(arena, "days"))
    assert arena.ok(*words)["answered_before"] == 4


def test_a_backfill_stops_at_a_slot_that_fails_and_goes_on_with_it(arena: Arena):
    """Those after it were not begun: they come in order."""
    file = by_day(arena, "torn", 3)
    (arena.folder / "torn" / "2025-11-02.csv").rename(arena.folder / "torn" / "later")
    words = ("schedule", "backfill", file, "2025-11-01T00:00+01:00", "2025-11-04T00:00+01:00")
    outcome = arena.run(*words, "--json")
    assert (outcome.status, outcome.json["error"]["code"]) == (1, "RK-7073")
    assert "until 2025-11-02 23:00:00 UTC" in outcome.json["error"]["what"]
    assert sorted(row[0] for row in arena.rows("torn")) == [1]
    (arena.folder / "torn" / "later").rename(arena.folder / "torn" / "2025-11-02.csv")
    assert arena.ok(*words)["done"] == 2
    assert sorted(row[0] for row in arena.rows("torn")) == [1, 2, 3]


@pytest.mark.parametrize(
    ("since", "until_", "said"),
    [
        ("2025-11-01T00:00+01:00", "2099-01-01", "still to come"),
        ("2025-11-01T01:00+01:00", "2025-11-02T00:00+01:00", "no slot"),
        ("1900-01-01", "2025-01-01", "more than 10,000 slots"),
        ("2025-11-03", "2025-11-01", "ends before it begins"),
        ("0001-01-02", "2025-11-01", "before the year 1800"),
    ],
)
def test_a_range_that_cannot_be_filled_is_one_error(arena: Arena, since: str, until_: str, said: str):
    """Before anything is begun."""
    file = by_day(arena, "ranged", 1)
    outcome = arena.run("schedule", "backfill", file, since, until_, "--json")
    assert (outcome.status, outcome.json["error"]["code"]) == (2, "RK-7072")
    assert said in outcome.json["error"]["what"]
    assert slots_of(arena, "ranged") == []


def test_a_backfill_leaves_days_off_out(arena: Arena):
    """The slot of a Monday begins on Friday; when it is due is listed with its calendar."""
    file = by_day(arena, "working", 0)
    text = (arena.folder / file).read_text().replace("{day:%Y-%m-%d}.csv", "2025-*.csv")
    arena.write(file, text.replace('Oslo",', 'Oslo", calendar=rk.Calendar(weekdays="mon-fri"),'))
    arena.write("working/2025-11-01.csv", "id\n1\n")
    listed = arena.run("schedule", "list", file)
    assert "0 0 * * * Europe/Oslo (mon-fri)" in " ".join(listed.stdout.split())
    done = arena.ok("schedule", "backfill", file, "2025-10-31T00:00+01:00", "2025-11-03T00:00+01:00")
    assert (done["slots"], done["done"]) == (1, 1)
    assert [(each.since.day, each.until.day) for each in slots_of(arena, "working")] == [(30, 2)]


def test_a_backfill_leaves_to_the_worker_what_is_the_workers(arena: Arena):
    """What a worker was given and has not come to yet comes by itself; a second backfill waits for the first."""
    file = by_day(arena, "given", 1)
    arena.ok("runs")
    with Ledger.open(None, arena.home, lambda: datetime(2025, 11, 3, tzinfo=UTC), auditing=AUDITING) as ledger:
        ledger.schedules.declare("given", str(arena.folder / file), Timing("0 0 * * * Europe/Oslo"))
        ledger.acquire_lease("schedule:given:backfill", 1e9)
    outcome = arena.run("schedule", "backfill", "given", "2025-11-01", "2025-11-20", "--json")
    assert "2025-11-03" in outcome.json["error"]["hint"]
    held = ("2025-11-01T00:00+01:00", "2025-11-02T00:00+01:00")
    outcome = arena.run("schedule", "backfill", "given", *held, "--json")
    assert outcome.json["error"]["code"] == "RK-3401"

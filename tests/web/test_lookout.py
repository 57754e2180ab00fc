"""The server has health and rules of alerts looked at: beside workers and other servers, and beside its requests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from rowkeeper.errors import LedgerBusy
from rowkeeper.web.catalogue import Catalogue
from rowkeeper.web.serving import Serving
from tests import extent
from tests.arena import Arena
from tests.operations.alerts.receiving import Asked, Hook, hook
from tests.operations.watched import working
from tests.web.site import Site

RULES = 4
TURNS = 3 if extent.whole else 1
EVERY_SECONDS = 1.0
START_SECONDS_MAX = 180.0  # of a process, on a machine that is busy
FILE = """
disable = ["health-bad", "health-warning", "notices-undelivered"]
[[route]]
name = "ops"
to = "http://127.0.0.1:{port}/hook"
"""
RULE = """
[[rule]]
name = "late-{number}"
no_success = {{ pipeline = "p{number}", within = "26h" }}
"""


@pytest.fixture
def ops() -> Iterator[Hook]:
    with hook() as made:
        yield made


@pytest.fixture
def shared(tmp_path: Path, ops: Hook) -> Arena:
    """An installation with rules that fire when its ledger is old, and resolve when it is new."""
    arena = Arena(tmp_path / "site", {"ROWKEEPER_ALERTS_SECONDS": str(EVERY_SECONDS)})
    rules = "".join(RULE.format(number=number) for number in range(RULES))
    arena.write("rowkeeper-alerts.toml", FILE.format(port=ops.port) + rules)
    arena.write("pipes.py", "")
    arena.ok("runs")
    return arena


def founded(arena: Arena, ago: timedelta) -> None:
    """The ledger was made so long ago."""
    with arena.by_hand() as hand:
        hand.execute(f"UPDATE ledger SET created_at = '{(datetime.now(UTC) - ago).replace(tzinfo=None)}'")
        hand.commit()


@contextlib.contextmanager
def serving(arena: Arena, **env: str) -> Iterator[Site]:
    """A server of this installation; killed at the end if the block has not stopped it."""
    site = Site(arena, dict(env))
    site.start()
    assert site.running is not None
    try:
        yield site
    finally:
        if site.running.process.exitcode is None:
            site.stop()


def looking(site: Site) -> list[psutil.Process]:
    """The processes that look, of a server."""
    assert site.running is not None
    assert site.running.process.pid is not None
    found = psutil.Process(site.running.process.pid).children()
    return [each for each in found if "alerts" in each.cmdline()]


def test_two_servers_and_a_worker_tell_each_alert_once(shared: Arena, ops: Hook):
    """Whoever looks: each time the rules fire and are over, each of that is told once."""
    with serving(shared), serving(shared), working(shared, env={"ROWKEEPER_ALERTS_SECONDS": str(EVERY_SECONDS)}):
        for turn in range(1, TURNS + 1):
            for ago, told in ((timedelta(days=2), 2 * turn - 1), (timedelta(), 2 * turn)):
                founded(shared, ago)
                ops.wait_for(lambda told=told: len(ops.asked) >= told * RULES, START_SECONDS_MAX)
    ids = [each["id"] for each in ops.documents]
    assert len(ids) == len(set(ids))
    told = Counter((each["kind"], each["alerts"][0]["rule"]) for each in ops.documents)
    kinds = ("firing", "resolved")
    assert told == {(kind, f"late-{number}"): TURNS for kind in kinds for number in range(RULES)}


def test_when_whoever_looks_is_killed_another_server_looks_in_time(shared: Arena, ops: Hook):
    """In the midst of a look, with the server that started it: the next look is due `alerts_seconds` after the one
    before, and noticed one and a half times as long after that, besides what a process takes on this machine now.
    """
    founded(shared, timedelta(days=2))
    begun = time.monotonic()
    words = [sys.executable, "-m", "rowkeeper.cli", "alerts", "list"]
    subprocess.run(words, cwd=shared.folder, env={**os.environ, **shared.env}, check=True, capture_output=True)
    process_seconds = time.monotonic() - begun
    with serving(shared, ROWKEEPER_FAILPOINTS="alerts.after_rules=stop") as first:
        (child,) = until(lambda: [each for each in looking(first) if each.status() == psutil.STATUS_STOPPED])
        with serving(shared):
            assert ops.asked == []  # the lease is held
            assert first.running is not None
            first.running.process.kill()
            child.kill()
            killed = time.monotonic()
            ops.wait_for(lambda: len(ops.asked) == RULES, START_SECONDS_MAX)
            took = time.monotonic() - killed
    assert took < 2.5 * EVERY_SECONDS + 5 + 5 * process_seconds, (took, process_seconds)


def test_requests_are_answered_while_a_notice_is_delivered(shared: Arena, ops: Hook):
    """The receiver takes its time: the server answers as ever. Told to stop, it lets the delivery come to its end."""
    answering = threading.Event()

    def slowly(_: Asked) -> tuple[int, dict[str, str], bytes]:
        assert answering.wait(START_SECONDS_MAX)
        return 200, {}, b""

    ops.answers = slowly
    founded(shared, timedelta(days=2))
    with serving(shared) as site:
        ops.wait_for(lambda: bool(ops.asked), START_SECONDS_MAX)
        with site.client() as client:
            answers = [client.get("/health/ready") for _ in range(50)]
        assert len(ops.asked) == 1  # nothing was answered by the receiver meanwhile
        assert {each.status_code for each in answers} == {200}
        slowest = max(each.elapsed.total_seconds() for each in answers)
        assert slowest < 5, slowest
        threading.Timer(0.5, answering.set).start()
        assert site.stop() < 10
    assert [each["outcome"] for each in shared.ok("alerts", "show")["deliveries"]] == ["delivered"] * RULES
    assert len(ops.asked) == RULES


SILENT = """
from datetime import datetime
import rowkeeper as rk
from pydantic import BaseModel

class Trip(BaseModel):
    id: int
    at: datetime

trips = rk.Pipeline("trips", source=rk.sources.files("trips/*.csv"), contract=Trip,
    destination=rk.destinations.clickhouse("trips", order_by=["id"]), freshness=[rk.fresh("at", within="1h")])
"""


def test_a_table_that_grew_old_is_found_and_told_without_a_worker(tmp_path: Path, ops: Hook):
    """A server alone looks at the freshness of the pipelines in its files; the rules of alerts find what it found."""
    often = {"ROWKEEPER_ALERTS_SECONDS": str(EVERY_SECONDS), "ROWKEEPER_HEALTH_SECONDS": str(EVERY_SECONDS)}
    arena = Arena(tmp_path / "site", often)
    fresh = '[[rule]]\nname = "old"\nhealth = { check = "freshness", state = "bad" }\n'
    arena.write("rowkeeper-alerts.toml", FILE.format(port=ops.port) + fresh)
    arena.write("pipes.py", SILENT)
    arena.write("trips/a.csv", "id,at\n1,2026-01-01T00:00:00\n")
    arena.ok("run", "pipes.py")
    with serving(arena):
        ops.wait_for(lambda: bool(ops.asked), START_SECONDS_MAX)
    (told,) = ops.documents[0]["alerts"]
    assert (told["rule"], told["labels"]["subject"]) == ("old", "freshness trips/fresh(at)")


def test_a_file_that_cannot_be_read_is_left_out(own_site: Site):
    """Health is asked about the files that can be read; one that is mended is among them again."""
    good, bad = own_site.arena.write("good.py", SILENT), own_site.arena.write("bad.py", "")
    catalogue = Catalogue([good, bad])
    for text, found in (("import", [good]), (SILENT, [good, bad])):
        bad.write_text(text)
        asyncio.run(catalogue.look())
        assert list(catalogue.good()) == found


@pytest.mark.parametrize("kind", ["ALERTS", "HEALTH"])
def test_either_can_be_switched_off(own_site: Site, kind: str):
    """Then the server does not look at it by itself."""
    for switch, looks in (("true", 2), ("false", 1)):
        own_site.arena.env[f"ROWKEEPER_SERVER_{kind}"] = switch
        with own_site.opened() as space:
            assert len(Serving(space, [], print).lookout.chores) == looks


def test_what_is_done_beside_the_requests_goes_on_after_a_failure(own_site: Site):
    """The ledger is locked the first time; the second time it is done."""
    times = 0

    async def twice(serving: Serving) -> None:
        done, loop = asyncio.Event(), asyncio.get_running_loop()

        def work(_: object) -> None:
            nonlocal times
            times += 1
            if times == 1:
                raise LedgerBusy("the ledger was locked", hint="try again")
            loop.call_soon_threadsafe(done.set)

        task = asyncio.create_task(serving._every(0.01, work))
        await asyncio.wait_for(done.wait(), START_SECONDS_MAX)
        task.cancel()

    with own_site.opened() as space:
        asyncio.run(twice(Serving(space, [], print)))
    assert times >= 2


def until(found, seconds: float = START_SECONDS_MAX):
    """What is found, as soon as it is."""
    deadline = time.monotonic() + seconds
    while not (seen := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return seen

"""Ten processes on one ledger; and a server that crashes again and again under them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import extent
from tests.ledger.crowd import Crowd, Told, found, judge
from tests.ledgers import Server, served

PROCESSES = 10


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """It waits for its disk, as one in use does."""
    with served() as made:
        yield made


def figures(told: list[Told], seconds: float) -> str:
    """What was done, for whoever looks at the output of a whole run."""
    published, entries = sum(len(each.published) for each in told), sum(len(each.entries) for each in told)
    slots = sum(len(each.slots) for each in told)
    failures = sum((each.failures for each in told), Counter())
    return (
        f"{len(told)} processes, {seconds:.0f} s: {published} runs, {entries} entries, {slots} slots; "
        f"{dict(failures)}, {sum(each.unknown for each in told)} unknown"
    )


def test_ten_processes_share_a_ledger(server: Server, tmp_path: Path):
    """Runs of different targets and of one that all want: none doubled, each slot once, and the trail is one tree."""
    url = server.schema()
    found(url, tmp_path)
    began = time.monotonic()
    told = Crowd.of(url, tmp_path, PROCESSES, rounds=extent.examples(8, 200)).told()
    print(figures(told, time.monotonic() - began))
    assert judge(url, tmp_path, told) == []
    assert {error for each in told for error in each.failures} <= {"somebody else has it"}
    assert sum(len(each.published) for each in told) >= PROCESSES


def test_a_server_that_crashes_loses_and_doubles_nothing(server: Server, tmp_path: Path):
    """`pg_ctl stop -m immediate` at random moments under all of them: the ledger is as each of them was told."""
    url = server.schema()
    found(url, tmp_path)
    chance = extent.chance("crashes of the ledger's server")
    began, crashes = time.monotonic(), 0
    crowd = Crowd.of(url, tmp_path, PROCESSES, rounds=extent.examples(12, 200))
    while crowd.at_work() and crashes < extent.examples(3, 60):
        time.sleep(chance.uniform(0.5, 3.0))  # the moment is what is tried
        server.stop()
        server.start()
        crashes += 1
    told = crowd.told()
    print(f"{crashes} crashes;", figures(told, time.monotonic() - began))
    assert judge(url, tmp_path, told) == []
    assert sum(each.failures.total() for each in told), "no crash was noticed by anybody"

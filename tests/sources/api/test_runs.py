"""API sources in the life of runs: the account, what is taken back, what is declared, what is explained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.arena import KILLED, Arena
from tests.sources.api.shop import Said, Shop, open_shop
from tests.sources.api.test_increments import minute, row

PIPELINE = """
import rowkeeper as rk
from datetime import datetime, timedelta
from pydantic import BaseModel

class Event(BaseModel):
    id: int
    at: datetime

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.api(
        "https://localhost:{port}/since",
        records="$.items[*]",
        pagination=rk.sources.Token(),
        incremental=rk.sources.Incremental("$.at", param="since", lookback=timedelta(minutes=3)),
        tls=rk.TLS(ca="{ca}"),
    ),
    contract=Event,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"]{options}),
)
"""


@pytest.fixture
def shop(authority: trustme.CA) -> Iterator[Shop]:
    with open_shop(Shop([row(number, minute(number)) for number in range(45)]), authority) as opened:
        yield opened


def written(arena: Arena, shop: Shop, ca: Path, name: str, options: str = "") -> tuple[str, str]:
    arena.write(f"{name}.py", PIPELINE.format(name=name, port=shop.server_port, ca=ca, options=options))
    return "run", f"{name}.py"


def ids(arena: Arena, name: str) -> list[int]:
    return [each[0] for each in arena.ok("query", f"SELECT id FROM {name} ORDER BY id")["rows"]]


def test_what_comes_again_is_on_the_line_of_duplicates(arena: Arena, shop: Shop, ca: Path):
    """The lookback brings four records a second time; the account has them, and they are not loaded twice."""
    command = written(arena, shop, ca, "again")
    assert arena.ok(*command)["account"]["committed"] == 45
    assert arena.ok(*command)["status"] == "unchanged"
    shop.rows += [row(number, minute(number)) for number in (42, 45, 46)]
    shop.rows[45]["id"] = 99  # late
    account = arena.ok(*command)["account"]
    assert account == {"read": 7, "committed": 3, "quarantined": 0, "duplicate": 4, "filtered": 0}
    assert ids(arena, "again") == [*range(47), 99]
    assert arena.ok("verify", "again.py")["sound"]


def test_a_rollback_takes_the_mark_back(arena: Arena, shop: Shop, ca: Path):
    """What was taken back is new again; a load in the midst of others is told."""
    command = written(arena, shop, ca, "back")
    first = arena.ok(*command)["run"]
    shop.rows += [row(50, minute(50))]
    second = arena.ok(*command)["run"]
    arena.ok("rollback", str(first))
    refused = arena.run(*command)
    assert (refused.status, "RK-2103" in refused.stderr) == (1, True), refused
    arena.ok("rollback", str(second))
    assert arena.ok(*command)["account"]["committed"] == 46
    assert ids(arena, "back") == [*range(45), 50]


def test_killed_in_the_middle_of_an_increment_duplicates_are_counted_once(arena: Arena, shop: Shop, ca: Path):
    """Killed after the second batch of a second load, it goes on: the account is that of an undisturbed one."""
    command = written(arena, shop, ca, "killed")
    arena.ok(*command)
    shop.size = 2
    shop.rows += [row(number, minute(number)) for number in range(45, 200)]
    assert arena.run(*command, failpoints="run.after_stage=kill@2").status == KILLED
    shop.asked.clear()
    account = arena.ok(*command)["account"]
    assert (account["committed"], account["duplicate"], account["read"]) == (155, 4, 159)
    assert ids(arena, "killed") == list(range(200))
    tokens = {each.query.get("page_token") for each in shop.asked}
    assert len(tokens) < 65  # pages that were staged were not asked for again


def test_a_run_that_finds_the_api_down_goes_on_when_it_is_up(arena: Arena, shop: Shop, ca: Path):
    """What was staged before it went down is kept, as after a kill."""
    command = written(arena, shop, ca, "down")
    text = (arena.folder / "down.py").read_text()
    policy = 'resilience=rk.Resilience(retry=rk.Retry(attempts=1), breaker=None),\n        tls=rk.TLS(ca="'
    arena.write("down.py", text.replace('tls=rk.TLS(ca="', policy))
    shop.size, shop.rows = 2, [row(number, minute(number)) for number in range(200)]
    shop.first = lambda asked: Said(status=503) if asked.query.get("page_token") == "t150" else None
    ended = arena.run(*command)
    assert (ended.status, "RK-2110" in ended.stderr) == (1, True), ended
    shop.first = lambda asked: None
    done = arena.ok(*command)
    assert done["account"]["committed"] == 200
    assert any("goes on" in note for note in done["notes"])


def test_merging_lets_what_changed_take_its_place(arena: Arena, shop: Shop, ca: Path):
    """With a key, a record that changed within the lookback replaces what it was."""
    command = written(arena, shop, ca, "merged", ', write="merge", key=["id"]')
    arena.ok(*command)
    shop.rows[44]["at"] = minute(46)
    account = arena.ok(*command)["account"]
    assert (account["committed"], account["duplicate"]) == (1, 3)
    assert len(ids(arena, "merged")) == 45


def test_what_it_reaches_and_promises_is_told(arena: Arena, shop: Shop, ca: Path):
    """`endpoints` lists the API; `explain` states the guarantee, without asking it; `show` has it with the run."""
    command = written(arena, shop, ca, "told")
    listed = arena.ok("endpoints", "told.py")["endpoints"]
    assert ("localhost", shop.server_port) in {(each["host"], each["port"]) for each in listed}
    explained = arena.ok("explain", "told.py")
    assert explained["source"] == {"mode": "json", "guarantee": "exactly once"}
    assert shop.asked == []
    run = arena.ok(*command)["run"]
    shown = arena.ok("show", str(run))
    assert shown["guarantees"] == {"source": "exactly once", "destination": "exactly once"}
    assert "guaranteed   exactly once by the source" in arena.run("show", str(run)).stdout
    assert shown["partitions"][0]["schema"] == {"$.at": ["text"], "$.id": ["integer"]}


def test_a_changed_schema_is_shown_with_the_run_that_saw_it(arena: Arena, shop: Shop, ca: Path):
    """By `show`, as names and kinds."""
    command = written(arena, shop, ca, "shapes")
    text = (arena.folder / "shapes.py").read_text()
    arena.write("shapes.py", text.replace("contract=Event,", 'contract=Event,\n    drift="ignore",'))
    arena.ok(*command)
    shop.rows += [row(60, minute(60), colour="red")]
    run = arena.ok(*command)["run"]
    changes = arena.ok("show", str(run))["partitions"][0]["schema_changes"]
    assert [(each["field"], each["was"], each["now"]) for each in changes] == [("$.colour", [], "text")]
    assert "$.colour" in arena.run("show", str(run)).stdout

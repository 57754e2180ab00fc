"""Streams by the commands: rollback and replay, bad messages, health, an acknowledgement that fails."""

from __future__ import annotations

import json

import pytest

from tests.arena import KILLED, Arena
from tests.brokers.servers import ValkeyServer
from tests.runs.outages import outage

PIPELINE = """
import rowkeeper as rk
from pydantic import BaseModel

class Row(BaseModel):
    id: int

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.stream("valkey://127.0.0.1:{port}/{name}", group="loaders", {more}),
    contract=Row,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"]),
)
"""


class Bench:
    """A pipeline of a stream of its own."""

    def __init__(self, arena: Arena, server: ValkeyServer, name: str, more: str = "") -> None:
        self.arena, self.server, self.name = arena, server, name
        (arena.folder / f"{name}.py").write_text(PIPELINE.format(name=name, port=server.port, more=more))

    def put(self, *messages: bytes) -> None:
        self.server.publish(self.name, messages)

    def rows(self, count: int, first: int = 0) -> None:
        self.put(*(json.dumps({"id": number}).encode() for number in range(first, first + count)))

    def run(self, *words: str, failpoints: str = ""):
        return self.arena.run("run", f"{self.name}.py", "--json", *words, failpoints=failpoints)

    @property
    def ids(self) -> list[int]:
        found = self.arena.run("query", f"SELECT id FROM {self.name} ORDER BY id", "--json")
        return [row[0] for row in found.json["rows"]]

    @property
    def group(self) -> dict:
        (found,) = self.server.client.xinfo_groups(self.name)
        return found


def test_a_rolled_back_run_is_read_again(arena: Arena, valkey_server: ValkeyServer) -> None:
    """Also one in the midst of others."""
    bench = Bench(arena, valkey_server, "rolled")
    numbers = []
    for first in (0, 5, 10):
        bench.rows(5, first)
        numbers.append(bench.run().json["run"])
    assert arena.run("rollback", str(numbers[1])).status == 0
    assert bench.ids == [*range(5), *range(10, 15)]
    assert bench.run().json["account"]["committed"] == 5
    assert bench.ids == list(range(15))


def test_bad_messages_are_in_quarantine_as_they_came(arena: Arena, valkey_server: ValkeyServer) -> None:
    """No JSON, the wrong type, no value: each a row of the account, and none stops the others."""
    bench = Bench(arena, valkey_server, "bad")
    bench.put(b'{"id": 1}', b"no json", b'{"id": "x"}', b"", b'{"id": 2}')
    valkey_server.client.xadd("bad", {"other": "1"})
    report = bench.run().json
    assert (report["account"]["committed"], report["account"]["quarantined"]) == (2, 4)
    shown = arena.run("quarantine", "show", str(report["run"]), "--json")
    assert "stream_tombstone" in shown.stdout
    assert "no json" in shown.stdout


@pytest.mark.parametrize("point", ["run.before_acknowledge", "run.after_acknowledge"])
def test_an_acknowledgement_that_was_missed_is_made_up_for(
    point: str, arena: Arena, valkey_server: ValkeyServer
) -> None:
    """Killed after the run was recorded: the next run, which finds nothing new, tells the broker."""
    bench = Bench(arena, valkey_server, f"told_{point.removeprefix('run.')}")
    bench.rows(4)
    assert bench.run(failpoints=f"{point}=kill").status == KILLED
    assert bench.run().json["status"] == "unchanged"
    assert bench.group["entries-read"] == 4
    assert bench.group["lag"] == 0
    assert bench.ids == list(range(4))


def test_an_acknowledgement_that_is_refused_leaves_the_run_as_it_is(arena: Arena, tmp_path) -> None:
    """It is published, and its report says that it could not be acknowledged."""
    with ValkeyServer(tmp_path / "valkey") as server:
        server.client.acl_setuser(
            "default", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-xgroup"], reset=False
        )
        bench = Bench(arena, server, "untold")
        bench.rows(3)
        report = bench.run().json
    assert report["status"] == "published"
    assert any("could not be acknowledged" in each for each in report["notes"])


def test_a_run_that_waits_in_the_spool_is_not_acknowledged(own_arena: Arena, valkey_server: ValkeyServer) -> None:
    """The broker is told of what was published alone; and what waits is not read a second time."""
    bench = Bench(own_arena, valkey_server, "spooled")
    file = own_arena.folder / "spooled.py"
    file.write_text(file.read_text().replace('order_by=["id"]', 'order_by=["id"], fallback="spool"'))
    bench.rows(4)
    assert bench.run().json["status"] == "published"
    with outage(own_arena):
        bench.rows(3, first=4)
        assert bench.run().json["status"] == "spooled"
        assert bench.run().json["status"] == "unchanged"
        assert bench.group["entries-read"] == 4
    bench.run()
    assert bench.group["entries-read"] == 7
    assert bench.ids == list(range(7))


def test_a_stream_replaces_no_table(arena: Arena, valkey_server: ValkeyServer) -> None:
    """write="replace" would leave what the last run read alone: it is refused."""
    bench = Bench(arena, valkey_server, "whole")
    file = arena.folder / "whole.py"
    file.write_text(file.read_text().replace('order_by=["id"]', 'order_by=["id"], write="replace"'))
    bench.rows(2)
    ended = bench.run()
    assert ended.status == 2
    assert "RK-2165" in ended.stdout + ended.stderr


def test_health_tells_how_far_it_is_behind(arena: Arena, valkey_server: ValkeyServer) -> None:
    """0 while no more wait than may, else 1; a broker that cannot be asked is told, and is no traceback."""
    bench = Bench(arena, valkey_server, "behind", "lag_max=5")
    bench.rows(3)
    fine = arena.run("health", "behind.py", "--json")
    (lag,) = fine.json["lag"]
    assert fine.status == 0
    assert lag["partitions"]["stream"] == {"messages": 3, "lag_max": 5, "late": False}
    bench.rows(3, first=3)
    assert arena.run("health", "behind.py").status == 1
    assert "limit 5 messages (lag_max)" in arena.run("health", "behind.py").stdout
    bench.run()
    assert arena.run("health", "behind.py", "--json").json["lag"][0]["partitions"]["stream"]["messages"] == 0
    Bench(arena, valkey_server, "nowhere")
    missing = arena.run("health", "nowhere.py", "--json")
    assert missing.status == 1
    assert missing.json["lag"][0]["error"]["code"] == "RK-2165"


def test_no_secret_and_no_value_is_in_what_is_told(arena: Arena, valkey_server: ValkeyServer) -> None:
    """A message that is no JSON is not quoted by the run, its log or its page."""
    bench = Bench(arena, valkey_server, "quoted")
    bench.put(b"canary-4711 is no json")
    ended = bench.run()
    shown = arena.run("show", str(ended.json["run"]), "--json")
    assert "canary-4711" not in ended.stdout + ended.stderr + shown.stdout + shown.stderr

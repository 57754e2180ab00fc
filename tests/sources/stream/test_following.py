"""`rowkeeper run --follow` in a process of its own, against a real server: runs, interruptions, a server that goes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.arena import Arena
from tests.brokers.servers import ValkeyServer

PIPELINE = """
import rowkeeper as rk
from pydantic import BaseModel

class Row(BaseModel):
    id: int

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.stream(
        "valkey://127.0.0.1:{port}/{name}",
        max_rows=50,
        max_wait="{max_wait}",
        resilience=rk.Resilience(
            retry=rk.Retry(attempts=2, wait_seconds_initial=0.01, wait_seconds_max=0.02, attempt_seconds_max=1.0),
            breaker=None,
        ),
    ),
    contract=Row,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"]),
)
"""
SECONDS_MAX = 60.0


class Follower:
    """The command, and the lines that it prints."""

    def __init__(self, arena: Arena, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from rowkeeper.cli import main; main()", "run", f"{name}.py", "--follow", "--json"],
            cwd=arena.folder,
            env={**os.environ, **arena.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> dict[str, Any]:
        """The next line; the test fails if the command ends instead."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        assert text, self.process.stderr and self.process.stderr.read()
        return dict(json.loads(text))

    def until(self, committed: int) -> list[dict[str, Any]]:
        """The lines until so many rows were committed in all."""
        lines = []
        while committed > 0:
            lines.append(self.line())
            committed -= lines[-1].get("account", {}).get("committed", 0)
        assert committed == 0, "more than there was"
        return lines

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(SECONDS_MAX)


@contextlib.contextmanager
def following(arena: Arena, server: ValkeyServer, name: str, max_wait: str = "50ms") -> Iterator[Follower]:
    (arena.folder / f"{name}.py").write_text(PIPELINE.format(name=name, port=server.port, max_wait=max_wait))
    with server.client as client:
        client.xgroup_create(name, "others", mkstream=True)
    follower = Follower(arena, name)
    try:
        yield follower
    finally:
        follower.process.kill()
        follower.process.communicate()


def rows(count: int, first: int = 0) -> list[bytes]:
    return [json.dumps({"id": number}).encode() for number in range(first, first + count)]


def ids(arena: Arena, name: str) -> list[int]:
    return [row[0] for row in arena.run("query", f"SELECT id FROM {name} ORDER BY id", "--json").json["rows"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_runs_follow_each_other_until_it_is_told_to_stop(
    number: signal.Signals, arena: Arena, valkey_server: ValkeyServer
) -> None:
    """What comes is loaded, 50 at most by a run; a signal ends it with 0, and nothing is lost or doubled."""
    name = f"told_{number.name.lower()}"
    with following(arena, valkey_server, name) as follower:
        valkey_server.publish(name, rows(120))
        lines = follower.until(120)
        assert max(each["account"]["committed"] for each in lines) <= 50
        valkey_server.publish(name, rows(7, first=120))
        follower.until(7)
        assert follower.stop(number) == 0
    assert ids(arena, name) == list(range(127))


def test_messages_are_waited_for_as_declared(arena: Arena, valkey_server: ValkeyServer) -> None:
    """A few messages that come one by one are one run, not one each."""
    with following(arena, valkey_server, "few", max_wait="1500ms") as follower:
        for number in range(4):
            valkey_server.publish("few", rows(1, first=number))
            time.sleep(0.05)  # apart, as messages come
        lines = follower.until(4)
        assert len(lines) <= 2
        assert follower.stop(signal.SIGINT) == 0


def test_a_server_that_is_away_does_not_end_it(own_arena: Arena, tmp_path: Path) -> None:
    """It says so, waits, and goes on where it was when the server is back."""
    with ValkeyServer(tmp_path / "valkey") as server, following(own_arena, server, "away") as follower:
        server.publish("away", rows(10))
        follower.until(10)
        server.kill()
        failed = follower.line()
        assert (failed["status"], failed["error"]["code"]) == ("failed", "RK-2160")
        assert failed["retry_seconds"] > 0
        server.start()
        server.publish("away", rows(5, first=10))
        follower.until(5)
        assert follower.stop(signal.SIGINT) == 0
        assert ids(own_arena, "away") == list(range(15))


def test_killed_while_following_it_goes_on(arena: Arena, valkey_server: ValkeyServer) -> None:
    """SIGKILL at any moment, and the next one leaves each message once."""
    with following(arena, valkey_server, "killed") as follower:
        valkey_server.publish("killed", rows(120))
        follower.line()
        follower.process.kill()
        follower.process.wait()
    valkey_server.publish("killed", rows(10, first=120))
    while arena.run("run", "killed.py", "--json").json["status"] != "unchanged":
        pass
    assert ids(arena, "killed") == list(range(130))


def test_what_does_not_pass_ends_it(arena: Arena, valkey_server: ValkeyServer) -> None:
    """A stream that is not there is no reason to wait: one error, and the status of a wrong configuration."""
    with following(arena, valkey_server, "nothing") as follower:
        valkey_server.client.delete("nothing")
        output, _ = follower.process.communicate(timeout=SECONDS_MAX)
        assert follower.process.returncode == 2
        assert json.loads(output)["error"]["code"] == "RK-2165"


def test_files_are_not_followed(arena: Arena) -> None:
    """A source to which nothing comes by itself is refused, before anything is done."""
    (arena.folder / "files.py").write_text(
        "import rowkeeper as rk\nfrom pydantic import BaseModel\n\nclass Row(BaseModel):\n    id: int\n\n"
        'files = rk.Pipeline("files", source=rk.sources.files("in/*.ndjson"), contract=Row, '
        'destination=rk.destinations.clickhouse("files", order_by=["id"]))\n'
    )
    ended = arena.run("run", "files.py", "--follow")
    assert ended.status == 2
    assert "cannot be followed" in ended.stderr

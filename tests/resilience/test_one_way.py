"""No connector reaches another machine, or the engine's host, but by the one way; what is learnt there is shared."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import rowkeeper
from tests.arena import Arena

HOUSE = Path(rowkeeper.__file__).parent
CLIENTS = {
    "aiohttp",
    "boto3",
    "clickhouse_connect",
    "confluent_kafka",
    "nats",
    "ftplib",
    "http",
    "httpx",
    "obstore",
    "psycopg",
    "pymysql",
    "requests",
    "smtplib",
    "socket",
    "ssl",
    "urllib3",
    "valkey",
}
MAY = {
    "destinations/embedded/client.py": "makes the client, inside an attempt",
    "destinations/embedded/connection.py": "names the client's type",
    "destinations/embedded/starting.py": "connects to the host's socket, for the client and to see whether it is up",
    "destinations/embedded/answering.py": "the host's side of it",
    "destinations/mergetree/engine.py": "names the client's type",
    "destinations/mergetree/oneplace.py": "hands the driver the one pool that it is given",
    "destinations/server/client.py": "makes the client over sockets of the way out, inside an attempt",
    "destinations/server/connection.py": "names the client's type",
    "destinations/server/errors.py": "names what the client raises",
    "destinations/server/reading.py": "names the client's type",
    "apis/asking.py": "names what the client raises, inside an attempt; `security/egress` makes the client",
    "brokers/kafka.py": "librdkafka reaches the relay alone",
    "brokers/nats.py": "gives the client sockets of the way out",
    "brokers/relay.py": "on loopback; goes on by the way out",
    "brokers/valkey.py": "gives the client sockets of the way out",
    "databases/mysql.py": "gives the driver sockets of the way out, inside an attempt",
    "databases/postgresql.py": "connects to checked addresses, inside an attempt",
    "destinations/streams/kafka.py": "names what clients take and raise; `brokers` makes them",
    "destinations/streams/nats.py": "names what clients take and raise; `brokers` makes them",
    "destinations/streams/valkey.py": "names what clients take and raise; `brokers` makes them",
    "sources/database/libpq.py": "names the driver's types",
    "sources/database/mysql.py": "names the driver's types",
    "sources/database/postgresql.py": "names the driver's types",
    "sources/stream/kafka.py": "names what clients take and raise; `brokers` makes them",
    "sources/stream/nats.py": "names what clients take and raise; `brokers` makes them",
    "sources/stream/valkey.py": "names what clients take and raise; `brokers` makes them",
    "stores/downloads.py": "names what the client raises, inside an attempt; `security/egress` makes the client",
    "stores/objects.py": "names the client's types; it reaches the relay alone",
    "stores/relay.py": "on loopback; goes on by the way out",
    "ledger/audit/trail.py": "the machine's name",
    "ledger/leases.py": "the machine's name",
}
PIPELINE = """
from pydantic import BaseModel
import rowkeeper as rk

class Row(BaseModel):
    id: int

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*.csv"),
    contract=Row,
    destination=rk.destinations.clickhouse(
        "{name}",
        order_by=["id"],
        resilience=rk.Resilience(
            retry=rk.Retry(attempts=2, wait_seconds_initial=0.01),
            breaker=rk.CircuitBreaker(calls_min=2, open_seconds=60.0),
            deadline_seconds=None,
        ),
    ),
)
"""


def imported(path: Path) -> set[str]:
    """The outermost packages that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def test_only_the_way_itself_knows_clients_and_sockets():
    """Of the rooms that connect, the modules that may are listed with their reason; a new one has to be argued for."""
    found = {
        str(path.relative_to(HOUSE))
        for room in ("apis", "brokers", "databases", "destinations", "ledger", "sources", "stores")
        for path in (HOUSE / room).rglob("*.py")
        if imported(path) & CLIENTS
    }
    assert found == set(MAY)


WATCHED = """
import json, pathlib, sys, traceback
from rowkeeper.resilience.course import _inside_an_attempt

seen, outside = [], []

def watch(event, args):
    if event == "socket.connect":
        seen.append(event)
        names = [frame.name for frame in traceback.extract_stack()]
        if not _inside_an_attempt.get() and "peer_pid" not in names:
            outside.append(names[-6:])

sys.addaudithook(watch)
from rowkeeper.cli import main

for words in (["run", "watched.py"], ["verify", "watched.py"], ["query", "SELECT 1"], ["doctor"], ["runs"]):
    sys.argv = ["rowkeeper", *words]
    try:
        main()
    except SystemExit as leave:
        assert not leave.code, words
pathlib.Path("seen.json").write_text(json.dumps([len(seen), outside]))
"""


def test_every_connection_is_made_within_an_attempt(own_arena: Arena):
    """All connections of real commands, as the interpreter itself reports them, but for the question who listens."""
    own_arena.write("watched/a.csv", "id\n1\n2\n")
    own_arena.write("watched.py", PIPELINE.format(name="watched"))
    own_arena.write("watch.py", WATCHED)
    subprocess.run(
        [sys.executable, "watch.py"],
        cwd=own_arena.folder,
        env={**os.environ, **own_arena.env},
        check=True,
        capture_output=True,
        timeout=600,
    )
    seen, outside = json.loads((own_arena.folder / "seen.json").read_text())
    assert seen > 3
    assert outside == []


@contextlib.contextmanager
def hanging_up(path: Path) -> Iterator[list[int]]:
    """In the place of the engine: takes each connection, and breaks it off when it is spoken to. Yields how many."""
    asked: list[int] = []
    path.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)  # socket paths must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        listener.listen(64)
        os.close(folder)

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client:
                        if client.recv(65536):
                            asked.append(1)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def broken(own_arena: Arena) -> Iterator[tuple[Arena, list[int]]]:
    """An engine that hangs up on everybody."""
    own_arena.write("left/a.csv", "id\n1\n")
    own_arena.write("left.py", PIPELINE.format(name="left"))
    own_arena.ok("query", "SELECT 1")
    own_arena.kill_host()
    socket_file = own_arena.home / "engine" / "host.sock"
    with hanging_up(socket_file) as asked:
        yield own_arena, asked
    socket_file.unlink()


def test_a_breaker_that_a_run_opens_is_known_to_all(broken: tuple[Arena, list[int]]):
    """By the pipeline's own policy: in the log, in doctor, and to the next process, which does not even ask."""
    arena, asked = broken
    first = arena.run("run", "left.py", "--json")
    assert (first.status, first.json["error"]["code"]) == (1, "RK-3001"), first
    assert len(asked) == 2
    lines = [json.loads(line) for line in (arena.home / "logs/rowkeeper.log").read_text().splitlines()]
    tries = [line for line in lines if line["event"] == "call failed"]
    assert [(line["host"], line["operation"], line["attempt"]) for line in tries] == [
        ("embedded engine", "connect", 1),
        ("embedded engine", "connect", 2),
    ]
    (turned,) = [line for line in lines if line["event"] == "breaker turned"]
    assert (turned["host"], turned["after"]) == ("embedded engine", "open")
    second = arena.run("run", "left.py", "--json")
    assert (second.status, second.json["error"]["code"]) == (1, "RK-4002"), second
    found = {each["name"]: each for each in arena.run("doctor", "--json").json["checks"]}
    assert "connect on embedded engine" in found["breakers"]["found"]
    assert len(asked) == 2

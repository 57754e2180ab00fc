"""Commands are guarded: what a user's own code connects to is declared, or the run says so and has not connected."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from rowkeeper.operations.surroundings import examine_surroundings
from rowkeeper.settings import Settings
from tests.arena import Arena, Outcome
from tests.security.egress.servers import Server, say, serving, trusting

PIPELINES = """
import os, urllib.request
import rowkeeper as rk
import pyarrow as pa
from pydantic import BaseModel, field_validator

PLACE = rk.Endpoint("localhost", {port})

def call() -> bytes:
    return urllib.request.urlopen("http://localhost:{port}/").read()

def calling(table: pa.Table) -> pa.Table:
    call()
    return table

def swallowing(table: pa.Table) -> pa.Table:
    try:
        call()
    except Exception:
        pass
    return table

class Trip(BaseModel):
    id: int

class Checked(BaseModel):
    id: int

    @field_validator("id")
    @classmethod
    def known(cls, value: int) -> int:
        call()
        return value

def pipeline(name, **given):
    return rk.Pipeline(
        name,
        source=rk.sources.files("a.csv"),
        destination=rk.destinations.clickhouse(name, order_by=["id"]),
        **({{"contract": Trip}} | given),
    )

silent = pipeline("silent", transform=calling)
told = pipeline("told", transform=calling, endpoints=[PLACE])
hidden = pipeline("hidden", transform=swallowing)
checked = pipeline("checked", contract=Checked)
allowed = pipeline("allowed", contract=Checked)
watched = pipeline("watched", transform=calling)
unguarded = pipeline("unguarded", transform=calling)
planned = pipeline("planned", transform=calling, schedule="every 1h")
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(say("hello")) as made:
        yield made


@pytest.fixture(scope="module")
def shop(arena: Arena, server: Server) -> Arena:
    arena.write("a.csv", "id\n1\n2\n")
    arena.write("shop.py", PIPELINES.format(port=server.server_port))
    return arena


def connections(server: Server, work) -> tuple[Outcome, int]:
    """How a command ended, and how many connections it made."""
    before = server.connections
    return work(), server.connections - before


def lines(arena: Arena, event: str) -> list[dict]:
    text = (arena.home / "logs" / "rowkeeper.log").read_text()
    return [line for line in map(json.loads, text.splitlines()) if line["event"] == event]


def test_a_transform_that_nobody_told_of(shop: Arena, server: Server):
    """The run fails with one clear error that names the place and the declaration; nothing is published."""
    outcome, made = connections(server, lambda: shop.run("run", "shop.py:silent", "--json"))
    assert (outcome.status, made) == (1, 0)
    error = outcome.json["error"]
    assert error["code"] == "RK-6050"
    assert f"127.0.0.1:{server.server_port} is not declared" in error["what"]
    assert "rk.Endpoint(" in error["hint"]
    assert "Traceback" not in outcome.stderr
    assert shop.ok("runs")["runs"][0]["status"] == "failed"


def test_a_transform_that_is_told_of(shop: Arena, server: Server):
    """A pipeline says what its code connects to."""
    outcome, made = connections(server, lambda: shop.run("run", "shop.py:told", "--json"))
    assert (outcome.status, made) == (0, 1), outcome
    assert outcome.json["account"]["committed"] == 2


def test_a_pipeline_has_its_own_endpoints_only(shop: Arena, server: Server):
    """What another pipeline of the file declares is not for this one."""
    outcome, made = connections(server, lambda: shop.run("run", "shop.py:silent"))
    assert (outcome.status, made) == (1, 0)


def test_a_validator_that_connects(shop: Arena, server: Server):
    """The contract's own code is guarded as well: no verdict on the row, an error of the run."""
    outcome, made = connections(server, lambda: shop.run("run", "shop.py:checked", "--json"))
    assert (outcome.status, made) == (1, 0)
    assert outcome.json["error"]["code"] == "RK-6050"


def test_the_settings_allow(shop: Arena, server: Server):
    """Who runs it can allow a network for all pipelines."""
    allow = {"ROWKEEPER_EGRESS_ALLOW": f"localhost:{server.server_port}, 10.9.8.0/24"}
    outcome, made = connections(server, lambda: shop.run("run", "shop.py:allowed", "--json", env=allow))
    assert (outcome.status, made) == (0, 2), outcome


def test_code_that_swallows_the_error(shop: Arena, server: Server):
    """It has not connected, and the log tells of it."""
    outcome, made = connections(server, lambda: shop.run("run", "shop.py:hidden", "--json"))
    assert (outcome.status, made) == (0, 0)
    assert any(line["code"] == "RK-6050" and line["pipeline"] == "hidden" for line in lines(shop, "refused"))


def test_watching(shop: Arena, server: Server):
    """`warn` connects, and the log tells of each."""
    outcome, made = connections(server, lambda: shop.run("run", "shop.py:watched", env={"ROWKEEPER_EGRESS": "warn"}))
    assert (outcome.status, made) == (0, 1), outcome
    assert lines(shop, "egress is watched only")
    assert any(line["pipeline"] == "watched" for line in lines(shop, "not refused"))


def test_off(shop: Arena, server: Server):
    """`off` connects, and the log tells that it is off."""
    outcome, made = connections(server, lambda: shop.run("run", "shop.py:unguarded", env={"ROWKEEPER_EGRESS": "off"}))
    assert (outcome.status, made) == (0, 1), outcome
    assert lines(shop, "egress is off")


@pytest.mark.in_turns("commands", 2)
@pytest.mark.parametrize("command", ["run", "explain", "schedule list", "profile", "verify", "endpoints"])
def test_a_file_that_connects_when_it_is_read(command: str, shop: Arena, server: Server):
    """Whatever command reads it: refused, with the file and the line."""
    shop.write("eager.py", PIPELINES.format(port=server.server_port) + "\ncall()\n")
    outcome, made = connections(server, lambda: shop.run(*command.split(), "eager.py", "--json"))
    assert (outcome.status, made) == (1, 0), outcome
    assert outcome.json["error"]["code"] == "RK-6050"
    assert "eager.py, line" in outcome.json["error"]["what"]


def test_a_workers_child(own_arena: Arena, server: Server):
    """It is guarded like any command, and the worker tells why it failed."""
    own_arena.write("a.csv", "id\n1\n2\n")
    own_arena.write("shop.py", PIPELINES.format(port=server.server_port).replace("every 1h", "every 1s"))
    before = server.connections
    worker = own_arena.start("worker", "shop.py", "--json")
    ends = time.monotonic() + 60
    found: list[dict] = []
    while not found and time.monotonic() < ends:
        threading.Event().wait(0.1)
        text = worker.base.with_suffix(".out").read_text() if worker.base.with_suffix(".out").exists() else ""
        found = [line for line in map(json.loads, filter(None, text.split("\n")[:-1])) if "RK-6050" in json.dumps(line)]
    worker.signal(15)
    worker.wait()
    assert found
    assert server.connections == before


def test_the_list_of_endpoints(shop: Arena, server: Server):
    """Settings first, then the pipelines; what goes by a proxy is marked, and the proxy is a place of its own."""
    env = {
        "ROWKEEPER_PROXY": "socks5h://ada@proxy.internal",
        "ROWKEEPER_EGRESS_ALLOW": "10.9.8.0/24",
        "ROWKEEPER_LEDGER_URL": "postgresql+psycopg://ada@db.internal/ledger",
    }
    shop.write("far.py", PIPELINES.format(port=server.server_port).replace('"localhost", ', '"api.example.com", '))
    outcome = shop.run("endpoints", "far.py", "--json", env=env)
    assert outcome.status == 0, outcome
    assert outcome.json["egress"] == "enforce"
    found = [(each["host"], each["port"], each["private"], each["proxy"]) for each in outcome.json["endpoints"]]
    assert found == [
        ("db.internal", 5432, True, None),
        ("proxy.internal", 1080, True, None),
        ("10.9.8.0/24", None, True, None),
        ("api.example.com", server.server_port, False, "socks5h://proxy.internal:1080"),
    ]
    assert "api.example.com" in shop.run("endpoints", "far.py", env=env).stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EGRESS", "maybe"),
        ("EGRESS_ALLOW", "10.9.8.7/24"),
        ("EGRESS_ALLOW", "http://ada:canary-password@host/"),
        ("EGRESS_ALLOW", "0x7f.1"),
        ("PROXY", "ftp://proxy"),
        ("PROXY", "socks5h://ada:canary-password@proxy"),
        ("PROXY_PASSWORD", "canary-password"),
    ],
)
def test_a_wrong_setting_is_one_clear_error(name: str, value: str, shop: Arena):
    """Before anything is read, and without what it holds."""
    outcome = shop.run("endpoints", "--json", env={f"ROWKEEPER_{name}": value})
    assert outcome.status == 2, outcome
    assert name.lower() in outcome.json["error"]["what"].lower()
    assert "canary" not in outcome.stdout + outcome.stderr


def test_what_is_typed_is_declared(shop: Arena, tmp_path: Path):
    """A command that looks at a server reaches the one that it is given; the pipelines' code does not."""
    authority = trustme.CA()
    with serving(say("hello"), authority) as secured:
        ca = trusting(authority, tmp_path).ca
        outcome = shop.run("certs", "check", f"localhost:{secured.server_port}", "--ca", str(ca), "--json")
        assert "RK-6050" not in outcome.stdout + outcome.stderr, outcome
        assert secured.connections > 0


@pytest.mark.parametrize(
    ("env", "level", "found"),
    [
        ({}, "ok", "declared places only"),
        ({"ROWKEEPER_EGRESS": "warn"}, "note", "(warn)"),
        ({"ROWKEEPER_EGRESS": "off"}, "note", "(off)"),
        ({"ROWKEEPER_EGRESS_ALLOW": "10.0.0.0/8,64:ff9b::/96"}, "ok", "declared places only"),
        ({"ROWKEEPER_EGRESS_ALLOW": "0.0.0.0/0"}, "note", "0.0.0.0/0:*"),
        ({"ROWKEEPER_EGRESS_ALLOW": "::/0"}, "note", "::/0"),
    ],
)
def test_the_doctor_tells(env: dict[str, str], level: str, found: str, monkeypatch: pytest.MonkeyPatch):
    """Where egress is not enforced, or everything is allowed."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    (finding,) = (each for each in examine_surroundings(Settings()) if each.name == "egress")
    assert (finding.level, found in finding.found) == (level, True), finding

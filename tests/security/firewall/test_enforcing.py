"""Rules that are rendered hold in a kernel: what is declared is reached, all else is not."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from rowkeeper.endpoints import Endpoint
from rowkeeper.security.firewall import Scope, Wall, iptables, nftables, wall_of
from tests.security.netns import BARE, NOBODY, PROBE, Machine, link, machines, needs

pytestmark = pytest.mark.root
PIPELINE = """
import rowkeeper as rk
from pydantic import BaseModel

class Row(BaseModel):
    id: int

orders = rk.Pipeline("orders", source=rk.sources.files("*.csv"), contract=Row,
                     destination=rk.destinations.clickhouse("orders", order_by=["id"]),
                     endpoints=[rk.Endpoint("db.test", 5432, private=True), rk.Endpoint("fd81::2", 5432, private=True)])
"""
TALK = """
import encodings.idna, os, socket, sys
os.setuid(65534)
conn = socket.create_connection(("10.81.0.3", 5432), timeout=5)
file = conn.makefile()
for line in sys.stdin:
    conn.sendall(line.encode())
    print(file.readline(), end="", flush=True)
"""
# The kernel follows connections from the first rule on that asks for their state; it knows none from before.
TRACKING = (
    "table inet other {\n chain c {\n type filter hook output priority 10;\n ct state established counter\n }\n}\n"
)
DECLARED = (Endpoint("db.test", 5432, private=True), Endpoint("fd81::2", 5432, private=True))
Form = Callable[[Wall], str]
REFUSED = ("EHOSTUNREACH", "EACCES", "EPERM", "ECONNREFUSED")


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Machine, Machine]]:
    """A client and a server with three addresses; the name of one of them is in the client's hosts file."""
    needs()
    with machines("c", "s") as (client, server):
        link(client, server, "eth1", [("10.81.0.1/24", "10.81.0.2/24"), ("fd81::1/64", "fd81::2/64")])
        server.ip("addr", "add", "10.81.0.3/24", "dev", "eth1")
        server.ip("addr", "add", "10.81.0.53/24", "dev", "eth1")
        server.serve("10.81.0.2:5432", "10.81.0.2:5433", "10.81.0.3:5432", "10.81.0.53:53", "fd81::2:5432")
        client.serve("10.81.0.1:7000")
        client.etc("hosts", "127.0.0.1 localhost\n10.81.0.2 db.test\n")
        client.etc("resolv.conf", "nameserver 10.81.0.53\n")
        yield client, server


def typed(client: Machine, tmp_path: Path) -> str:
    """A file of rules, made by the command as it is typed on the client, which looks the name up there."""
    (tmp_path / "orders.py").write_text(PIPELINE)
    file = tmp_path / "rules"
    command = (sys.executable, "-m", "rowkeeper.cli", "firewall", "render", "--uid", str(NOBODY), "--output", str(file))
    client.run("sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path), *command, "orders.py")
    return str(file)


def rendered(tmp_path: Path, endpoints: Sequence[Endpoint], form: Form = nftables, cgroup: str | None = None) -> str:
    """The same without the command, which takes its time to start."""
    known = {"db.test": [ipaddress.ip_address("10.81.0.2")]}
    servers = [ipaddress.ip_address("10.81.0.53")]
    wall = wall_of(endpoints, Scope(NOBODY, cgroup), lookup=known.__getitem__, servers=servers, now=datetime.now(UTC))
    file = tmp_path / "rules"
    file.write_text(form(wall))
    return str(file)


def outcomes(client: Machine) -> dict[str, str]:
    places = {
        "declared": ("10.81.0.2", 5432),
        "declared by name": ("db.test", 5432),
        "declared in IPv6": ("fd81::2", 5432),
        "another port": ("10.81.0.2", 5433),
        "another host": ("10.81.0.3", 5432),
        "nameserver": ("10.81.0.53", 53),
    }
    return {name: client.probe(host, port) for name, (host, port) in places.items()}


def judge(client: Machine, server: Machine) -> None:
    """What the rules are for."""
    found = outcomes(client)
    for name in ("declared", "declared by name", "declared in IPv6", "nameserver"):
        assert found[name].startswith("pong"), found
    assert found["another port"] in REFUSED, found
    assert found["another host"] in REFUSED, found
    assert client.probe("10.81.0.3", 5432, uid=0).startswith("pong"), "another user is not held back"
    assert server.probe("10.81.0.1", 7000, uid=0).startswith("pong"), "who connects to this machine gets replies"


def test_without_rules_everything_is_reached(pair: tuple[Machine, Machine]):
    """The other tests can fail: no route or listener is missing."""
    assert all(each.startswith("pong") for each in outcomes(pair[0]).values())


def test_nftables_holds(pair: tuple[Machine, Machine], tmp_path: Path):
    """A declared host is reached, another is not, nor another port of it; applying the rules anew changes nothing."""
    needs("nft")
    client, server = pair
    rules = typed(client, tmp_path)
    try:
        for _ in range(2):
            client.run("nft", "-f", rules)
            judge(client, server)
        ruleset = json.loads(client.run("nft", "-j", "list", "ruleset"))["nftables"]
        assert len([each for each in ruleset if "table" in each]) == 1
        refused = [each["rule"] for each in ruleset if "reject" in json.dumps(each)]
        assert refused[0]["expr"][0]["counter"]["packets"] >= 2, "what is refused is counted"
    finally:
        client.run("nft", "flush", "ruleset")


def test_nftables_spares_connections_that_are_there(pair: tuple[Machine, Machine], tmp_path: Path):
    """Rules that come in the middle of a connection let it go on, and refuse the next one."""
    needs("nft")
    client, _ = pair
    client.run("nft", "-f", "-", text=TRACKING)
    talking = client.popen(*BARE, TALK, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert talking.stdin is not None
    assert talking.stdout is not None
    try:
        talking.stdin.write("before\n")
        talking.stdin.flush()
        assert "before" in talking.stdout.readline()
        client.run("nft", "-f", rendered(tmp_path, DECLARED))
        assert client.probe("10.81.0.3", 5432) in REFUSED
        talking.stdin.write("after\n")
        talking.stdin.flush()
        assert "after" in talking.stdout.readline()
    finally:
        talking.kill()
        talking.communicate()
        client.run("nft", "flush", "ruleset")


def test_nothing_declared_reaches_nothing(pair: tuple[Machine, Machine], tmp_path: Path):
    """Without endpoints, loopback and DNS are all that is left."""
    needs("nft")
    client, _ = pair
    try:
        client.run("nft", "-f", rendered(tmp_path, ()))
        found = outcomes(client)
        assert found.pop("nameserver").startswith("pong")
        assert all(each in REFUSED for each in found.values()), found
        assert client.probe("10.81.0.1", 7000).startswith("pong"), "this machine reaches itself"
    finally:
        client.run("nft", "flush", "ruleset")


def test_iptables_holds(pair: tuple[Machine, Machine], tmp_path: Path):
    """The same in the words of iptables; a refresh leaves one jump."""
    needs("iptables-restore", "ip6tables-restore")
    client, server = pair
    rules = rendered(tmp_path, DECLARED, iptables)
    try:
        for _ in range(2):
            for program in ("iptables-restore", "ip6tables-restore"):
                client.run(program, "--noflush", rules)
            judge(client, server)
            rules = rendered(tmp_path, DECLARED, partial(iptables, refresh=True))
        for program in ("iptables", "ip6tables"):
            assert client.run(program, "-S", "OUTPUT").count("ROWKEEPER") == 1
    finally:
        for program in ("iptables", "ip6tables"):
            client.run(program, "-F")
            client.run(program, "-X")


def test_a_demanded_interface_is_demanded_by_the_kernel(pair: tuple[Machine, Machine], tmp_path: Path):
    """What is declared by way of wg0 does not leave by eth1, whatever the route says."""
    needs("nft")
    client, _ = pair
    try:
        client.run("nft", "-f", rendered(tmp_path, [Endpoint("10.81.0.2", 5432, private=True, via="wg0")]))
        assert client.probe("10.81.0.2", 5432) in REFUSED
        client.run("nft", "-f", rendered(tmp_path, [Endpoint("10.81.0.2", 5432, private=True, via="eth1")]))
        assert client.probe("10.81.0.2", 5432).startswith("pong")
    finally:
        client.run("nft", "flush", "ruleset")


CGROUP = """
mkdir -p /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 77
mkdir -p /sys/fs/cgroup/$1 && nft -f $2 && echo $$ > /sys/fs/cgroup/$1/cgroup.procs
shift 2
"$@"
"""


def test_a_control_group_is_held(pair: tuple[Machine, Machine], tmp_path: Path):
    """Whatever user its processes have, what is declared is reached and another port is not; others are not held."""
    needs("nft")
    client, _ = pair
    group = f"rowkeeper-test-{os.getpid()}"
    try:
        rules = rendered(tmp_path, DECLARED, cgroup=group)
        for port, expected in ((5432, ("pong",)), (5433, REFUSED)):
            told = client.run(
                "sh", "-c", CGROUP, "-", group, rules, *BARE, PROBE, "0", "10.81.0.2", str(port), ok=False
            )
            if not told:
                pytest.skip("no control groups of version 2 can be mounted here")
            assert told.startswith(expected), told
        assert client.probe("10.81.0.2", 5433, uid=0).startswith("pong"), "another group is not held back"
    finally:
        client.run("nft", "flush", "ruleset")
        client.run("sh", "-c", f"mount -t cgroup2 none /sys/fs/cgroup && rmdir /sys/fs/cgroup/{group}", ok=False)

"""What `vpn render` writes is what wg-quick takes, and what `vpn check` says of it is so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.netns import Machine, link, machines, needs
from tests.security.vpn.lab import kernel_has_wireguard

pytestmark = pytest.mark.root
TOML = """
[vpn.{name}]
address = "10.83.0.{own}/24"
private_key = "{private_key}"
listen_port = 51820

[[vpn.{name}.peers]]
name = "other"
public_key = "{public_key}"
preshared_key = "{preshared_key}"
endpoint = "10.82.0.{other}:51820"
allowed_ips = ["10.83.0.{other}/32"]
keepalive = 25
"""


class End:
    """A machine with settings of its own, on which commands are typed."""

    def __init__(self, machine: Machine, folder: Path, name: str) -> None:
        folder.mkdir()
        self.machine = machine
        self.folder = folder
        self.name = name
        self.private_key = machine.run("wg", "genkey").strip()
        self.public_key = machine.run("wg", "pubkey", text=self.private_key).strip()
        self.env = {**os.environ, "XDG_CONFIG_HOME": str(folder), "WG_QUICK_USERSPACE_IMPLEMENTATION": "wireguard-go"}

    def configure(self, other: End, numbers: tuple[int, int], private_key: str, preshared_key: str) -> None:
        own, number = numbers
        text = TOML.format(
            name=self.name, own=own, other=number, private_key=private_key, public_key=other.public_key,
            preshared_key=preshared_key,
        )  # fmt: skip
        (self.folder / "rowkeeper.toml").write_text(text)

    def rowkeeper(self, *words: str) -> str:
        command = ["ip", "netns", "exec", self.machine.name, sys.executable, "-m", "rowkeeper.cli", *words]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=self.folder, env=self.env, timeout=120
        )
        assert done.returncode == 0, done
        return done.stdout

    def wg_quick(self, word: str) -> None:
        self.machine.run("wg-quick", word, str(self.folder / f"{self.name}.conf"), env=self.env)


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[End, End]]:
    """One whose keys are in files, which wg-quick fetches, and one whose keys are in its environment."""
    needs("wg", "wg-quick", *(() if kernel_has_wireguard() else ("wireguard-go",)))
    with machines("q", "r") as (one, other):
        link(one, other, "eth1", [("10.82.0.1/24", "10.82.0.2/24")])
        number = os.getpid() % 100_000
        made = End(one, tmp_path / "one", f"wgq{number}"), End(other, tmp_path / "other", f"wgr{number}")
        shared = one.run("wg", "genpsk").strip()
        for name, key in (("own.key", made[0].private_key), ("shared.key", shared)):
            file = made[0].folder / name
            file.touch(0o600)
            file.write_text(key)
        made[1].env |= {"WG_KEY": made[1].private_key, "WG_PSK": shared}
        made[0].configure(made[1], (1, 2), f"file:{made[0].folder}/own.key", f"file:{made[0].folder}/shared.key")
        made[1].configure(made[0], (2, 1), "env:WG_KEY", "env:WG_PSK")
        yield made


def test_two_rendered_ends_meet(ends: tuple[End, End]):
    """wg-quick brings both up, their keys fit, a connection goes through, and the check finds nothing wrong."""
    one, other = ends
    assert "PrivateKey" not in one.rowkeeper("vpn", "render"), "the keys stay in their files"
    for end in ends:
        end.rowkeeper("vpn", "render", "--output", f"{end.name}.conf")
    up = []
    try:
        for end in ends:
            end.wg_quick("up")
            up.append(end)
        other.machine.serve("10.83.0.2:5432")
        assert one.machine.probe("10.83.0.2", 5432).startswith("pong")
        one.env |= {"ROWKEEPER_LEDGER_URL": "postgresql://10.83.0.2/x", "ROWKEEPER_LEDGER_VIA": one.name}
        checks = json.loads(one.rowkeeper("vpn", "check", "--json"))["checks"]
        found = {each["name"]: each["found"] for each in checks}
        assert found["interface"] == f"{one.name} is up"
        assert found["handshake"].startswith(f"{one.name}, peer {other.public_key[:8]}...: ")
        assert found["handshake"].endswith(" s ago")
        assert found["route"] == f"10.83.0.2:5432 (the ledger): 10.83.0.2 by {one.name}"
    finally:
        for end in up:
            end.wg_quick("down")


def test_wg_quick_would_find_a_fault(ends: tuple[End, End]):
    """The test above can fail: what is no key is refused there as well."""
    one = ends[0]
    one.rowkeeper("vpn", "render", "--output", f"{one.name}.conf")
    conf = one.folder / f"{one.name}.conf"
    conf.write_text(conf.read_text().replace("PublicKey = ", "PublicKey = x"))
    with pytest.raises(AssertionError, match="Key is not the correct length or format"):
        one.wg_quick("up")

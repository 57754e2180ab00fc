"""Two machines with a WireGuard tunnel between them, and a second cable by which packets could leak."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.security.netns import Machine, link, machines, needs

NAMES = iter(range(1000))  # WireGuard in user space has one folder of sockets for all namespaces


@dataclasses.dataclass
class Lab:
    """The client's end and the server's; the server listens at port 5432 inside the tunnel and at the second cable."""

    client: Machine
    server: Machine
    interface: str  # the client's
    peer: WireGuard

    inside = "10.83.0.2"  # the server's address in the tunnel


class WireGuard:
    """A WireGuard interface, of the kernel where it has it, otherwise of wireguard-go."""

    def __init__(self, machine: Machine, name: str, address: str) -> None:
        self._machine = machine
        self._address = address
        self.name = name
        self._process: subprocess.Popen[str] | None = None
        self.private_key = machine.run("wg", "genkey").strip()
        self.public_key = machine.run("wg", "pubkey", text=self.private_key).strip()

    def start(self, peer: WireGuard, *more: str) -> None:
        """Makes the interface, and brings it up with the other end as its peer."""
        if not kernel_has_wireguard():
            self._start_in_user_space()
        else:
            self._machine.ip("link", "add", self.name, "type", "wireguard")
        self._machine.run("wg", "set", self.name, "private-key", "/dev/stdin", text=self.private_key)
        self._machine.run("wg", "set", self.name, "listen-port", "51820", "peer", peer.public_key, *more)
        self._machine.ip("addr", "replace", self._address, "dev", self.name)
        self._machine.ip("link", "set", self.name, "up")

    def _start_in_user_space(self) -> None:
        environment = {**os.environ, "LOG_LEVEL": "verbose"}
        process = self._machine.popen(
            "wireguard-go", "-f", self.name, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        self._process = process
        assert process.stdout is not None
        assert any("UAPI listener started" in line for line in process.stdout)
        threading.Thread(target=process.stdout.read, daemon=True).start()

    def stop(self) -> None:
        """Takes the interface away."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        else:
            self._machine.run("ip", "link", "del", self.name, ok=False)


def kernel_has_wireguard() -> bool:
    """Whether the kernel makes an interface of that kind; in a namespace that goes with it."""
    probe = ["unshare", "-n", "ip", "link", "add", "probe", "type", "wireguard"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


@contextlib.contextmanager
def tunnelled(*more: str) -> Iterator[Lab]:
    """Two machines with a tunnel over eth1; over eth2 they see each other as well."""
    needs("wg")
    if not kernel_has_wireguard():
        try:
            needs("wireguard-go")
        except pytest.skip.Exception:
            pytest.skip("the kernel has no WireGuard, and there is no wireguard-go (Debian: wireguard-go)")
    number = f"{os.getpid() % 100_000}{next(NAMES)}"
    with machines(f"c{number}", f"s{number}") as (client, server), contextlib.ExitStack() as stack:
        for interface, network in (("eth1", "10.82.0"), ("eth2", "10.84.0")):
            for machine in (client, server):
                machine.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
            link(client, server, interface, [(f"{network}.1/24", f"{network}.2/24")])
        ends = [WireGuard(client, f"wgc{number}", "10.83.0.1/24"), WireGuard(server, f"wgs{number}", "10.83.0.2/24")]
        for own, other, place in ((ends[0], ends[1], "2"), (ends[1], ends[0], "1")):
            stack.callback(own.stop)
            allowed = ("allowed-ips", f"10.83.0.{place}/32")
            own.start(other, *allowed, *(("endpoint", "10.82.0.2:51820", *more) if own is ends[0] else ()))
        server.ip("addr", "add", "10.83.0.2/32", "dev", "eth2")  # who comes by the second cable is answered as well
        server.serve("0.0.0.0:5432")
        yield Lab(client, server, ends[0].name, ends[1])

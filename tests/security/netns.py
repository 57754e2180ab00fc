"""Machines to break: network namespaces with links between them, each a small network of its own. Needs root."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
NOBODY = 65_534
CLONE_NEWNET = 0x40000000
ETC = Path("/etc/netns")  # what lies here for a namespace stands over /etc in it
BARE = (sys.executable, "-I", "-S", "-c")
# Listens where it is told, says so, and answers each line with "pong <line>" and the address that it came to.
SERVER = """
import socket, sys, threading
def serve(conn, name):
    with conn:
        for line in conn.makefile("rb"):
            conn.sendall(b"pong " + name.encode() + b" " + line)
def accept(listening, name):
    while True:
        threading.Thread(target=serve, args=(listening.accept()[0], name), daemon=True).start()
for place in sys.argv[1:]:
    host, _, port = place.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, int(port)), family=family)
    threading.Thread(target=accept, args=(listening, place), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
PROBE = """
import encodings.idna, errno, os, socket, sys  # before it is a user who may not read them
uid, host, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
os.setuid(uid)
try:
    with socket.create_connection((host, port), timeout=5) as conn:
        conn.sendall(b"ping\\n")
        print(conn.makefile().readline().strip())
except TimeoutError:
    print("timeout")
except OSError as error:
    print(errno.errorcode.get(error.errno, str(error)))
"""


def needs(*programs: str) -> None:
    """Skips, with the reason, where namespaces cannot be made or a program is missing."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")
    missing = [each for each in ("ip", *programs) if shutil.which(each) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (Debian: iproute2, nftables, iptables, wireguard-tools, wireguard-go)")
    probe = subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"this kernel makes no network namespace: {probe.stderr.strip()}")


def _enter(name: str) -> None:
    """Takes this thread into a namespace (setns(2), which Python has from 3.12 on)."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{name}") as namespace:
        assert libc.setns(namespace.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


class Machine:
    """A namespace, by its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._servers: list[subprocess.Popen[str]] = []

    def run(self, *argv: str, text: str | None = None, ok: bool = True, env: dict[str, str] | None = None) -> str:
        """What a command in the namespace prints."""
        command = ["ip", "netns", "exec", self.name, *argv]
        done = subprocess.run(command, check=False, input=text, capture_output=True, text=True, env=env, timeout=120)
        assert not ok or done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    def popen(self, *argv: str, **more: object) -> subprocess.Popen[str]:
        return subprocess.Popen(["ip", "netns", "exec", self.name, *argv], text=True, **more)  # type: ignore[call-overload]

    def ip(self, *words: str) -> str:
        return self.run("ip", *words)

    def serve(self, *places: str) -> None:
        """Listens at `address:port`, until the network is taken down."""
        server = self.popen(*BARE, SERVER, *places, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        self._servers.append(server)

    def probe(self, host: str, port: int, uid: int = NOBODY) -> str:
        """What comes of connecting as a user: the answer of the server, or the error's name."""
        return self.run(*BARE, PROBE, str(uid), host, str(port)).strip()

    def within(self, work: Callable[[], T]) -> T:
        """Does work in a thread of this process that is in the namespace; threads and programs that it starts are, too.

        Raises what the work raises.
        """
        with concurrent.futures.ThreadPoolExecutor(1, initializer=_enter, initargs=(self.name,)) as pool:
            return pool.submit(work).result()

    def sent(self, interface: str) -> int:
        """Packets that left by an interface since it was made."""
        (link,) = json.loads(self.run("ip", "-json", "-s", "link", "show", "dev", interface))
        return int(link["stats64"]["tx"]["packets"])

    def etc(self, name: str, content: str) -> None:
        """A file of /etc as commands of this machine see it."""
        (ETC / self.name).mkdir(parents=True, exist_ok=True)
        (ETC / self.name / name).write_text(content)

    def close(self) -> None:
        for each in self._servers:
            each.kill()
            each.communicate()
        subprocess.run(["ip", "netns", "del", self.name], check=True)
        shutil.rmtree(ETC / self.name, ignore_errors=True)


@contextlib.contextmanager
def machines(*names: str) -> Iterator[tuple[Machine, ...]]:
    """Machines of this process's own, without links but loopback."""
    with contextlib.ExitStack() as stack:
        made = []
        for name in names:
            machine = Machine(f"rk{os.getpid()}{name}")
            subprocess.run(["ip", "netns", "add", machine.name], check=True)
            stack.callback(machine.close)
            machine.ip("link", "set", "lo", "up")
            made.append(machine)
        yield tuple(made)


def link(one: Machine, other: Machine, interface: str, networks: list[tuple[str, str]]) -> None:
    """A cable between two machines, of one name at both ends, with an address at each end for each network."""
    one.ip("link", "add", interface, "type", "veth", "peer", "name", interface, "netns", other.name)
    for number, machine in enumerate((one, other)):
        for ends in networks:
            more = ("nodad",) if ":" in ends[number] else ()
            machine.ip("addr", "add", ends[number], "dev", interface, *more)
        machine.ip("link", "set", interface, "up")

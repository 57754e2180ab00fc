"""Machines to break: network namespaces with links between them, each a small network of its own. Needs root."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest

T = TypeVar("T")
NOBODY = 65_534
CLONE_NEWNET = 0x40000000
LEAVE_SECONDS_MAX = 10.0
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


@contextlib.contextmanager
def _no_new_pools() -> Iterator[None]:
    """In the block Arrow and Polars start no threads: they have what they work with, from before.

    They keep those for as long as the process lasts, and a thread stays in the namespace of its maker.
    """
    former = pa.io_thread_count()
    pa.set_io_thread_count(1)
    many_blocks = pyarrow.csv.ReadOptions(block_size=1024, use_threads=True)  # of which each is a task
    pyarrow.csv.read_csv(io.BytesIO(b"a\n" + b"1\n" * 100_000), read_options=many_blocks)
    pl.LazyFrame({"a": [1]}).group_by("a").agg(pl.len()).collect()
    try:
        yield
    finally:
        pa.set_io_thread_count(former)


def _left_behind() -> list[str]:
    """The names of threads that are not in the namespace of this one, without jemalloc's, which connect to nothing."""
    own = os.readlink("/proc/thread-self/ns/net")
    found = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            if os.readlink(task / "ns/net") != own:
                found.append((task / "comm").read_text().strip())
    return [name for name in found if not name.startswith("jemalloc")]


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

        Raises what the work raises, and AssertionError if threads are left behind there: a test that is given one of
        them later finds nobody at its own addresses.
        """
        with _no_new_pools(), concurrent.futures.ThreadPoolExecutor(1, "inside", _enter, (self.name,)) as pool:
            done = pool.submit(work).result()
        end = time.monotonic() + LEAVE_SECONDS_MAX
        while left := _left_behind():  # a thread that was joined may still be on its way out
            assert time.monotonic() < end, f"threads of this process stay in {self.name}: {left}"
            time.sleep(0.01)
        return done

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

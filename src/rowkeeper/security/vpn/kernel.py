"""What this machine's kernel says of interfaces, of the way to an address, and of WireGuard's peers.

Links and routes come from rtnetlink, by pyroute2, which needs no privilege and no program. Handshakes come from the
program `wg`, which speaks both to the kernel's WireGuard and to those in user space. It is asked for public keys and
times alone, never for what holds a private key.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from rowkeeper.endpoints.host import Address
from rowkeeper.errors import ConfigurationError, VpnUnseen
from rowkeeper.resilience.deadline import seconds_left

WG_SECONDS_MAX = 5.0
USER_SPACE = Path("/var/run/wireguard")  # where WireGuard in user space has a socket for each interface
NO_SUCH_DEVICE, NO_NETWORK, NO_HOST, REFUSED = 19, 101, 113, 13  # what the kernel says of routes that are not there
UP, LOWER_UP = 0x1, 0x10000  # netdevice(7)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """An interface.

    Attributes:
        is_up: somebody brought it up, and it carries.
        is_wireguard: whether it has peers with handshakes.
    """

    name: str
    is_up: bool
    is_wireguard: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """A peer of a WireGuard interface.

    Attributes:
        public_key: base64.
        networks: what is sent to it.
        handshake_at: when it was last heard of, in seconds since 1970; None: never.
    """

    public_key: str
    networks: Sequence[Network]
    handshake_at: float | None


class Kernel(Protocol):
    """What is asked of the machine."""

    def link(self, name: str) -> Link | None:
        """An interface, if there is one of this name."""
        ...

    def leaves_by(self, address: Address) -> str | None:
        """The interface by which packets to an address leave; None where no route leads to it."""
        ...

    def peers(self, name: str) -> list[Peer]:
        """The peers of a WireGuard interface. Raises VpnUnseen if they cannot be seen."""
        ...


class ThisMachine:
    """Implements `Kernel` by asking the one that runs this process, in the network namespace of this thread."""

    def link(self, name: str) -> Link | None:
        """An interface, if there is one of this name."""
        with rtnetlink() as (route, failure):
            try:
                found = next(iter(route.get_links(ifname=name)), None)
            except failure as error:
                if error.code != NO_SUCH_DEVICE:
                    raise
                found = None
        if found is None:
            return None
        info = found.get("linkinfo")
        kind = info.get("kind") if info else None
        return Link(name, found["flags"] & (UP | LOWER_UP) == UP | LOWER_UP, _is_wireguard(name, kind))

    def leaves_by(self, address: Address) -> str | None:
        """The interface by which packets to an address leave; None where no route leads to it.

        It is the route of this user's packets (policy rules by user count) before they are bound to an interface.
        """
        with rtnetlink() as (route, failure):
            try:
                (found,) = route.route("get", dst=str(address))
                link = next(iter(route.get_links(found.get("oif"))), None)
            except failure as error:
                if error.code in (NO_SUCH_DEVICE, NO_NETWORK, NO_HOST, REFUSED):
                    return None
                raise
        return None if link is None else str(link.get("ifname"))

    def peers(self, name: str) -> list[Peer]:
        """The peers of a WireGuard interface. Raises VpnUnseen if they cannot be seen."""
        handshakes = dict(_columns(_wg(name, "latest-handshakes")))
        return [
            Peer(
                key,
                [ipaddress.ip_network(each) for each in networks.split() if each != "(none)"],
                float(handshakes.get(key, "0")) or None,
            )
            for key, networks in _columns(_wg(name, "allowed-ips"))
        ]


@contextmanager
def rtnetlink() -> Iterator[tuple[Any, type[Any]]]:
    """A connection to the kernel, and what is raised when it says no.

    Raises ConfigurationError if the library for it is not installed, VpnUnseen if the kernel does not answer.
    """
    try:
        route = import_module("pyroute2.iproute").IPRoute
        failure = import_module("pyroute2.netlink.exceptions").NetlinkError
    except ImportError:
        raise ConfigurationError(
            "an interface is demanded (via), and the library that asks the kernel for routes is not installed",
            hint="pip install 'rowkeeper[vpn]'",
        ) from None
    try:
        with route() as asked:
            yield asked, failure
    except (failure, OSError) as error:  # what nobody can see is not taken for safe
        raise VpnUnseen(
            f"the kernel does not tell of interfaces and routes: {type(error).__name__}",
            hint="rowkeeper vpn check; see whether this process may have netlink sockets and open files",
        ) from error


def _is_wireguard(name: str, kind: str | None) -> bool:
    """By its kind in the kernel; in user space by its socket. Where nobody may look for that it is taken to be one."""
    if kind != "tun":
        return kind == "wireguard"
    try:
        return stat.S_ISSOCK(os.stat(USER_SPACE / f"{name}.sock").st_mode)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True


def _wg(name: str, what: str) -> str:
    program = shutil.which("wg") or shutil.which("wg", path="/usr/bin:/usr/local/bin:/usr/sbin:/sbin")
    if program is None:
        raise VpnUnseen(
            f"the handshakes of {name} cannot be seen: the program wg is not installed",
            hint="install wireguard-tools; or look at route and link alone, rk.Via(..., handshake_seconds_max=None)",
        )
    try:
        done = subprocess.run(
            [program, "show", name, what],
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds_left(WG_SECONDS_MAX),
        )
    except subprocess.TimeoutExpired:
        raise VpnUnseen(f"the handshakes of {name} cannot be seen: wg gave no answer", hint="see to it") from None
    if done.returncode:
        raise VpnUnseen(
            f"the handshakes of {name} cannot be seen: {_said(done.stderr)}",
            hint="run as root or with CAP_NET_ADMIN; or look at route and link alone, "
            "rk.Via(..., handshake_seconds_max=None)",
        )
    return done.stdout


def _said(stderr: str) -> str:
    """What wg says is in the way, such as `Operation not permitted`."""
    return stderr.strip().rpartition(": ")[2] or "wg failed"


def _columns(text: str) -> list[tuple[str, str]]:
    """`key TAB rest`, a line for each peer."""
    found = [line.partition("\t") for line in text.splitlines()]
    return [(key, rest) for key, _, rest in found]


def example_of(network: Network) -> Address:
    """An address of a network that stands for all: its first host."""
    return network[min(1, network.num_addresses - 1)]

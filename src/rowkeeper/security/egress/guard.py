"""The guard of a process: Python asks it before every connection and look-up, whoever makes it.

It is an audit hook (PEP 578): it cannot be taken away again, and a connection that it refuses does not happen. It sees
what goes through Python's sockets: urllib, requests, httpx, asyncio, drivers in Python. It does not see native code
that makes its own sockets (libpq, librdkafka, ClickHouse), nor other programs that are started; and it is no sandbox:
code that means harm can reach around it. A firewall, made of the same declarations, stands behind it.

A name that user's code looks up is looked up here, once; the addresses that were checked are what the code is given,
and what it may then connect to.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rowkeeper.endpoints import DIRECT, PROTOCOLS, Endpoint, Proxy, Via, canonical_host, is_loopback_name, literal
from rowkeeper.errors import DeclarationError, EgressRefused
from rowkeeper.security.egress.addresses import Address, plain
from rowkeeper.security.egress.passing import checked, is_checked
from rowkeeper.security.egress.policy import Egress, no_host
from rowkeeper.security.egress.settled import by_way_of
from rowkeeper.security.vpn import Tunnels

OF_THIS_MACHINE = {socket.AF_UNIX, socket.AF_NETLINK}
OF_THE_NETWORK = {socket.AF_INET, socket.AF_INET6}
TYPE_BITS = 0xF  # without SOCK_NONBLOCK and SOCK_CLOEXEC
Pin = tuple[Address, int | None, str]


class Guard:
    """What this process may reach; see `stand`.

    Args:
        egress: what is declared from the start.
        proxy: by which public hosts are reached: those are not connected to directly.
    """

    def __init__(self, egress: Egress, proxy: Proxy | None = None) -> None:
        self._lock = threading.Lock()
        self._proxy = proxy
        self._egress = Egress((), egress.mode)
        self._pins: dict[Pin, Via | None] = {}  # replaced, never changed: other threads read it
        self._tunnels = Tunnels()
        self.declare(egress.endpoints)

    def declare(self, endpoints: Iterable[Endpoint]) -> None:
        """From now on these may be reached as well."""
        found = [by_way_of(each, self._proxy) for each in endpoints]
        proxies = [Endpoint.of_proxy(each.proxy) for each in found if isinstance(each.proxy, Proxy)]
        with self._lock:
            self._egress = self._egress.declaring([*found, *proxies])

    def look_up(self, host: str | bytes | None, port: str | int | None, places: list[Any]) -> None:
        """Takes in what a look-up found: every address is checked, and may be connected to from now on.

        Raises AddressForbidden if one may not be reached.
        """
        name = _as_text(host)
        egress = self._egress
        if name is None or (_is_own(name) and not egress.names(name)):
            return
        number = _port_number(port)
        endpoint = self._direct(egress, name, number, None)
        if endpoint is None:
            return
        addresses = [ipaddress.ip_address(place[0]) for _, _, _, _, place in places]
        for address in addresses:
            egress.permit(address, number, endpoint)
        self._pin(
            {
                (plain(address), each.port, each.protocol): each.demand
                for each in sorted(egress.endpoints, key=lambda each: each.demand is not None)
                if each.host == endpoint.host and not isinstance(each.proxy, Proxy)
                for address in addresses
                if not egress.objection(address, each.port, each)
            }
        )

    def pin(self, endpoint: Endpoint, port: int, addresses: Iterable[Address]) -> None:
        """Takes in addresses that the gateway has checked, for a driver that connects to them itself."""
        self._pin({(plain(address), port, endpoint.protocol): endpoint.demand for address in addresses})

    def may_look_up(self, host: str | bytes | None, port: str | int | None) -> None:
        """Lets a name be looked up that is declared. Raises EgressRefused for others: a question is a message, too."""
        name = _as_text(host)
        if name is not None and not _is_own(name):
            self._direct(self._egress, name, _port_number(port), None)

    def may_look_back(self, host: str) -> None:
        """Lets the name of an address be asked for, which is a question to whoever owns the address.

        Raises EgressRefused for an address that is not declared.
        """
        address = literal(host.partition("%")[0])
        if address is None:
            self.may_look_up(host, None)
            return
        address = plain(address)
        egress = self._egress
        known = address.is_loopback or any(pin[0] == address for pin in self._pins)
        if not known and not any(egress.covers(address, None, protocol) for protocol in PROTOCOLS):
            egress.refuse(
                EgressRefused(
                    f"the name of {address} is asked for, which is not declared",
                    hint=f"if it is meant: ROWKEEPER_EGRESS_ALLOW={address}",
                    context={"host": str(address)},
                )
            )

    def may_connect(self, line: socket.socket, place: Any) -> None:
        """Lets a socket connect, or send a datagram. Raises EgressRefused, AddressForbidden or VpnRefused."""
        if line.family in OF_THIS_MACHINE or place is None:  # a socket that is connected was asked about then
            return
        egress = self._egress
        if line.family not in OF_THE_NETWORK:
            egress.refuse(
                EgressRefused(f"a socket of the family {line.family!s}", hint="only TCP and UDP can be declared")
            )
            return
        host, port = str(place[0]), int(place[1])
        protocol = "udp" if line.type & TYPE_BITS == socket.SOCK_DGRAM else "tcp"
        try:
            address = plain(ipaddress.ip_address(host))
        except ValueError:
            egress.refuse(
                EgressRefused(
                    f"a socket connects to {host} by its name, so that nobody sees to which address",
                    hint="socket.create_connection looks the name up first, where it can be checked",
                    context={"host": host},
                )
            )
            return
        pins = self._pins
        for pin in ((address, port, protocol), (address, None, protocol)):
            if pin in pins:
                self._keep(pins[pin], line, address)
                return
        endpoint = self._direct(egress, str(address), port, protocol)
        if endpoint is not None:
            egress.permit(address, port, endpoint)
            self._keep(endpoint.demand, line, address)

    def _pin(self, pins: Mapping[Pin, Via | None]) -> None:
        """Adds to what may be connected to. Of two declarations of one place that with a demand wins."""
        with self._lock:
            self._pins = self._pins | {pin: demand or self._pins.get(pin) for pin, demand in pins.items()}

    def _keep(self, demand: Via | None, line: socket.socket, address: Address) -> None:
        """Whoever connects to a place that demands an interface does so by that one. Raises VpnRefused."""
        if demand is not None:
            self._tunnels.check(demand, address)
            self._tunnels.hold(demand, line)

    @staticmethod
    def _direct(egress: Egress, name: str, port: int | None, protocol: str | None) -> Endpoint | None:
        """The declaration of a host that is reached without a proxy; None for what is no host, if that may pass."""
        try:
            canonical_host(name)
        except DeclarationError as error:
            egress.refuse(no_host(error))  # where nothing is enforced, the caller finds out
            return None
        only_udp = {each.protocol for each in egress.names(name)} == {"udp"}  # a look-up does not say what it is for
        endpoint = egress.place(name, port, protocol or ("udp" if only_udp else "tcp"))
        if isinstance(endpoint.proxy, Proxy):
            egress.refuse(
                EgressRefused(
                    f"{endpoint} is declared to be reached by the proxy {endpoint.proxy}, and is not connected to",
                    hint=f'use the proxy, or declare it with proxy="{DIRECT}"',
                    context={"host": endpoint.host},
                )
            )
        return endpoint


def _is_own(name: str) -> bool:
    """Whether no name server is asked: addresses, and names of this machine. Connecting to it is another matter."""
    try:
        host = canonical_host(name)
    except DeclarationError:
        return name in ("", "0", "<broadcast>") or name == socket.gethostname()
    return literal(host) is not None or is_loopback_name(host) or host == socket.gethostname().lower()


def _as_text(host: str | bytes | None) -> str | None:
    return host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else host


def _port_number(port: str | int | None) -> int | None:
    """A port as a number; None if it is not said, or 0 is."""
    if isinstance(port, (str, bytes)):
        text = _as_text(port) or ""
        port = int(text) if text.isdecimal() else socket.getservbyname(text) if text else None
    return port or None


class _Standing:
    """The guard of this process; None until it stands."""

    guard: Guard | None = None


def stand(guard: Guard) -> None:
    """Puts a guard on this process, for good; where one stands already, that stays."""
    if _Standing.guard is None:
        _Standing.guard = guard
        sys.addaudithook(_heard)
        socket.getaddrinfo = _getaddrinfo


def standing() -> Guard | None:
    """The guard of this process."""
    return _Standing.guard


def _heard(event: str, args: tuple[Any, ...]) -> None:
    """Every audit event of the process comes by here: next to nothing for those that are none of its business."""
    if event[:7] != "socket." or event not in _ANSWERS or is_checked():
        return
    guard = _Standing.guard
    if guard is not None:
        _ANSWERS[event](guard, args)


def _on_look_up(guard: Guard, args: tuple[Any, ...]) -> None:
    """Somebody who does not go through `socket.getaddrinfo`: the same is asked here, to know the answers."""
    host, port = args[0], (args[1] if len(args) > 1 else None)
    guard.may_look_up(host, port)
    with checked():
        places = _resolve(host, port)
    guard.look_up(host, port, places)


def _on_connect(guard: Guard, args: tuple[Any, ...]) -> None:
    guard.may_connect(args[0], args[1])


def _on_look_up_of_address(guard: Guard, args: tuple[Any, ...]) -> None:
    place = args[0][0] if isinstance(args[0], tuple) else args[0]
    guard.may_look_back(str(place))


_resolve = socket.getaddrinfo
_ANSWERS: dict[str, Callable[[Guard, tuple[Any, ...]], None]] = {
    "socket.connect": _on_connect,
    "socket.sendto": _on_connect,
    "socket.sendmsg": _on_connect,
    "socket.getaddrinfo": _on_look_up,
    "socket.gethostbyname": _on_look_up,
    "socket.gethostbyaddr": _on_look_up_of_address,
    "socket.getnameinfo": _on_look_up_of_address,
}


def _getaddrinfo(  # noqa: PLR0917 - as it is called
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[Any]:
    """`socket.getaddrinfo` of a guarded process: what it gives out is what was checked."""
    guard = _Standing.guard
    assert guard is not None
    guard.may_look_up(host, port)
    with checked():
        places = _resolve(host, port, family, type, proto, flags)
    guard.look_up(host, port, places)
    return places

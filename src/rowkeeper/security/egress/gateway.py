"""The one way out: a host is looked up once, every address is checked, and the connection goes to the one checked.

TLS and the Host header keep the host's name; only where the packets go is fixed. A name server that gives another
answer the next time (DNS rebinding) is not asked a next time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from rowkeeper.endpoints import Endpoint, Proxy, Via, literal
from rowkeeper.endpoints.host import Address
from rowkeeper.errors import ProxyRefused
from rowkeeper.protocols import Connection
from rowkeeper.resilience.sockets import BoundedSocket
from rowkeeper.security.egress import handshakes
from rowkeeper.security.egress.guard import standing
from rowkeeper.security.egress.lookup import Lookup, Place, look_up
from rowkeeper.security.egress.passing import checked
from rowkeeper.security.egress.policy import Egress
from rowkeeper.security.egress.settled import by_way_of
from rowkeeper.security.secret import Secret
from rowkeeper.security.vpn import Demand, Tunnels, Watch, example_of

T = TypeVar("T")
LOOK_UP_SECONDS_MAX = 5.0

Follow = Callable[[str], Secret]
"""Follows a reference to a secret."""


@dataclasses.dataclass(frozen=True, slots=True)
class Gateway:
    """Makes connections to declared hosts, and to nothing else.

    Attributes:
        egress: what may be reached.
        proxy: by which public hosts are reached, where they do not declare their own.
        follow: gives a proxy's password by its reference.
        lookup: gives the addresses of a host.
        tunnels: by which hosts are reached that demand an interface.
    """

    egress: Egress
    proxy: Proxy | None = None
    follow: Follow | None = dataclasses.field(default=None, repr=False, compare=False)
    lookup: Lookup = dataclasses.field(default=look_up, repr=False, compare=False)
    tunnels: Tunnels = dataclasses.field(default_factory=Tunnels, repr=False, compare=False)

    def declaring(self, endpoints: Iterable[Endpoint]) -> Gateway:
        """The same, with more endpoints: for a connector, its own."""
        return dataclasses.replace(self, egress=self.egress.declaring(endpoints))

    def checked_addresses(self, host: str, port: int, *, seconds_max: float | None = None) -> tuple[str, ...]:
        """The addresses of a declared host, all of which may be reached: for drivers that make their own connections.

        Raises as `connect`; what a driver connects to goes by no proxy.
        """
        endpoint = self.egress.place(host, port)
        places = self._places(endpoint, port, seconds_max)
        guard = standing()
        if guard is not None:
            guard.pin(endpoint, port, [ipaddress.ip_address(place[0]) for _, place in places])
        return tuple(place[0] for _, place in places)

    def checked_address(self, host: str, port: int) -> str:
        """The first of `checked_addresses`."""
        return self.checked_addresses(host, port)[0]

    def keep(self, host: str, port: int, connection: Connection) -> None:
        """Binds a connection that a driver made to the interface that its host demands, if it does.

        Raises VpnRefused if the way changed while the driver was connecting.
        """
        demand = self.egress.place(host, port).demand
        if demand is None:
            return
        self.tunnels.hold(demand, connection)
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            self.tunnels.check(demand, ipaddress.ip_address(same.getpeername()[0]))

    def watching(self, endpoints: Iterable[Endpoint]) -> AbstractContextManager[None]:
        """Watches the interfaces that endpoints demand, as long as the body lasts; see `vpn.watch`."""
        demands = [
            Demand(each.demand, address)
            for each in endpoints
            if each.demand is not None
            for address in self._addresses_now(each)
        ]
        return Watch(self.tunnels, demands).standing()

    def _addresses_now(self, endpoint: Endpoint) -> list[Address]:
        """Of a network one address stands for all; a name that cannot be looked up is told by who connects."""
        if endpoint.network is not None:
            return [example_of(endpoint.network)]
        try:
            with checked():
                places = self.lookup(endpoint.host, endpoint.port or 0, LOOK_UP_SECONDS_MAX)
        except OSError:
            return []
        return self.tunnels.led([ipaddress.ip_address(place[0]) for _, place in places])

    def connect(self, host: str, port: int, *, seconds_max: float | None = None) -> BoundedSocket:
        """A connection to a declared host, directly or by its proxy, within the deadline.

        Args:
            seconds_max: how long each step may take (look-up, connecting, the proxy's answers); it stays the socket's
                timeout.

        Raises:
            EgressRefused: the host is not declared.
            AddressForbidden: one of its addresses may not be reached.
            ProxyRefused: the proxy does not let us.
            DeadlineExceeded: no time is left.
            OSError: it cannot be looked up or reached.
        """
        endpoint = by_way_of(self.egress.place(host, port), self.proxy)
        if isinstance(endpoint.proxy, Proxy):
            return self._by_proxy(endpoint, endpoint.proxy, port, seconds_max)
        return self._connected(endpoint, port, seconds_max)

    def _places(self, endpoint: Endpoint, port: int, seconds_max: float | None) -> list[Place]:
        """Where a host is: every address checked before any is used."""
        with checked():
            places = self.lookup(endpoint.host, port, seconds_max)
        if not places:
            raise socket.gaierror(socket.EAI_NONAME, "the host has no address")
        for _, place in places:
            self.egress.permit(ipaddress.ip_address(place[0]), port, endpoint)
        demand = endpoint.demand
        if demand is None:
            return places
        led = self.tunnels.check_all(demand, [ipaddress.ip_address(place[0]) for _, place in places])
        return [each for each in places if ipaddress.ip_address(each[1][0]) in led]

    def _connected(self, endpoint: Endpoint, port: int, seconds_max: float | None) -> BoundedSocket:
        places = self._places(endpoint, port, seconds_max)
        return _first(places, lambda place: self._dialled(place, endpoint.demand, seconds_max))

    def _dialled(self, place: Place, demand: Via | None, seconds_max: float | None) -> BoundedSocket:
        family, address = place
        line = BoundedSocket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            line.settimeout(seconds_max)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if demand is not None:
                self.tunnels.hold(demand, line)
            with checked():
                line.connect(address)
        except BaseException:
            line.close()
            raise
        return line

    def _by_proxy(self, endpoint: Endpoint, proxy: Proxy, port: int, seconds_max: float | None) -> BoundedSocket:
        """Whether the name may be reached is decided here. Where the proxy looks it up, its address is the proxy's to
        know; where this machine does, the proxy is given the address that was checked.
        """
        by_name = proxy.looks_up and literal(endpoint.host) is None
        targets = [endpoint.host] if by_name else [each[0] for _, each in self._places(endpoint, port, seconds_max)]
        return _first(targets, lambda target: self._asked(proxy, target, port, seconds_max))

    def _asked(self, proxy: Proxy, target: str, port: int, seconds_max: float | None) -> BoundedSocket:
        """A connection to the proxy, at an address that was checked like any other, and through it."""
        password = self._password(proxy)
        own = Endpoint.of_proxy(proxy)
        line = self.declaring([own])._connected(own, proxy.place[1], seconds_max)
        speak = handshakes.connect if proxy.scheme == "http" else handshakes.socks5
        try:
            speak(line, target, port, proxy.user, password)
        except BaseException:
            line.close()
            raise
        return line

    def _password(self, proxy: Proxy) -> Secret | None:
        if proxy.password is None:
            return None
        if self.follow is None:
            raise ProxyRefused("the proxy's password cannot be looked up here", hint="open a workspace for it")
        return self.follow(proxy.password)


def _first(targets: Sequence[T], make: Callable[[T], BoundedSocket]) -> BoundedSocket:
    """The first that can be connected to. Raises the error of the last if none can."""
    for target in targets[:-1]:
        with contextlib.suppress(OSError):
            return make(target)
    return make(targets[-1])

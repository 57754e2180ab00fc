"""The one way out: a host is looked up once, every address is checked, and the connection goes to the one checked.

TLS and the Host header keep the host's name; only where the packets go is fixed. A name server that gives another
answer the next time (DNS rebinding) is not asked a next time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from rowkeeper.endpoints import Endpoint, Proxy, literal
from rowkeeper.errors import ProxyRefused
from rowkeeper.resilience.sockets import BoundedSocket
from rowkeeper.security.egress import handshakes
from rowkeeper.security.egress.lookup import Lookup, Place, look_up
from rowkeeper.security.egress.passing import checked
from rowkeeper.security.egress.policy import Egress
from rowkeeper.security.egress.settled import by_way_of
from rowkeeper.security.secret import Secret

T = TypeVar("T")

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
    """

    egress: Egress
    proxy: Proxy | None = None
    follow: Follow | None = dataclasses.field(default=None, repr=False, compare=False)
    lookup: Lookup = dataclasses.field(default=look_up, repr=False, compare=False)

    def declaring(self, endpoints: Iterable[Endpoint]) -> Gateway:
        """The same, with more endpoints: for a connector, its own."""
        return dataclasses.replace(self, egress=self.egress.declaring(endpoints))

    def checked_addresses(self, host: str, port: int, *, seconds_max: float | None = None) -> tuple[str, ...]:
        """The addresses of a declared host, all of which may be reached: for drivers that make their own connections.

        Raises as `connect`; what a driver connects to goes by no proxy.
        """
        endpoint = self.egress.place(host, port)
        return tuple(place[0] for _, place in self._places(endpoint, port, seconds_max))

    def checked_address(self, host: str, port: int) -> str:
        """The first of `checked_addresses`."""
        return self.checked_addresses(host, port)[0]

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
        return _connected(self._places(endpoint, port, seconds_max), seconds_max)

    def _places(self, endpoint: Endpoint, port: int, seconds_max: float | None) -> list[Place]:
        """Where a host is: every address checked before any is used."""
        with checked():
            places = self.lookup(endpoint.host, port, seconds_max)
        if not places:
            raise socket.gaierror(socket.EAI_NONAME, "the host has no address")
        for _, place in places:
            self.egress.permit(ipaddress.ip_address(place[0]), port, endpoint)
        return places

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
        line = _connected(
            dataclasses.replace(self, egress=self.egress.declaring([own]))._places(own, proxy.place[1], seconds_max),
            seconds_max,
        )
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


def _connected(places: list[Place], seconds_max: float | None) -> BoundedSocket:
    return _first(places, lambda place: _dialled(place, seconds_max))


def _dialled(place: Place, seconds_max: float | None) -> BoundedSocket:
    family, address = place
    line = BoundedSocket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        line.settimeout(seconds_max)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with checked():
            line.connect(address)
    except BaseException:
        line.close()
        raise
    return line


def _first(targets: Sequence[T], make: Callable[[T], BoundedSocket]) -> BoundedSocket:
    """The first that can be connected to. Raises the error of the last if none can."""
    for target in targets[:-1]:
        with contextlib.suppress(OSError):
            return make(target)
    return make(targets[-1])

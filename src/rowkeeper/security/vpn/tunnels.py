"""Tunnels: whether a place can be reached by the interface that it demands, and connections bound to that.

What is asked before each connection, in this order; each step raises or returns nothing:

    1. the interface is there and up                          VpnDown
    2. the route to the address leaves by it                  VpnBypassed
    3. of WireGuard: one of its peers is for the address      VpnBypassed
    4. that peer's handshake is not too old                   VpnStale

Then the socket is bound to the interface (SO_BINDTODEVICE), so that a route that changes a moment later cannot lead
its packets elsewhere: they are not sent at all.

A tunnel that nobody used for a while has an old handshake and is sound. So before a handshake is called stale a single
byte is sent into the tunnel, which makes WireGuard greet its peer, and some seconds are given to the answer.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from rowkeeper.endpoints import Via
from rowkeeper.endpoints.host import Address
from rowkeeper.errors import VpnBypassed, VpnDown, VpnRefused, VpnStale
from rowkeeper.logs import logger
from rowkeeper.protocols import Connection
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.security.egress.passing import checked
from rowkeeper.security.vpn.kernel import Kernel, Link, Peer, ThisMachine

KNOCK_SECONDS_MAX = 6.0  # WireGuard tries again after 5 s (REKEY_TIMEOUT)
KNOCK_EVERY_SECONDS = 0.1
DISCARD_PORT = 9  # RFC 863
log = logger("vpn")


class Tunnels:
    """The interfaces by which this process connects.

    Args:
        kernel: what is asked of the machine.
        clock: seconds since 1970, as WireGuard counts them.
        knock_seconds_max: how long an answer to a knock is waited for.
    """

    def __init__(
        self,
        kernel: Kernel | None = None,
        clock: Callable[[], float] = time.time,
        knock_seconds_max: float = KNOCK_SECONDS_MAX,
    ) -> None:
        self._knock_seconds_max = knock_seconds_max
        self._kernel = kernel or ThisMachine()
        self._clock = clock
        self._lock = threading.Lock()
        self._held: list[tuple[str, weakref.ref[Any], int]] = []  # interface, connection, number of its socket

    def check(self, via: Via, address: Address) -> None:
        """Returns if an address is reached by the interface that it demands.

        Raises VpnDown, VpnBypassed, VpnStale or VpnUnseen.
        """
        link = self._link(via, address)
        try:
            self._check_way(via, address)
            if link.is_wireguard and via.handshake_seconds_max is not None:
                self._check_handshake(via, via.handshake_seconds_max, address)
        except VpnRefused:
            self._link(via, address)  # an interface that is being taken away loses its routes and its peers first
            raise

    def _check_way(self, via: Via, address: Address) -> None:
        leaves_by = self._kernel.leaves_by(address)
        if leaves_by != via.interface:
            way = f"its route leaves by {leaves_by}" if leaves_by else "no route leads to it"
            raise VpnBypassed(
                f"{address} is reached by {via} alone, and {way}",
                hint=f"see to the routes: ip route get {address}; with wg-quick allowed_ips of the peer make them",
                context={"interface": via.interface, "leaves_by": leaves_by},
            )

    def check_all(self, via: Via, addresses: Sequence[Address]) -> list[Address]:
        """Those of a host's addresses that a route leads to, each checked; no other interface leads to any of them.

        A host with addresses of both families may have a tunnel, and a way at all, for one of them.

        Raises as `check`; as for the first where no route leads to any.
        """
        led = self.led(addresses)
        for address in led:
            self.check(via, address)
        return led

    def led(self, addresses: Sequence[Address]) -> list[Address]:
        """Those that any route leads to; the first, where none leads to any."""
        return [each for each in addresses if self._kernel.leaves_by(each) is not None] or list(addresses[:1])

    def hold(self, via: Via, line: Connection) -> None:
        """Binds a connection to its interface, and remembers it for `sever`. What has gone is forgotten."""
        descriptor = os.dup(line.fileno())  # the driver's own stays the driver's
        with socket.socket(fileno=descriptor) as same:
            number = os.fstat(descriptor).st_ino
            try:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, via.interface.encode() + b"\0")
            except PermissionError:  # before Linux 5.7, or inside some containers
                log.warning("not bound to its interface: this process may not", interface=via.interface)
            except OSError as error:
                raise VpnDown(
                    f"a connection cannot be bound to {via}: {error.strerror}",
                    hint=f"wg-quick up {via}, then run again",
                    context={"interface": via.interface},
                ) from error
        with self._lock:
            self._held = [each for each in self._held if each[1]() is not None]
            self._held.append((via.interface, weakref.ref(line), number))

    def sever(self, interface: str) -> int:
        """Ends the connections by an interface that is gone, so that nobody waits for answers. Returns how many."""
        with self._lock:
            lines = [(line(), number) for name, line, number in self._held if name == interface]
            self._held = [each for each in self._held if each[0] != interface]
        return sum(_shut(line, number) for line, number in lines if line is not None)

    def _link(self, via: Via, address: Address) -> Link:
        link = self._kernel.link(via.interface)
        if link is not None and link.is_up:
            return link
        raise VpnDown(
            f"{address} is reached by {via} alone, and {via} is {'down' if link else 'not there'}",
            hint=f"wg-quick up {via}, then run again",
            context={"interface": via.interface},
        )

    def _check_handshake(self, via: Via, seconds_max: float, address: Address) -> None:
        peer = self._peer_for(via, address)
        if self._age(peer) <= seconds_max:
            return
        _knock(via.interface, address)
        until = time.monotonic() + (seconds_left(self._knock_seconds_max) or 0.0)
        while time.monotonic() < until:
            time.sleep(KNOCK_EVERY_SECONDS)  # WireGuard tells nobody when a handshake has succeeded
            peer = self._peer_for(via, address)
            if self._age(peer) <= seconds_max:
                return
        age = self._age(peer)
        heard = "never had a handshake" if age == float("inf") else f"had its last handshake {age:,.0f} s ago"
        raise VpnStale(
            f"{address} is reached by {via} alone, and its peer {peer.public_key[:8]}... {heard}",
            hint=f"rowkeeper vpn check; wg show {via}; see whether the peer is up and can be reached",
            context={"interface": via.interface},
        )

    def _peer_for(self, via: Via, address: Address) -> Peer:
        """The peer that packets to an address are encrypted for: whose network around it is the narrowest."""
        found = [
            (network.prefixlen, number, peer)
            for number, peer in enumerate(self._kernel.peers(via.interface))
            for network in peer.networks
            if address in network
        ]
        if not found:
            raise VpnBypassed(
                f"{address} is reached by {via} alone, and no peer of {via} is for it",
                hint="add the address, or a network around it, to allowed_ips of the peer",
                context={"interface": via.interface},
            )
        return max(found)[2]

    def _age(self, peer: Peer) -> float:
        """Seconds since the last handshake; infinite where there was none."""
        return float("inf") if peer.handshake_at is None else max(0.0, self._clock() - peer.handshake_at)


def _knock(interface: str, address: Address) -> None:
    """Sends one byte to the discard port of an address, by this interface and no other."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as line, checked(), contextlib.suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        line.sendto(b"\0", (str(address), DISCARD_PORT))


def _shut(line: Any, number: int) -> bool:
    """Ends a connection that somebody else works with; False if it is closed already.

    Who works with it may close it in between, and then its descriptor is another socket's, which is left alone.
    """
    if getattr(line, "closed", False) or (descriptor := line.fileno()) < 0:
        return False
    try:
        copy = os.dup(descriptor)
    except OSError:
        return False
    with socket.socket(fileno=copy) as same:
        if os.fstat(copy).st_ino != number:
            return False
        with contextlib.suppress(OSError):
            same.shutdown(socket.SHUT_RDWR)
    return True

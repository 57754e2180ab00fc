"""Endpoint: one place on the network that may be reached."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Literal, Self

from rowkeeper.endpoints.host import canonical_host, is_loopback_name, literal
from rowkeeper.endpoints.proxy import Proxy
from rowkeeper.endpoints.via import Via
from rowkeeper.errors import DeclarationError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Protocol = Literal["tcp", "udp"]
PROTOCOLS = ("tcp", "udp")
PORT_MAX = 65_535
DIRECT = "direct"


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """A declaration that a host, an address or a network may be reached.

    Args:
        host: a name, an address, or a network such as `10.1.2.0/24`.
        port: None is any port.
        protocol: `tcp` or `udp`.
        private: it is meant to lie in a private network (10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7); of an
            address or a network: to be what it is, whatever its kind. Without it only public addresses are reached, and
            loopback where the host is `localhost` or a loopback address.
        why: what it is for, for whoever reads the list.
        proxy: the proxy by which it is reached, `rk.Proxy("socks5h://proxy:1080")`, or `direct`; None is the proxy of
            the settings, if one is set and this is a public host.
        via: the interface by which alone it is reached, such as `wg0`, or an `rk.Via`; None is any.

    Raises:
        DeclarationError: it is no host, port or protocol.
    """

    host: str
    port: int | None
    protocol: Protocol = "tcp"
    private: bool = dataclasses.field(default=False, kw_only=True)
    why: str = dataclasses.field(default="", kw_only=True, compare=False)
    proxy: Proxy | Literal["direct"] | None = dataclasses.field(default=None, kw_only=True)
    via: Via | str | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.host, str):
            raise DeclarationError(f"{self.host!r} cannot be a host", hint='a text: rk.Endpoint("db.internal", 5432)')
        object.__setattr__(self, "host", _network(self.host) if "/" in self.host else canonical_host(self.host))
        if self.port is not None and not (type(self.port) is int and 0 < self.port <= PORT_MAX):
            raise DeclarationError(
                f"{self.port!r} cannot be a port of {self.host}", hint=f"a number from 1 to {PORT_MAX}"
            )
        if self.protocol not in PROTOCOLS:
            raise DeclarationError(f"{self.protocol!r} is no protocol of {self.host}", hint="tcp or udp")
        if self.proxy not in (None, DIRECT) and not isinstance(self.proxy, Proxy):
            raise DeclarationError(
                f"the proxy of {self.host} is none", hint='rk.Proxy("socks5h://proxy:1080"), "direct"'
            )
        if isinstance(self.proxy, Proxy) and self.is_loopback:
            raise DeclarationError(
                f"{self.host} cannot be reached by a proxy", hint="to the proxy it is another machine: the proxy itself"
            )

        if self.via is not None:
            object.__setattr__(self, "via", Via.of(self.via))
            if isinstance(self.proxy, Proxy):
                raise DeclarationError(
                    f"{self.host} is to be reached by a proxy and via {self.via}: nobody connects to it from here",
                    hint="leave one of them out",
                )

    @classmethod
    def of_proxy(cls, proxy: Proxy) -> Self:
        """Where a proxy is itself: often in the house, so a private address is meant."""
        host, port = proxy.place
        return cls(host, port, private=True, why="the proxy")

    @property
    def network(self) -> Network | None:
        """What it covers if it is an address or a network; None for a name."""
        if "/" in self.host:
            return ipaddress.ip_network(self.host)
        address = literal(self.host)
        return None if address is None else ipaddress.ip_network(address)

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine by its very name or address."""
        network = self.network
        return is_loopback_name(self.host) if network is None else network.is_loopback

    @property
    def demand(self) -> Via | None:
        """The interface by which alone it is reached."""
        return None if self.via is None else Via.of(self.via)

    def is_of(self, port: int | None, protocol: str) -> bool:
        """Whether a port is meant; one that is not known yet (None) may be."""
        return self.protocol == protocol and (port is None or self.port is None or self.port == port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{'*' if self.port is None else self.port}" + ("/udp" if self.protocol == "udp" else "")

    def document(self) -> dict[str, object]:
        """As JSON values. `proxy` is where the connection really goes; None is to the endpoint itself."""
        return {
            "host": self.host,
            "port": self.port,
            "protocol": self.protocol,
            "private": self.private,
            "proxy": None if self.proxy in (None, DIRECT) else str(self.proxy),
            "via": None if self.via is None else str(self.via),
            "why": self.why,
        }


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise DeclarationError(
            f"{text!r} is no network", hint="an address and its length, the rest zeros: 10.1.2.0/24"
        ) from None

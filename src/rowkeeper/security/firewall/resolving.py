"""From declared endpoints to addresses: firewalls know no names, so names are looked up when rules are rendered."""

from __future__ import annotations

import ipaddress
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from rowkeeper.endpoints import Endpoint, Proxy
from rowkeeper.endpoints.host import Address
from rowkeeper.errors import NameUnresolved
from rowkeeper.security.firewall.wall import Gap, Network, Scope, Wall, plain

Lookup = Callable[[str], Sequence[Address]]
"""Gives the addresses of a name; none, or an OSError, of one that has none."""
RESOLV_CONF = Path("/etc/resolv.conf")
Way = tuple[str, int | None, str | None]  # protocol, port, interface


def addresses_of(name: str) -> list[Address]:
    """What this machine's resolver says of a name: its hosts file, then DNS."""
    found = socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)
    return [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]


def nameservers(path: Path = RESOLV_CONF) -> list[Address]:
    """The nameservers of a resolv.conf, in their order; none where there is no such file.

    The C library asks loopback if the file names none.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word != "nameserver":
            continue
        try:
            found.append(ipaddress.ip_address(rest.split()[0].partition("%")[0]))
        except (ValueError, IndexError):
            continue  # the C library passes over it as well
    return found


def wall_of(
    endpoints: Iterable[Endpoint], scope: Scope, *, lookup: Lookup, servers: Sequence[Address], now: datetime
) -> Wall:
    """The wall that lets these endpoints out.

    What is reached by a proxy needs no gap of its own: the proxy has one, being an endpoint itself.

    Raises NameUnresolved for the first name that has no address: rules without it would cut it off silently.
    """
    ways: dict[Way, dict[Network, list[str]]] = defaultdict(lambda: defaultdict(list))
    names: dict[str, list[Address]] = {}
    local = []
    for endpoint in endpoints:
        if isinstance(endpoint.proxy, Proxy):
            continue
        if endpoint.is_loopback:
            local.append(endpoint)
            continue
        network = endpoint.network
        if network is None and endpoint.host not in names:
            names[endpoint.host] = _looked_up(endpoint, lookup)
        interface = None if endpoint.demand is None else endpoint.demand.interface
        reason = endpoint.why if network is not None else f"{endpoint.host}: {endpoint.why}"
        for each in [network] if network is not None else map(ipaddress.ip_network, names[endpoint.host]):
            ways[endpoint.protocol, endpoint.port, interface][each].append(reason)
    gaps = [Gap(*way, _apart(ways[way])) for way in sorted(ways, key=lambda way: (way[0], way[1] or 0, way[2] or ""))]
    elsewhere = [each for each in dict.fromkeys(servers) if not each.is_loopback]
    return Wall(scope, gaps, names, elsewhere, local, now)


def _looked_up(endpoint: Endpoint, lookup: Lookup) -> list[Address]:
    try:
        found = sorted(set(lookup(endpoint.host)), key=lambda each: (each.version, int(each)))
    except OSError:
        found = []
    if not found:
        raise NameUnresolved(
            f"{endpoint.host} has no address, so no rule can let it out ({endpoint.why or 'declared'})",
            hint="correct the name where it is declared, or render where DNS and /etc/hosts know it",
            context={"host": endpoint.host},
        )
    return found


def _apart(reasons: dict[Network, list[str]]) -> dict[Network, str]:
    """The networks without those that lie in another, whose reasons go to that one: sets refuse overlaps."""
    kept: dict[Network, list[str]] = {}
    for network in sorted(reasons, key=lambda each: (each.version, int(each.network_address), each.prefixlen)):
        last = next(reversed(kept), None)
        around = last if last is not None and _lies_in(network, last) else network
        kept.setdefault(around, []).extend(reasons[network])
    return {network: plain("; ".join(dict.fromkeys(filter(None, whys)))) for network, whys in kept.items()}


def _lies_in(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False

"""`rowkeeper vpn check`: what is wrong with the VPN, and the mend: plans, interfaces, handshakes, routes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from rowkeeper.endpoints import Endpoint, Via
from rowkeeper.errors import FrameworkError
from rowkeeper.operations.finding import Finding
from rowkeeper.security.firewall import Lookup
from rowkeeper.security.vpn import Kernel, Peer, Tunnels, example_of
from rowkeeper.security.vpn.configuration import Plan
from rowkeeper.security.vpn.rendering import Follow, rendered


def examine_vpn(
    plans: Iterable[Callable[[], Plan]],
    endpoints: Sequence[Endpoint],
    *,
    kernel: Kernel,
    follow: Follow,
    lookup: Lookup,
    clock: Callable[[], float] = time.time,
) -> list[Finding]:
    """Looks at every interface that is planned or demanded, and at the way to every endpoint that demands one.

    Args:
        plans: each reads the plan of one interface.
        lookup: gives the addresses of a name.
    """
    findings, names = [], []
    for read in plans:
        plan, found = _plan(read, follow)
        findings += found
        names += [plan.name] if plan else []
    demanded = [each.demand.interface for each in endpoints if each.demand is not None]
    for name in dict.fromkeys([*names, *demanded]):
        findings += _interface(name, kernel, clock)
    tunnels = Tunnels(kernel, clock)
    for each in endpoints:
        if each.demand is not None:
            findings += _ways(each, each.demand, tunnels, lookup)
    return findings or [Finding("vpn", True, "no interface is planned ([vpn.wg0]) and no endpoint demands one (via)")]


def _plan(read: Callable[[], Plan], follow: Follow) -> tuple[Plan | None, list[Finding]]:
    try:
        plan = read()
        rendered(plan, follow)
    except FrameworkError as error:
        return None, [Finding("configuration", False, error.what, error.hint)]
    told = f"[vpn.{plan.name}] is valid: {len(plan.peers)} peer{'s' if len(plan.peers) != 1 else ''}"
    notes = [
        Finding("configuration", True, f"[vpn.{plan.name}] {note}", "see whether that is meant") for note in plan.notes
    ]
    return plan, [Finding("configuration", True, told), *notes]


def _interface(name: str, kernel: Kernel, clock: Callable[[], float]) -> list[Finding]:
    link = kernel.link(name)
    if link is None or not link.is_up:
        return [Finding("interface", False, f"{name} is {'down' if link else 'not there'}", f"wg-quick up {name}")]
    if not link.is_wireguard:
        return [Finding("interface", True, f"{name} is up; it is no WireGuard, so it has no handshakes")]
    try:
        peers = kernel.peers(name)
    except FrameworkError as error:
        return [Finding("interface", True, f"{name} is up"), Finding("handshake", False, error.what, error.hint)]
    if not peers:
        return [Finding("interface", False, f"{name} has no peers", "rowkeeper vpn render, then wg-quick up " + name)]
    return [Finding("interface", True, f"{name} is up"), *(_handshake(name, each, clock()) for each in peers)]


def _handshake(name: str, peer: Peer, now: float) -> Finding:
    """An old handshake is no fault by itself: a tunnel that is not used has one. What is declared is tried below."""
    who = f"{name}, peer {peer.public_key[:8]}..."
    if peer.handshake_at is None:
        return Finding("handshake", True, f"{who}: none yet", f"if it is meant to be up: wg show {name}")
    return Finding("handshake", True, f"{who}: {max(0.0, now - peer.handshake_at):,.0f} s ago")


def _ways(endpoint: Endpoint, via: Via, tunnels: Tunnels, lookup: Lookup) -> list[Finding]:
    if endpoint.network is not None:
        addresses = [example_of(endpoint.network)]
    else:
        try:
            addresses = list(dict.fromkeys(lookup(endpoint.host)))
        except FrameworkError as error:
            return [Finding("route", False, error.what, error.hint)]
        except OSError:
            addresses = []
    if not addresses:
        return [Finding("route", False, f"{endpoint.host} has no address", "see to DNS and /etc/hosts")]
    try:
        found = tunnels.check_all(via, addresses)
    except FrameworkError as error:
        return [Finding("route", False, f"{endpoint} ({endpoint.why}): {error.what}", error.hint)]
    told = ", ".join(map(str, found))
    return [Finding("route", True, f"{endpoint} ({endpoint.why}): {told} by {via}")]

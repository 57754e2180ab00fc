"""WireGuard configuration as it stands in the settings, read strictly: every fault at once, each with its mend.

    [vpn.wg0]
    address = "10.83.0.1/24"
    private_key = "file:/etc/rowkeeper/wg0.key"

    [[vpn.wg0.peers]]
    name = "warehouse"
    public_key = "..."
    endpoint = "vpn.example.com:51820"
    allowed_ips = ["10.83.0.0/24"]
    keepalive = 25

What the words mean is wg(8)'s and wg-quick(8)'s; a key that is secret is a reference.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import ipaddress
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rowkeeper.configuration.reference import parse
from rowkeeper.endpoints import Via, endpoint_from
from rowkeeper.endpoints.host import canonical_host
from rowkeeper.errors import DeclarationError, VpnMisconfigured
from rowkeeper.nearest import did_you_mean

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
KEY_BYTES = 32
PORT_MAX = 65_535
MTU_MIN = 1_280  # what IPv6 asks of a link
OF_INTERFACE = ("address", "private_key", "listen_port", "mtu", "dns", "peers")
OF_PEER = ("name", "public_key", "endpoint", "allowed_ips", "keepalive", "preshared_key")


@dataclasses.dataclass(frozen=True, slots=True)
class PeerPlan:
    """A peer, as it is declared. `preshared_key` is a reference; `endpoint` is `host:port`."""

    label: str
    public_key: str
    allowed_ips: tuple[Network, ...]
    endpoint: str | None = None
    keepalive_seconds: int | None = None
    preshared_key: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """An interface, as it is declared. `private_key` is a reference.

    Attributes:
        notes: what is allowed, and worth knowing.
    """

    name: str
    addresses: tuple[Interface, ...]
    private_key: str
    peers: tuple[PeerPlan, ...]
    listen_port: int | None = None
    mtu: int | None = None
    dns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Place = Callable[[tuple[str, ...]], str]
"""Where something is set, as `rowkeeper.toml:12`, by its keys below `vpn`."""


@dataclasses.dataclass
class _Reading:
    """A table being read: gives values of the right form, and takes down what is wrong."""

    table: Mapping[str, Any]
    where: str
    faults: list[str]

    def fault(self, key: str, what: str, mend: str) -> None:
        self.faults.append(f"{self.where} {key}: {what}; {mend}")

    def unknown(self, known: Sequence[str]) -> None:
        for key in self.table:
            if key not in known:
                self.fault(key, "there is no such key", did_you_mean(key, known, f"known are {', '.join(known)}"))

    def missing(self, key: str, mend: str) -> bool:
        if key in self.table:
            return False
        self.fault(key, "it is missing", mend)
        return True

    def number(self, key: str, least: int, most: int) -> int | None:
        value = self.table.get(key)
        if value is None or (type(value) is int and least <= value <= most):
            return value
        self.fault(key, "it is no such number", f"a whole number from {least} to {most}")
        return None

    def texts(self, key: str) -> list[str]:
        value = self.table.get(key, [])
        listed = [each.strip() for each in value.split(",")] if isinstance(value, str) else value
        if isinstance(listed, list) and all(isinstance(each, str) for each in listed):
            return listed
        self.fault(key, "it is no list of texts", f'{key} = ["..."]')
        return []

    def reference(self, key: str) -> str | None:
        """Raises SecretLiteral for a key that stands there itself."""
        value = self.table.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            self.fault(key, "it is no reference", f'{key} = "file:/etc/rowkeeper/{key}"')
            return None
        parse(value, f"{self.where} {key}")
        return value


def key_fault(key: str) -> str:
    """What is wrong with a WireGuard key, without telling it; empty if nothing is."""
    try:
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return "it is no base64"
    if len(raw) != KEY_BYTES:
        return f"it has {len(raw)} bytes, and a key has {KEY_BYTES}"
    return "" if any(raw) else "all of its bits are zero"


def read_plan(name: str, table: object, place: Place) -> Plan:
    """The plan for one interface.

    Raises:
        VpnMisconfigured: with everything that is wrong.
        SecretLiteral: a key stands where a reference to one belongs.
    """
    faults: list[str] = []
    where = f"{place((name,))}: [vpn.{name}]"
    try:
        Via(name)
    except DeclarationError as error:
        faults.append(f"{where}: {error.what}; {error.hint}")
    if not isinstance(table, Mapping):
        raise _misconfigured([f"{where}: it is no table; [vpn.{name}] begins one"])
    reading = _Reading(table, where, faults)
    reading.unknown(OF_INTERFACE)
    if not reading.missing("private_key", f'private_key = "file:/etc/rowkeeper/{name}.key", made by wg genkey'):
        private_key = reading.reference("private_key")
    else:
        private_key = None
    addresses = _addresses(reading)
    plan = Plan(
        name,
        addresses,
        private_key or "",
        tuple(_peers(name, table, place, faults)),
        listen_port=reading.number("listen_port", 1, PORT_MAX),
        mtu=reading.number("mtu", MTU_MIN, PORT_MAX),
        dns=tuple(_dns(reading)),
    )
    notes = _compare(plan, where, faults)
    if faults:
        raise _misconfigured(faults)
    return dataclasses.replace(plan, notes=tuple(notes))


def _misconfigured(faults: Sequence[str]) -> VpnMisconfigured:
    return VpnMisconfigured(
        "the VPN cannot be configured like this: " + " | ".join(faults), hint="correct each of them in rowkeeper.toml"
    )


def _addresses(reading: _Reading) -> tuple[Interface, ...]:
    if reading.missing("address", 'address = "10.83.0.1/24": this machine\'s own inside the tunnel'):
        return ()
    found = []
    for text in reading.texts("address"):
        try:
            found.append(ipaddress.ip_interface(text))
        except ValueError:
            reading.fault("address", f"{text!r} is no address with a length", "such as 10.83.0.1/24")
    return tuple(found)


def _dns(reading: _Reading) -> Iterable[str]:
    for text in reading.texts("dns"):
        try:
            yield canonical_host(text)
        except DeclarationError as error:
            reading.fault("dns", error.what, error.hint)


def _peers(name: str, table: Mapping[str, Any], place: Place, faults: list[str]) -> Iterable[PeerPlan]:
    given = table.get("peers", [])
    if not given or not isinstance(given, list) or not all(isinstance(each, Mapping) for each in given):
        faults.append(f"{place((name,))}: [vpn.{name}] peers: there is none; [[vpn.{name}.peers]] begins one")
        return
    for number, peer in enumerate(given, 1):
        label = str(peer.get("name", f"peer {number}"))
        reading = _Reading(peer, f"{place((name, 'peers'))}: [[vpn.{name}.peers]] number {number},", faults)
        reading.unknown(OF_PEER)
        yield PeerPlan(
            label,
            _public_key(reading),
            tuple(_allowed_ips(reading)),
            _endpoint(reading),
            reading.number("keepalive", 1, PORT_MAX),
            reading.reference("preshared_key"),
        )


def _public_key(reading: _Reading) -> str:
    if reading.missing("public_key", "the peer tells it: wg pubkey < its private key"):
        return ""
    key = reading.table["public_key"]
    wrong = key_fault(key) if isinstance(key, str) else "it is no text"
    if wrong:
        reading.fault("public_key", wrong, "44 letters in base64, as wg pubkey prints them")
    return str(key)


def _allowed_ips(reading: _Reading) -> Iterable[Network]:
    if reading.missing("allowed_ips", 'allowed_ips = ["10.83.0.0/24"]: what is sent to this peer'):
        return
    for text in reading.texts("allowed_ips"):
        try:
            yield ipaddress.ip_network(text)
        except ValueError:
            reading.fault("allowed_ips", f"{text!r} is no network", _mend_of_network(text))


def _mend_of_network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "such as 10.83.0.0/24, or 10.83.0.2/32 for one machine"
    address = text.partition("/")[0]
    return f"{network} for all of it, {address}/{network.max_prefixlen} for the one machine"


def _endpoint(reading: _Reading) -> str | None:
    text = reading.table.get("endpoint")
    if text is None:
        return None
    try:
        found = endpoint_from(text) if isinstance(text, str) else None
    except DeclarationError as error:
        reading.fault("endpoint", error.what, error.hint)
        return None
    if found is None or found.port is None or "/" in found.host or "://" in str(text):
        reading.fault("endpoint", "it is no host with a port", 'endpoint = "vpn.example.com:51820"')
        return None
    return str(found)


def _compare(plan: Plan, where: str, faults: list[str]) -> list[str]:
    """What only shows when peers stand beside each other."""
    notes = []
    for one, other in itertools.combinations(plan.peers, 2):
        if one.public_key and one.public_key == other.public_key:
            faults.append(f"{where}: {one.label} and {other.label} have one public_key; each peer has its own")
        for narrow, wide in itertools.product(one.allowed_ips, other.allowed_ips):
            if narrow == wide:
                faults.append(
                    f"{where}: {one.label} and {other.label} both have {narrow} in allowed_ips; WireGuard would send "
                    f"it to {other.label} alone: take it from one of them"
                )
            elif narrow.version == wide.version and narrow.overlaps(wide):
                inner, owner = (narrow, one) if narrow.prefixlen > wide.prefixlen else (wide, other)
                notes.append(f"{inner} goes to {owner.label}, though it lies in a network of the other peer as well")
    silent = [each.label for each in plan.peers if each.endpoint and each.keepalive_seconds is None]
    notes += [
        f"{label} has no keepalive: behind a router that translates addresses it cannot be heard of when it is quiet; "
        "keepalive = 25"
        for label in silent
    ]
    return notes

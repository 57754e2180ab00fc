"""What an address is: public, of this machine, of the house, a cloud's metadata service, or something in disguise.

The registries are IANA's, for IPv4 and for IPv6 special-purpose addresses. Python's `is_global` is not enough: it knows
nothing of metadata services, and not of every IPv6 form that carries an IPv4 address inside.
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address


class Kind(enum.StrEnum):
    """What becomes of an address, in the order of how little is allowed.

    PUBLIC is reached where the host is declared. PRIVATE needs `private=True` as well, LOOPBACK a host that is this
    machine by its name, or either a declared network that holds the address; LINK_LOCAL and SPECIAL such a network,
    METADATA the exact address. NEVER is reached by nobody.
    """

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    SPECIAL = "special"
    METADATA = "metadata"
    NEVER = "never"


@dataclasses.dataclass(frozen=True, slots=True)
class Nature:
    """What an address is.

    Attributes:
        kind: what becomes of it.
        what: in words, for messages.
        inside: the IPv4 addresses that it carries, where it would lead to them.
    """

    kind: Kind
    what: str
    inside: tuple[IPv4Address, ...] = ()


# Where a virtual machine or a container gets its credentials, by the documentation of each cloud.
METADATA = {
    ipaddress.ip_address(text): cloud
    for text, cloud in {
        "169.254.169.254": "AWS, Azure, Google, Oracle, DigitalOcean, Hetzner and OpenStack",
        "169.254.170.2": "AWS, for containers",
        "169.254.170.23": "AWS, for pods",
        "169.254.42.42": "Scaleway",
        "169.254.0.23": "Tencent",
        "100.100.100.200": "Alibaba",
        "168.63.129.16": "Azure's host",
        "192.0.0.192": "Oracle, the former",
        "fd00:ec2::254": "AWS",
        "fd00:ec2::23": "AWS, for pods",
        "fd20:ce::254": "Google",
        "fd00:42::42": "Scaleway",
    }.items()
}

# The first network that holds the address decides.
V4: tuple[tuple[IPv4Network, Kind, str], ...] = tuple(
    (IPv4Network(network), kind, what)
    for network, kind, what in (
        ("0.0.0.0/8", Kind.NEVER, "unspecified, which is this machine in disguise (RFC 1122)"),
        ("10.0.0.0/8", Kind.PRIVATE, "private (RFC 1918)"),
        ("100.64.0.0/10", Kind.PRIVATE, "shared by a carrier's customers (RFC 6598)"),
        ("127.0.0.0/8", Kind.LOOPBACK, "loopback"),
        ("169.254.0.0/16", Kind.LINK_LOCAL, "link-local (RFC 3927)"),
        ("172.16.0.0/12", Kind.PRIVATE, "private (RFC 1918)"),
        ("192.0.0.0/24", Kind.SPECIAL, "for protocols of the IETF (RFC 6890)"),
        ("192.0.2.0/24", Kind.SPECIAL, "for documentation (RFC 5737)"),
        ("192.88.99.0/24", Kind.SPECIAL, "for relays of 6to4 (RFC 7526)"),
        ("192.168.0.0/16", Kind.PRIVATE, "private (RFC 1918)"),
        ("198.18.0.0/15", Kind.SPECIAL, "for benchmarks (RFC 2544)"),
        ("198.51.100.0/24", Kind.SPECIAL, "for documentation (RFC 5737)"),
        ("203.0.113.0/24", Kind.SPECIAL, "for documentation (RFC 5737)"),
        ("224.0.0.0/4", Kind.NEVER, "multicast"),
        ("255.255.255.255/32", Kind.NEVER, "broadcast"),
        ("240.0.0.0/4", Kind.SPECIAL, "reserved (RFC 1112)"),
        ("0.0.0.0/0", Kind.PUBLIC, "public"),
    )
)

V6: tuple[tuple[IPv6Network, Kind, str], ...] = tuple(
    (IPv6Network(network), kind, what)
    for network, kind, what in (
        ("::/128", Kind.NEVER, "unspecified, which is this machine in disguise"),
        ("::1/128", Kind.LOOPBACK, "loopback"),
        ("::/96", Kind.SPECIAL, "IPv4-compatible (RFC 4291)"),
        ("::ffff:0:0:0/96", Kind.SPECIAL, "IPv4-translated (RFC 2765)"),
        ("64:ff9b::/96", Kind.SPECIAL, "translated by NAT64 (RFC 6052)"),
        ("64:ff9b:1::/48", Kind.SPECIAL, "translated by a local NAT64 (RFC 8215)"),
        ("100::/64", Kind.SPECIAL, "to be discarded (RFC 6666)"),
        ("100:0:0:1::/64", Kind.SPECIAL, "a dummy (RFC 9780)"),
        ("2001::/32", Kind.SPECIAL, "a Teredo tunnel (RFC 4380)"),
        ("2001::/23", Kind.SPECIAL, "for protocols of the IETF (RFC 2928)"),
        ("2001:db8::/32", Kind.SPECIAL, "for documentation (RFC 3849)"),
        ("2002::/16", Kind.SPECIAL, "a 6to4 tunnel (RFC 3056)"),
        ("3fff::/20", Kind.SPECIAL, "for documentation (RFC 9637)"),
        ("5f00::/16", Kind.SPECIAL, "for segment routing (RFC 9602)"),
        ("fc00::/7", Kind.PRIVATE, "unique local (RFC 4193)"),
        ("fe80::/10", Kind.LINK_LOCAL, "link-local"),
        ("fec0::/10", Kind.SPECIAL, "site-local (RFC 3879)"),
        ("ff00::/8", Kind.NEVER, "multicast"),
        ("2000::/3", Kind.PUBLIC, "public"),
        ("::/0", Kind.SPECIAL, "assigned to nobody"),
    )
)

MAPPED = IPv6Network("::ffff:0:0/96")
LAST_32_BITS = tuple(map(IPv6Network, ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")))
LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
TEREDO = IPv6Network("2001::/32")
SIX_TO_FOUR = IPv6Network("2002::/16")
ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214, 6.1: the upper half of the interface's identifier
BITS_32 = 0xFFFF_FFFF


def plain(address: Address) -> Address:
    """The address that is really connected to: without a scope, and an IPv4-mapped one as IPv4."""
    if isinstance(address, IPv4Address):
        return address
    unscoped = IPv6Address(int(address))
    return IPv4Address(int(unscoped) & BITS_32) if unscoped in MAPPED else unscoped


def nature(address: Address) -> Nature:
    """What an address is."""
    address = plain(address)
    if address in METADATA:
        return Nature(Kind.METADATA, f"the metadata service of a cloud ({METADATA[address]})")
    if isinstance(address, IPv4Address):
        return next(Nature(kind, what) for network, kind, what in V4 if address in network)
    kind, what = next((kind, what) for network, kind, what in V6 if address in network)
    inside = tuple(dict.fromkeys(_carried(address)))
    if not inside:
        return Nature(kind, what)
    if (int(address) >> 32) & BITS_32 in ISATAP:
        kind, what = Kind.SPECIAL, "an ISATAP tunnel (RFC 5214)"
    for each in inside:
        if each in METADATA:
            return Nature(Kind.METADATA, f"{what} around {each}, {nature(each).what}", inside)
    return Nature(kind, f"{what} around {inside[0]}", inside)


def _carried(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses inside, wherever this form has them."""
    bits = int(address)
    local = address in LOCAL_NAT64
    if any(address in network for network in LAST_32_BITS) and bits > 1 and not (local and not bits & BITS_32):
        yield IPv4Address(bits & BITS_32)
    split = (bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF
    if local and split:  # RFC 6052, 2.2: after a prefix of 48 bits it stands around the eight bits from 64 on
        yield IPv4Address(split)
    if address in SIX_TO_FOUR:
        yield IPv4Address(bits >> 80 & BITS_32)
    if address in TEREDO:  # the server, then the client with its bits turned
        yield IPv4Address(bits >> 64 & BITS_32)
        yield IPv4Address(bits & BITS_32 ^ BITS_32)
    if bits >> 32 & BITS_32 in ISATAP:
        yield IPv4Address(bits & BITS_32)

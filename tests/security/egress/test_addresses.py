"""What an address is, and so whether a declared host may be at it: one line for each form that has fooled somebody."""

from __future__ import annotations

import ipaddress

import pytest

from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import AddressForbidden
from rowkeeper.security.egress.addresses import Kind, nature
from rowkeeper.security.egress.policy import Egress

PUBLIC, PRIVATE, LOOPBACK = Kind.PUBLIC, Kind.PRIVATE, Kind.LOOPBACK
LINK_LOCAL, SPECIAL, METADATA, NEVER = Kind.LINK_LOCAL, Kind.SPECIAL, Kind.METADATA, Kind.NEVER

ADDRESSES = [
    # ordinary ones, so that the table cannot pass by refusing everything; and neighbours of what is refused
    ("1.1.1.1", PUBLIC),
    ("8.8.8.8", PUBLIC),
    ("9.255.255.255", PUBLIC),
    ("11.0.0.0", PUBLIC),
    ("93.184.216.34", PUBLIC),
    ("100.63.255.255", PUBLIC),
    ("100.128.0.0", PUBLIC),
    ("126.255.255.255", PUBLIC),
    ("128.0.0.0", PUBLIC),
    ("168.63.129.15", PUBLIC),
    ("169.253.255.255", PUBLIC),
    ("169.255.0.0", PUBLIC),
    ("172.15.255.255", PUBLIC),
    ("172.32.0.0", PUBLIC),
    ("192.167.255.255", PUBLIC),
    ("192.169.0.0", PUBLIC),
    ("198.17.255.255", PUBLIC),
    ("198.20.0.0", PUBLIC),
    ("223.255.255.255", PUBLIC),
    ("2606:4700:4700::1111", PUBLIC),
    ("2a00:1450:4001::200e", PUBLIC),
    ("2001:4860:4860::8888", PUBLIC),
    ("::ffff:8.8.8.8", PUBLIC),  # to the kernel it is 8.8.8.8
    # this machine
    ("127.0.0.1", LOOPBACK),
    ("127.0.0.53", LOOPBACK),
    ("127.255.255.255", LOOPBACK),
    ("::1", LOOPBACK),
    ("::ffff:127.0.0.1", LOOPBACK),
    ("::ffff:7f00:1", LOOPBACK),
    ("0.0.0.0", NEVER),  # Linux connects to itself
    ("0.0.0.1", NEVER),
    ("0.255.255.255", NEVER),
    ("::", NEVER),
    ("::ffff:0.0.0.0", NEVER),
    # the house
    ("10.0.0.0", PRIVATE),
    ("10.255.255.255", PRIVATE),
    ("172.16.0.1", PRIVATE),
    ("172.31.255.255", PRIVATE),
    ("192.168.0.1", PRIVATE),
    ("192.168.255.255", PRIVATE),
    ("100.64.0.1", PRIVATE),
    ("100.127.255.255", PRIVATE),
    ("::ffff:10.0.0.1", PRIVATE),
    ("::ffff:192.168.1.1", PRIVATE),
    ("fc00::1", PRIVATE),
    ("fd12:3456:789a::1", PRIVATE),
    ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE),
    # the wire
    ("169.254.0.1", LINK_LOCAL),
    ("169.254.169.253", LINK_LOCAL),
    ("169.254.255.255", LINK_LOCAL),
    ("fe80::1", LINK_LOCAL),
    ("fe80::1%eth0", LINK_LOCAL),  # with a scope
    ("febf::1", LINK_LOCAL),
    # where clouds give out credentials, as they are and in disguise
    ("169.254.169.254", METADATA),
    ("169.254.170.2", METADATA),
    ("169.254.170.23", METADATA),
    ("169.254.42.42", METADATA),
    ("169.254.0.23", METADATA),
    ("100.100.100.200", METADATA),
    ("168.63.129.16", METADATA),
    ("192.0.0.192", METADATA),
    ("fd00:ec2::254", METADATA),
    ("fd00:ec2::23", METADATA),
    ("fd20:ce::254", METADATA),
    ("fd00:42::42", METADATA),
    ("::ffff:169.254.169.254", METADATA),
    ("::ffff:a9fe:a9fe", METADATA),
    ("::169.254.169.254", METADATA),
    ("::a9fe:a9fe", METADATA),
    ("::ffff:0:169.254.169.254", METADATA),
    ("64:ff9b::169.254.169.254", METADATA),
    ("64:ff9b::a9fe:a9fe", METADATA),
    ("64:ff9b:1::169.254.169.254", METADATA),
    ("64:ff9b:1:ffff::169.254.169.254", METADATA),
    ("64:ff9b:1:a9fe:a9:fe00::", METADATA),
    ("2002:a9fe:a9fe::", METADATA),
    ("2002:a9fe:a9fe::1", METADATA),
    ("2002:6464:64c8::1", METADATA),  # Alibaba's, by 6to4
    ("2001:0:a9fe:a9fe::", METADATA),  # as a Teredo server
    ("2001:0:4136:e378:8000:63bf:5601:5601", METADATA),  # as a Teredo client, its bits turned
    ("fe80::5efe:169.254.169.254", METADATA),
    ("fe80::200:5efe:169.254.169.254", METADATA),
    ("2a00:1450::5efe:a9fe:a9fe", METADATA),
    # forms that carry another address
    ("::127.0.0.1", SPECIAL),
    ("::10.0.0.1", SPECIAL),
    ("::8.8.8.8", SPECIAL),
    ("::2", SPECIAL),
    ("::ffff:0:127.0.0.1", SPECIAL),
    ("::ffff:0:8.8.8.8", SPECIAL),
    ("64:ff9b::127.0.0.1", SPECIAL),
    ("64:ff9b::10.0.0.1", SPECIAL),
    ("64:ff9b::8.8.8.8", SPECIAL),
    ("64:ff9b:1::10.0.0.1", SPECIAL),
    ("2002:7f00:1::1", SPECIAL),
    ("2002:0a00:0001::1", SPECIAL),
    ("2002:c0a8:0101::1", SPECIAL),
    ("2002:0808:0808::1", SPECIAL),
    ("2001:0:7f00:1::1", SPECIAL),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", SPECIAL),
    ("2a00:1450::5efe:127.0.0.1", SPECIAL),
    ("2a00:1450::200:5efe:8.8.8.8", SPECIAL),
    ("fd00::5efe:10.0.0.1", SPECIAL),
    # registered for something else
    ("192.0.0.1", SPECIAL),
    ("192.0.0.170", SPECIAL),
    ("192.0.2.1", SPECIAL),
    ("192.88.99.1", SPECIAL),
    ("198.18.0.1", SPECIAL),
    ("198.19.255.255", SPECIAL),
    ("198.51.100.1", SPECIAL),
    ("203.0.113.1", SPECIAL),
    ("240.0.0.1", SPECIAL),
    ("255.255.255.254", SPECIAL),
    ("100::1", SPECIAL),
    ("100:0:0:1::1", SPECIAL),
    ("2001:2::1", SPECIAL),
    ("2001:10::1", SPECIAL),
    ("2001:20::1", SPECIAL),
    ("2001:db8::1", SPECIAL),
    ("3fff::1", SPECIAL),
    ("5f00::1", SPECIAL),
    ("fec0::1", SPECIAL),
    ("4000::1", SPECIAL),
    ("200::1", SPECIAL),
    # nobody's
    ("224.0.0.1", NEVER),
    ("239.255.255.250", NEVER),
    ("255.255.255.255", NEVER),
    ("ff02::1", NEVER),
    ("ff0e::1", NEVER),
    ("::ffff:224.0.0.1", NEVER),
]


@pytest.mark.parametrize(("text", "kind"), ADDRESSES)
def test_an_address_is_what_it_is(text: str, kind: Kind):
    """Whatever it is wrapped in."""
    assert nature(ipaddress.ip_address(text)).kind is kind


@pytest.mark.parametrize("text", [text for text, kind in ADDRESSES if kind is not PUBLIC])
def test_a_declared_name_may_not_be_there(text: str):
    """A name that somebody declared, and nothing more, is reached at public addresses alone."""
    endpoint = Endpoint("api.example.com", 443)
    with pytest.raises(AddressForbidden, match=r"api\.example\.com is at"):
        Egress((endpoint,)).permit(ipaddress.ip_address(text), 443, endpoint)


@pytest.mark.parametrize("text", [text for text, kind in ADDRESSES if kind is PUBLIC])
def test_a_declared_name_may_be_there(text: str):
    """The same check lets public addresses pass."""
    endpoint = Endpoint("api.example.com", 443)
    Egress((endpoint,)).permit(ipaddress.ip_address(text), 443, endpoint)


@pytest.mark.parametrize("text", [text for text, kind in ADDRESSES if kind in (METADATA, NEVER)])
def test_no_wide_network_lets_metadata_pass(text: str):
    """Whoever allows everything, and private addresses too, has not allowed these."""
    endpoint = Endpoint("api.example.com", 443, private=True)
    wide = [Endpoint(network, None, private=True) for network in ("0.0.0.0/0", "::/0", "169.254.0.0/16", "fd00::/8")]
    with pytest.raises(AddressForbidden):
        Egress((endpoint, *wide)).permit(ipaddress.ip_address(text), 443, endpoint)


@pytest.mark.parametrize("text", [text for text, kind in ADDRESSES if kind is METADATA])
def test_metadata_by_its_exact_address(text: str):
    """Who really means it writes down the address itself."""
    exact = Endpoint(text, None, private=True)
    Egress((exact,)).permit(ipaddress.ip_address(text), 80, exact)


@pytest.mark.parametrize("text", [text for text, kind in ADDRESSES if kind is PRIVATE])
def test_private_where_it_is_meant(text: str):
    """`private=True` lets a name be in the house."""
    endpoint = Endpoint("db.internal", 5432, private=True)
    Egress((endpoint,)).permit(ipaddress.ip_address(text), 5432, endpoint)


@pytest.mark.parametrize("text", [text for text, kind in ADDRESSES if kind in (LOOPBACK, LINK_LOCAL, SPECIAL)])
def test_private_is_no_more_than_private(text: str):
    """`private=True` is not for loopback, the wire, and what is registered for something else."""
    endpoint = Endpoint("db.internal", 5432, private=True)
    with pytest.raises(AddressForbidden):
        Egress((endpoint,)).permit(ipaddress.ip_address(text), 5432, endpoint)


def test_a_tunnel_needs_both_ends():
    """Who declares the network of NAT64 has declared public hosts behind it, and not the house."""
    endpoint = Endpoint("api.example.com", 443)
    nat64 = Egress((endpoint, Endpoint("64:ff9b::/96", None, private=True)))
    nat64.permit(ipaddress.ip_address("64:ff9b::8.8.8.8"), 443, endpoint)
    with pytest.raises(AddressForbidden, match=r"around 10\.0\.0\.1"):
        nat64.permit(ipaddress.ip_address("64:ff9b::10.0.0.1"), 443, endpoint)
    with_house = nat64.declaring([Endpoint("10.0.0.0/8", None, private=True)])
    with_house.permit(ipaddress.ip_address("64:ff9b::10.0.0.1"), 443, endpoint)


def test_no_name_turns_to_a_loopback_that_is_declared_for_itself():
    """A ledger on localhost is no reason for another name of the same port to be there."""
    endpoint = Endpoint("db.internal", 5432, private=True)
    for own in ("localhost", "127.0.0.1"):
        here = Endpoint(own, 5432)
        egress = Egress((endpoint, here))
        egress.permit(ipaddress.ip_address("127.0.0.1"), 5432, here)
        with pytest.raises(AddressForbidden, match="loopback"):
            egress.permit(ipaddress.ip_address("127.0.0.1"), 5432, endpoint)


@pytest.mark.parametrize("address", ["8.8.8.8", "10.0.0.1", "169.254.169.254", "::ffff:8.8.8.8"])
def test_localhost_is_nowhere_else(address: str):
    """A name server that says so is wrong, or lies."""
    endpoint = Endpoint("localhost", 80, private=True)
    with pytest.raises(AddressForbidden, match="and not of this machine"):
        Egress((endpoint,)).permit(ipaddress.ip_address(address), 80, endpoint)

"""Firewall: rules that let out what is declared and nothing else, rendered as text and never applied from here."""

from rowkeeper.security.firewall.iptables import iptables
from rowkeeper.security.firewall.kubernetes import kubernetes
from rowkeeper.security.firewall.nftables import nftables
from rowkeeper.security.firewall.resolving import Lookup, addresses_of, nameservers, wall_of
from rowkeeper.security.firewall.wall import Gap, Scope, Wall

__all__ = [
    "Gap",
    "Lookup",
    "Scope",
    "Wall",
    "addresses_of",
    "iptables",
    "kubernetes",
    "nameservers",
    "nftables",
    "wall_of",
]

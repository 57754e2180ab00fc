"""VPN: places that are reached by one interface or not at all, and the WireGuard configuration that makes it."""

from rowkeeper.security.vpn.kernel import Kernel, Link, Peer, ThisMachine, example_of
from rowkeeper.security.vpn.tunnels import Tunnels
from rowkeeper.security.vpn.watch import Demand, Watch, explaining, look

__all__ = ["Demand", "Kernel", "Link", "Peer", "ThisMachine", "Tunnels", "Watch", "example_of", "explaining", "look"]

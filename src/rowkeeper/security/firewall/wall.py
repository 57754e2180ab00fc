"""Wall: what a firewall lets out, before it is written in the words of one of them."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from rowkeeper.endpoints import Endpoint
from rowkeeper.endpoints.host import Address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
WHY_LENGTH_MAX = 120  # nftables keeps 128 bytes of a comment
UNPRINTABLE = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # and the quotation mark and backslash


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """One way out.

    Attributes:
        protocol: `tcp` or `udp`.
        port: None is any port of the protocol.
        interface: by which alone it leads out; None is any.
        reasons: each network, with the declarations that it stands for. No two of the networks overlap.
    """

    protocol: str
    port: int | None
    interface: str | None
    reasons: Mapping[Network, str]

    def networks(self, version: int) -> dict[Network, str]:
        """Those of IPv4 or of IPv6, with why each is there."""
        return {network: why for network, why in self.reasons.items() if network.version == version}

    @property
    def place(self) -> str:
        """Protocol, port and interface as part of a name, such as `tcp_443` or `tcp_any_wg0`."""
        parts = (self.protocol, str(self.port or "any"), self.interface and re.sub(r"\W", "_", self.interface))
        return "_".join(part for part in parts if part)


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """Whose packets are judged.

    Attributes:
        uid: those of this user.
        cgroup: those of this control group instead, as a path below /sys/fs/cgroup.
    """

    uid: int
    cgroup: str | None = None

    def __str__(self) -> str:
        return f"user {self.uid}" if self.cgroup is None else f"control group {self.cgroup}"


@dataclasses.dataclass(frozen=True, slots=True)
class Wall:
    """Everything that is let out; all else is refused.

    Attributes:
        scope: whose packets are judged.
        gaps: the ways out, ordered.
        names: each declared name with the addresses that it had at `looked_up_at`.
        nameservers: whom names may be asked of, at port 53 by UDP and TCP.
        local: declared places that are this machine itself, which need no gap.
        looked_up_at: when the names were looked up.
    """

    scope: Scope
    gaps: Sequence[Gap]
    names: Mapping[str, Sequence[Address]]
    nameservers: Sequence[Address]
    local: Sequence[Endpoint]
    looked_up_at: datetime

    def document(self) -> dict[str, object]:
        """As JSON values."""
        return {
            "scope": {"uid": self.scope.uid, "cgroup": self.scope.cgroup},
            "looked_up_at": self.looked_up_at.isoformat(timespec="seconds"),
            "nameservers": [str(each) for each in self.nameservers],
            "names": {name: [str(each) for each in found] for name, found in self.names.items()},
            "local": [str(each) for each in self.local],
            "gaps": [
                {
                    "protocol": gap.protocol,
                    "port": gap.port,
                    "interface": gap.interface,
                    "networks": [{"network": str(network), "why": why} for network, why in gap.reasons.items()],
                }
                for gap in self.gaps
            ],
        }

    def preface(self) -> list[str]:
        """What whoever reads the rules should know first, in sentences."""
        lines = [f"Made by rowkeeper firewall render, for {plain(str(self.scope))}. Nothing has been applied."]
        if not self.gaps:
            lines.append("No endpoint off this machine is declared: nothing but loopback and DNS is let out.")
        if self.names:
            lines.append(f"Names were looked up at {self.looked_up_at:%F %T} UTC; render again when they move:")
            lines += [f"  {name} = {', '.join(map(str, found))}" for name, found in self.names.items()]
        lines += [f"{each} is this machine itself, and reached by loopback ({plain(each.why)})." for each in self.local]
        if not self.nameservers:
            lines.append("There is no nameserver off this machine: names are asked of loopback alone.")
        if self.scope.cgroup is None and self.scope.uid == 0:
            lines.append("CAUTION: this is root: everything that root starts on this machine is held back as well.")
        return lines


def plain(text: str) -> str:
    """A text of the user's own as it can stand in a comment of any format: it cannot end it."""
    cleaned = UNPRINTABLE.sub("?", text)
    return cleaned if len(cleaned) <= WHY_LENGTH_MAX else cleaned[: WHY_LENGTH_MAX - 3] + "..."

"""The wall in the words of iptables: one file for iptables-restore and for ip6tables-restore.

Each of the two passes over the lines that are marked as the other's (`-4`, `-6`), so that one file serves both.
"""

from __future__ import annotations

from collections.abc import Iterator

from rowkeeper.security.firewall.wall import Gap, Scope, Wall

CHAIN = "ROWKEEPER"
REFUSAL = {4: "icmp-admin-prohibited", 6: "icmp6-adm-prohibited"}


def iptables(wall: Wall, *, refresh: bool = False) -> str:
    """Input for `iptables-restore --noflush` and `ip6tables-restore --noflush`.

    Args:
        refresh: the jump to the chain is there already, from the first time. The chain itself is emptied and filled
            anew in one transaction; a jump would be put in twice, as iptables cannot ask whether there is one.
    """
    return "\n".join(_lines(wall, refresh)) + "\n"


def _lines(wall: Wall, refresh: bool) -> Iterator[str]:
    yield from (f"# {line}" for line in wall.preface())
    yield "# Look first: iptables-restore --test --noflush FILE, and the same with ip6tables-restore."
    yield "# Apply:      iptables-restore --noflush FILE && ip6tables-restore --noflush FILE"
    yield (
        f"# This renews the chain {CHAIN} alone: the jump to it must be there from the first time."
        if refresh
        else "# Apply anew: render with --refresh, which leaves out the jump that is there from the first time."
    )
    jump = f"OUTPUT {_match(wall.scope)} -j {CHAIN}"
    yield f"# Undo:       iptables -D {jump}; iptables -F {CHAIN}; iptables -X {CHAIN}, and the same with ip6tables"
    yield "*filter"
    yield f":{CHAIN} - [0:0]"
    yield f"-A {CHAIN} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
    yield f"-A {CHAIN} -o lo -j ACCEPT"
    for server in wall.nameservers:
        for protocol in ("udp", "tcp"):
            yield f"-A {CHAIN} -{server.version} -d {server} -p {protocol} --dport 53 -j ACCEPT"
    for gap in wall.gaps:
        yield from _accepting(gap)
    yield f'-A {CHAIN} -m limit --limit 10/min --limit-burst 20 -j LOG --log-prefix "rowkeeper refused: " --log-uid'
    for version, refusal in REFUSAL.items():
        yield f"-A {CHAIN} -{version} -j REJECT --reject-with {refusal}"
    if not refresh:
        yield f"-I {jump}"
    yield "COMMIT"


def _accepting(gap: Gap) -> Iterator[str]:
    interface = "" if gap.interface is None else f"-o {gap.interface} "
    port = "" if gap.port is None else f" --dport {gap.port}"
    for network, why in gap.reasons.items():
        comment = f' -m comment --comment "{why}"' if why else ""
        yield (f"-A {CHAIN} -{network.version} {interface}-d {network} -p {gap.protocol}{port}{comment} -j ACCEPT")


def _match(scope: Scope) -> str:
    if scope.cgroup is None:
        return f"-m owner --uid-owner {scope.uid}"
    return f'-m cgroup --path "{scope.cgroup.strip("/")}"'

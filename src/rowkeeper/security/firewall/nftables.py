"""The wall in the words of nftables: a table of its own, put in place of the former one in a single transaction."""

from __future__ import annotations

from collections.abc import Iterator

from rowkeeper.security.firewall.wall import Gap, Scope, Wall, plain

TABLE = "rowkeeper"
FAMILIES = {4: ("ip", "ipv4_addr"), 6: ("ip6", "ipv6_addr")}


def nftables(wall: Wall) -> str:
    """A file for `nft -f`, which takes all of it or nothing.

    Packets of others are not looked at: the base chain hands over those of the scope and accepts the rest, so that a
    packet without a socket (a reply of the kernel itself) is nobody's and passes.
    """
    return "\n".join(_lines(wall)) + "\n"


def _lines(wall: Wall) -> Iterator[str]:
    yield "#!/usr/sbin/nft -f"
    yield from (f"# {line}" for line in wall.preface())
    yield "# Look first: nft -c -f FILE. Apply, or apply anew: nft -f FILE. Undo: nft delete table inet rowkeeper"
    yield ""
    yield f"table inet {TABLE}"  # made if it is not there, so that the next line always has something to take away
    yield f"delete table inet {TABLE}"
    yield ""
    yield f"table inet {TABLE} {{"
    for version in FAMILIES:
        yield from _set("nameservers", version, {str(each): "" for each in wall.nameservers if each.version == version})
        for gap in wall.gaps:
            yield from _set(gap.place, version, {str(net): why for net, why in gap.networks(version).items()})
    yield "    chain output {"
    yield "        type filter hook output priority filter; policy accept;"
    yield f'        {_match(wall.scope)} goto declared comment "{plain(str(wall.scope))}"'
    yield "    }"
    yield ""
    yield "    chain declared {"
    yield "        ct state established,related accept"
    yield '        oifname "lo" accept'
    yield from (f"        {rule}" for rule in _accepting(wall))
    yield '        limit rate 10/minute burst 20 packets log prefix "rowkeeper refused: " flags skuid'
    yield "        counter reject with icmpx admin-prohibited"
    yield "    }"
    yield "}"


def _set(place: str, version: int, elements: dict[str, str]) -> Iterator[str]:
    if not elements:
        return
    yield f"    set {place}_v{version} {{"
    yield f"        type {FAMILIES[version][1]}; flags interval;"
    yield "        elements = {"
    for element, why in elements.items():
        yield f"            {element}" + (f' comment "{why}"' if why else "") + ","
    yield "        }"
    yield "    }"
    yield ""


def _match(scope: Scope) -> str:
    if scope.cgroup is None:
        return f"meta skuid {scope.uid}"
    path = scope.cgroup.strip("/")
    return f'socket cgroupv2 level {path.count("/") + 1} "{path}"'


def _accepting(wall: Wall) -> Iterator[str]:
    for version, (family, _) in FAMILIES.items():
        if any(each.version == version for each in wall.nameservers):
            for protocol in ("udp", "tcp"):
                yield f"{family} daddr @nameservers_v{version} {protocol} dport 53 counter accept"
        for gap in wall.gaps:
            if gap.networks(version):
                yield _rule(gap, version, family)


def _rule(gap: Gap, version: int, family: str) -> str:
    interface = "" if gap.interface is None else f'oifname "{gap.interface}" '
    port = f"meta l4proto {gap.protocol}" if gap.port is None else f"{gap.protocol} dport {gap.port}"
    return f"{interface}{family} daddr @{gap.place}_v{version} {port} counter accept"

"""The wall as a NetworkPolicy of Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from rowkeeper.security.firewall.wall import Gap, Wall

NAME = "rowkeeper-egress"
SELECTOR = {"app.kubernetes.io/name": "rowkeeper"}
LIMITS = (
    "A NetworkPolicy knows addresses and no names: a name that moves is cut off until this is rendered anew.",
    "It works only where the cluster's network plugin enforces policies, and what is let out is added to what",
    "other policies for the same pods let out. For servers inside the cluster write a podSelector by hand in",
    "place of the address of a Service, which some plugins see only after it was translated.",
)


def kubernetes(wall: Wall, selector: Mapping[str, str] | None = None) -> str:
    """A manifest for `kubectl apply -f`: egress of the pods with these labels.

    Scope and nameservers of this machine are not used: pods are chosen by labels and ask the cluster's DNS.
    """
    return "\n".join(_lines(wall, selector or SELECTOR)) + "\n"


def _lines(wall: Wall, selector: Mapping[str, str]) -> Iterator[str]:
    yield "# Made by rowkeeper firewall render. Nothing has been applied."
    yield "# Look first: kubectl apply --dry-run=server -f FILE"
    yield from (f"# {line}" for line in LIMITS)
    if not wall.gaps:
        yield "# No endpoint off the pod itself is declared: nothing but DNS is let out."
    if wall.names:
        yield f"# Names were looked up at {wall.looked_up_at:%F %T} UTC:"
        yield from (f"#   {name} = {', '.join(map(str, found))}" for name, found in wall.names.items())
    yield from (f"# {each} is the pod itself, which no policy holds back." for each in wall.local)
    yield "apiVersion: networking.k8s.io/v1"
    yield "kind: NetworkPolicy"
    yield "metadata:"
    yield f"  name: {NAME}"
    yield "spec:"
    yield "  podSelector:"
    yield "    matchLabels:"
    yield from (f"      {json.dumps(key)}: {json.dumps(value)}" for key, value in selector.items())
    yield "  policyTypes:"
    yield "    - Egress"
    yield "  egress:"
    yield from _dns()
    for gap in wall.gaps:
        yield from _rule(gap)


def _dns() -> Iterator[str]:
    yield "    # The cluster's DNS. Where pods ask a node-local cache (169.254.20.10), add its address."
    yield "    - to:"
    yield "        - namespaceSelector:"
    yield "            matchLabels:"
    yield "              kubernetes.io/metadata.name: kube-system"
    yield "          podSelector:"
    yield "            matchLabels:"
    yield "              k8s-app: kube-dns"
    yield "      ports:"
    for protocol in ("UDP", "TCP"):
        yield f"        - protocol: {protocol}"
        yield "          port: 53"


def _rule(gap: Gap) -> Iterator[str]:
    if gap.interface is not None:
        yield f"    # Declared by way of {gap.interface}: a policy cannot demand an interface, the run itself does."
    yield "    - to:"
    for network, why in gap.reasons.items():
        yield "        - ipBlock:"
        yield f"            cidr: {json.dumps(str(network))}" + (f"  # {why}" if why else "")
    yield "      ports:"
    yield f"        - protocol: {gap.protocol.upper()}"
    if gap.port is not None:
        yield f"          port: {gap.port}"

"""Egress: what may be reached, decided in two steps: is the place declared, and may its address be what it is.

A name that has an allowed address and a forbidden one is refused whole. To pick the allowed one would hide a name
server that was told wrongly, or an attack that only has to try again, and would let one name be two places.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable
from typing import Literal

from rowkeeper.endpoints import Endpoint, canonical_host, is_loopback_name, literal
from rowkeeper.errors import AddressForbidden, DeclarationError, EgressRefused, FrameworkError
from rowkeeper.logs import logger
from rowkeeper.security.egress.addresses import Address, Kind, nature, plain

Mode = Literal["enforce", "warn", "off"]
log = logger("egress")
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@dataclasses.dataclass(frozen=True, slots=True)
class Egress:
    """What may be reached.

    Attributes:
        endpoints: what is declared.
        mode: what becomes of anything else: refused, logged, or nothing.
    """

    endpoints: tuple[Endpoint, ...] = ()
    mode: Mode = "enforce"

    def declaring(self, endpoints: Iterable[Endpoint]) -> Egress:
        """The same, with more endpoints."""
        return dataclasses.replace(self, endpoints=tuple(dict.fromkeys((*self.endpoints, *endpoints))))

    def place(self, host: str, port: int | None, protocol: str = "tcp") -> Endpoint:
        """The declaration of a host, in whatever spelling.

        Args:
            port: None where it is not known yet.

        Raises EgressRefused if there is none. What is not enforced is declared by that; but never a text that some
        programs read as one host and some as another.
        """
        try:
            name = canonical_host(host)
        except DeclarationError as error:
            raise no_host(error) from None
        found = self._declaration(name, port, protocol)
        if found is None:
            self.refuse(_undeclared(name, port, protocol))
            return Endpoint(name, port, "udp" if protocol == "udp" else "tcp", private=True)
        return found

    def names(self, host: str) -> tuple[Endpoint, ...]:
        """The declarations of exactly this host, in whatever spelling; none for what is no host."""
        try:
            name = canonical_host(host)
        except DeclarationError:
            return ()
        return tuple(each for each in self.endpoints if each.host == name)

    def permit(self, address: Address, port: int | None, endpoint: Endpoint) -> None:
        """Lets an address of a declared host pass.

        Raises AddressForbidden if it may not be what it is.
        """
        why_not = self.objection(address, port, endpoint)
        if why_not:
            self.refuse(_forbidden(endpoint, plain(address), why_not))

    def objection(self, address: Address, port: int | None, endpoint: Endpoint) -> str:
        """Why a declared host may not be at an address; empty if it may."""
        address = plain(address)
        found = nature(address)
        if is_loopback_name(endpoint.host):
            return "" if found.kind is Kind.LOOPBACK else f"{found.what}, and not of this machine"
        if found.kind is Kind.PUBLIC or (found.kind is Kind.PRIVATE and endpoint.private and endpoint.network is None):
            return ""
        if found.kind is Kind.NEVER or not self._means(address, port, endpoint, found.kind):
            return found.what
        if found.kind is Kind.METADATA:
            return ""
        return found.what if any(self.objection(each, port, endpoint) for each in found.inside) else ""

    def refuse(self, error: FrameworkError) -> None:
        """Raises the error, or logs it, or neither, by the mode. In every mode but `off` it stands in the log."""
        if self.mode == "off":
            return
        log.warning("refused" if self.mode == "enforce" else "not refused", code=error.code, what=error.what)
        if self.mode == "enforce":
            raise error

    def covers(self, address: Address, port: int | None, protocol: str) -> Endpoint | None:
        """The declaration of an address itself, or of a network that holds it; None if there is none."""
        found = [each for each in self.endpoints if each.is_of(port, protocol) and _holds(each, plain(address))]
        return max(found, key=lambda each: each.demand is not None, default=None)

    def _declaration(self, name: str, port: int | None, protocol: str) -> Endpoint | None:
        address = literal(name)
        if address is not None:
            return self.covers(address, port, protocol)
        found = [each for each in self.endpoints if each.host == name and each.is_of(port, protocol)]
        return max(found, key=lambda each: (each.demand is not None, each.private), default=None)

    def _means(self, address: Address, port: int | None, endpoint: Endpoint, kind: Kind) -> bool:
        """Whether somebody wrote down the address itself or, but for metadata, a network around it, as what it is.

        A loopback address says so by itself, but for itself alone: no name may turn to it.
        """
        return any(
            each.is_of(port, endpoint.protocol)
            and (each.private or (each.is_loopback and each == endpoint))
            and _holds(each, address)
            and (kind is not Kind.METADATA or _is_exact(each))
            for each in self.endpoints
        )


def log_mode(mode: Mode) -> None:
    """Tells the log where egress is not enforced."""
    if mode == "warn":
        log.warning("egress is watched only")
    if mode == "off":
        log.warning("egress is off")


def _holds(endpoint: Endpoint, address: Address) -> bool:
    if is_loopback_name(endpoint.host):
        return any(address in network for network in LOOPBACK)
    network = endpoint.network
    if network is None:
        return False
    return plain(network.network_address) == address if _is_exact(endpoint) else address in network


def _is_exact(endpoint: Endpoint) -> bool:
    """Whether it is a single address."""
    return endpoint.network is not None and endpoint.network.num_addresses == 1


def no_host(error: DeclarationError) -> EgressRefused:
    """For a text that some programs read as one host and some as another."""
    return EgressRefused(f"nothing is reached by this name: {error.what}", hint=error.hint)


def _undeclared(name: str, port: int | None, protocol: str) -> EgressRefused:
    more = "" if protocol == "tcp" else f', "{protocol}"'
    return EgressRefused(
        f"{name}{'' if port is None else f':{port}'} is not declared as a place that is connected to",
        hint=f'if it is meant: endpoints=[rk.Endpoint("{name}", {port or "PORT"}{more})] in the pipeline, or '
        f"ROWKEEPER_EGRESS_ALLOW={name}{'' if port is None else f':{port}'}",
        context={"host": name},
    )


def _forbidden(endpoint: Endpoint, address: Address, what: str) -> AddressForbidden:
    kind = nature(address).kind
    if kind is Kind.NEVER:
        hint = "no host has such an address: see to the name server"
    elif kind is Kind.METADATA:
        hint = f"if it is meant, by its exact address: ROWKEEPER_EGRESS_ALLOW={address}"
    elif kind is Kind.PRIVATE and endpoint.network is None:
        hint = f'if it is meant: rk.Endpoint("{endpoint.host}", {endpoint.port}, private=True)'
    else:
        hint = f"if it is meant: ROWKEEPER_EGRESS_ALLOW={address}, or the network around it"
    return AddressForbidden(
        f"{endpoint.host} is at {address}, which is {what}" if endpoint.network is None else f"{address} is {what}",
        hint=hint,
        context={"host": endpoint.host},
    )

"""A WireGuard configuration for wg-quick, made from a plan; keys stay out of it where wg-quick can fetch them itself.

A key of a `file:` reference is fetched when the interface comes up (`PostUp = wg set %i private-key PATH`), so that the
configuration holds no secret. Any other is written into it, and then it is a secret itself.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import shlex
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rowkeeper.configuration.reference import parse
from rowkeeper.errors import StateError, VpnMisconfigured
from rowkeeper.security.secret import Secret
from rowkeeper.security.vpn.configuration import PeerPlan, Plan, key_fault

Follow = Callable[[str], Secret]
"""Follows a reference to a secret."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration.

    Attributes:
        text: what the file holds.
        holds_a_key: it is a secret.
    """

    text: str = dataclasses.field(repr=False)
    holds_a_key: bool


def rendered(plan: Plan, follow: Follow) -> Rendered:
    """The configuration of one interface.

    Every key is looked at, also those that stay where they are.

    Raises:
        SecretUnavailable: a reference leads to nothing.
        VpnMisconfigured: what it leads to is no key, or a peer is this machine itself.
    """
    own = _key(plan.private_key, f"[vpn.{plan.name}] private_key", follow)
    _refuse_itself(plan, own)
    shared = {
        peer.label: _key(peer.preshared_key, f"[vpn.{plan.name}] preshared_key of {peer.label}", follow)
        for peer in plan.peers
        if peer.preshared_key
    }
    inline = [reference for reference in _references(plan) if _file_of(reference) is None]
    return Rendered("\n".join(_lines(plan, own, shared)) + "\n", bool(inline))


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner reads: whole or not at all, and never readable by others in between.

    Raises StateError if it cannot be written.
    """
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise StateError(
            f"{path} cannot be written: {error.strerror}", hint="name another file: --output PATH"
        ) from error


def _references(plan: Plan) -> list[str]:
    return [plan.private_key, *(peer.preshared_key for peer in plan.peers if peer.preshared_key)]


def _file_of(reference: str) -> Path | None:
    parsed = parse(reference)
    return Path(parsed.place).expanduser().absolute() if parsed.scheme == "file" else None


def _key(reference: str, where: str, follow: Follow) -> Secret:
    secret = follow(reference)
    wrong = key_fault(secret.reveal().strip())
    if wrong:
        raise VpnMisconfigured(
            f"{where}: what {parse(reference)} leads to is no WireGuard key: {wrong}",
            hint="wg genkey makes a private one, wg genpsk a preshared one",
        )
    path = _file_of(reference)
    if path is not None and "%i" in str(path):
        raise VpnMisconfigured(
            f"{where}: the path of the key has %i in it, which wg-quick takes for the interface", hint="rename the file"
        )
    return secret


def _refuse_itself(plan: Plan, own: Secret) -> None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415 - for this alone

    private = X25519PrivateKey.from_private_bytes(base64.b64decode(own.reveal().strip()))
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    for peer in plan.peers:
        if peer.public_key == public:
            raise VpnMisconfigured(
                f"[vpn.{plan.name}] the public_key of {peer.label} is that of this machine's own private_key",
                hint="ask the peer for its own: wg show INTERFACE public-key",
            )


def _lines(plan: Plan, own: Secret, shared: dict[str, Secret]) -> Iterator[str]:
    yield f"# Made by rowkeeper vpn render from [vpn.{plan.name}]. Bring it up: wg-quick up {plan.name}"
    yield "[Interface]"
    yield "Address = " + ", ".join(map(str, plan.addresses))
    yield from (f"{word} = {value}" for word, value in (("ListenPort", plan.listen_port), ("MTU", plan.mtu)) if value)
    if plan.dns:
        yield "DNS = " + ", ".join(plan.dns)
    path = _file_of(plan.private_key)
    yield f"PrivateKey = {own.reveal().strip()}" if path is None else f"PostUp = wg set %i private-key {_quoted(path)}"
    for peer in plan.peers:
        if peer.preshared_key and (path := _file_of(peer.preshared_key)):
            yield f"PostUp = wg set %i peer {peer.public_key} preshared-key {_quoted(path)}"
    for peer in plan.peers:
        yield from _peer(peer, shared.get(peer.label))


def _peer(peer: PeerPlan, shared: Secret | None) -> Iterator[str]:
    yield ""
    yield "[Peer]"
    yield f"# {''.join(each if each.isprintable() else '?' for each in peer.label)}"
    yield f"PublicKey = {peer.public_key}"
    if shared is not None and peer.preshared_key and _file_of(peer.preshared_key) is None:
        yield f"PresharedKey = {shared.reveal().strip()}"
    yield "AllowedIPs = " + ", ".join(map(str, peer.allowed_ips))
    if peer.endpoint:
        yield f"Endpoint = {peer.endpoint}"
    if peer.keepalive_seconds:
        yield f"PersistentKeepalive = {peer.keepalive_seconds}"


def _quoted(path: Path) -> str:
    """wg-quick hands the line to a shell."""
    return shlex.quote(str(path))

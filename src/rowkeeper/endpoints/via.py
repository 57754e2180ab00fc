"""Via: the interface by which alone a place is reached."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Self

from rowkeeper.errors import DeclarationError

INTERFACE = re.compile(r"(?!\.{1,2}$)[\x21-\x2e\x30-\x39\x3b-\x7e]{1,15}")  # dev_valid_name() of the kernel, in ASCII
HANDSHAKE_SECONDS_MAX = 180.0  # REJECT_AFTER_TIME of WireGuard: a session that is older carries nothing
SYMBOLS = re.compile(r"[\"'\\;{}$`]")  # valid in the kernel, but not in a firewall's rules or a shell


@dataclasses.dataclass(frozen=True, slots=True)
class Via:
    """A demand on the way to a place: it leads by this interface, or nobody goes.

    Args:
        interface: its name, such as `wg0`.
        handshake_seconds_max: of WireGuard: how long ago the peer's last handshake may be. None does not look at
            handshakes, which only root and CAP_NET_ADMIN can; then only route and link are looked at.

    Raises:
        DeclarationError: it cannot be the name of an interface, or it is no time.
    """

    interface: str
    handshake_seconds_max: float | None = HANDSHAKE_SECONDS_MAX

    def __post_init__(self) -> None:
        if not isinstance(self.interface, str) or not INTERFACE.fullmatch(self.interface):
            raise DeclarationError(
                f"{self.interface!r} cannot be the name of an interface",
                hint='up to 15 letters, digits, "-", "_" and ".": via="wg0"',
            )
        if SYMBOLS.search(self.interface):
            raise DeclarationError(
                f"{self.interface!r} names an interface with a sign that means something else to shells and firewalls",
                hint="give the interface a plain name: ip link set dev OLD name wg0",
            )
        limit = self.handshake_seconds_max
        if limit is not None and not (isinstance(limit, (int, float)) and 0 < limit < math.inf):
            raise DeclarationError(
                f"via {self.interface}: handshake_seconds_max is no time",
                hint="seconds, more than 0, or None",
            )

    @classmethod
    def of(cls, given: Self | str) -> Self:
        """As it was declared, or by the interface's name: `via="wg0"`."""
        return given if isinstance(given, cls) else cls(given)  # type: ignore[arg-type]  # refused there if it is no text

    @classmethod
    def parse(cls, text: str) -> Self:
        """As it stands in a setting: `wg0`, or `wg0:route`, which looks at link and route and at no handshake.

        Raises DeclarationError if it is neither.
        """
        interface, colon, word = text.partition(":")
        if colon and word != "route":
            raise DeclarationError(f"{text!r} names no interface", hint="wg0, or wg0:route for one without handshakes")
        return cls(interface, None) if colon else cls(interface)

    def __str__(self) -> str:
        return self.interface

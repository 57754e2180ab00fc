"""What can be told of alerts: the seam between routes and those who bring notices to them."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Protocol

from rowkeeper.endpoints import Endpoint
from rowkeeper.ledger.alerts import Notice
from rowkeeper.protocols import WayOut
from rowkeeper.security.tls import TLS


@dataclasses.dataclass(frozen=True, slots=True)
class Outlet:
    """What a delivery goes out by.

    Attributes:
        way_out: leads to the route's own endpoints, and to nothing else.
        tls: whose certificates are trusted.
        installation: whose alerts these are: the ledger's id.
        repeat: after which a notice of the route is repeated.
    """

    way_out: WayOut
    tls: TLS | None
    installation: str
    repeat: timedelta


class Address(Protocol):
    """Where a route leads to.

    Attributes:
        told: the address as it may be shown: secrets are references in it.
        endpoints: the hosts that are connected to.
        keeps_state: it keeps alerts by itself, and wants to be told again and again as long as they fire.
    """

    @property
    def told(self) -> str:
        """The address as it may be shown."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The hosts that are connected to."""

    @property
    def keeps_state(self) -> bool:
        """Whether it keeps alerts by itself."""

    def deliver(self, notice: Notice, outlet: Outlet) -> None:
        """Brings a notice there, and comes back when it was taken.

        Raises FrameworkError, or what clients raise: it is judged like any call to another machine.
        """

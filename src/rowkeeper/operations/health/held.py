"""What is held and what is left alone: leases, breakers and runs that wait, as they are."""

from __future__ import annotations

import dataclasses
from typing import Any

from rowkeeper.access import of_installation
from rowkeeper.ledger import HeldLease
from rowkeeper.resilience.sharing import SharedState
from rowkeeper.runs.workspace import Workspace


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """How it stands with what processes share.

    Attributes:
        leases: those that nobody gave back and that have not run out.
        breakers: every one that ever opened; `open_seconds` of those whose host is left alone now.
        unfinished, spooled: how many runs wait for somebody, and for their destination.
    """

    leases: tuple[HeldLease, ...]
    breakers: tuple[SharedState, ...]
    unfinished: int
    spooled: int

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "leases": [
                {
                    "name": each.name,
                    "host": each.host.split(":", maxsplit=1)[0],
                    "pid": each.pid,
                    "acquired_at": each.acquired_at.isoformat(),
                    "expires_at": each.expires_at.isoformat(),
                    "dead": each.is_dead,
                }
                for each in self.leases
            ],
            "breakers": [
                {
                    "host": each.name.host,
                    "operation": each.name.operation,
                    "open_seconds": each.open_seconds,
                    "openings": each.openings,
                }
                for each in self.breakers
            ],
            "unfinished": self.unfinished,
            "spooled": self.spooled,
        }


def show_held(workspace: Workspace) -> Held:
    """Leases, breakers, and how many runs wait. Raises AccessDenied."""
    workspace.access.require("health.show", of_installation())
    ledger = workspace.ledger
    unfinished = sum(len(ledger.unfinished(target)) for target in ledger.targets(unfinished=True))
    breakers = tuple(ledger.breakers.read())
    return Held(tuple(ledger.leases()), breakers, unfinished, len(ledger.spooled()))

"""One machine, one person: the operating-system user who owns the state folder may do everything, others nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rowkeeper.access.decision import Decision, Sight, TableView
from rowkeeper.access.resource import Column, Resource, of_table
from rowkeeper.caller import Caller, CallerKind

POLICY = "owner"


class OwnerOnly:
    """Implements `decision.Permissions`.

    Args:
        home: the state folder.
    """

    def __init__(self, home: Path) -> None:
        self._owner = home.stat().st_uid

    def decide(self, caller: Caller, action: str, resource: Resource) -> Decision:
        """Who runs this process may if the state folder is theirs, or if they are root."""
        owns = caller.kind is CallerKind.OS_USER and os.geteuid() in (0, self._owner)
        return Decision(owns, (POLICY,) * owns)

    def state(self, *, waiting: bool) -> object:
        """The owner stays the owner."""
        del waiting
        return self

    def view(self, caller: Caller, table: str, columns: Sequence[Column]) -> TableView | None:
        """All that is in the table, as it is in there."""
        if not self.decide(caller, "data.query", of_table(table)).allowed:
            return None
        return TableView(table, {column.name: Sight.CLEAR for column in columns})

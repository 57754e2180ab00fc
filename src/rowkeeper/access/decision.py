"""The seam: what decides, and what it answers."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Protocol

from rowkeeper.access.resource import Column, Resource
from rowkeeper.caller import Caller


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """Whether somebody may, and by which policies.

    Attributes:
        policies: the ids of those that decided; empty where none allows it.
    """

    allowed: bool
    policies: tuple[str, ...] = ()


class Sight(enum.StrEnum):
    """How somebody sees a column."""

    CLEAR = "clear"
    MASKED = "masked"
    REFUSED = "refused"


@dataclasses.dataclass(frozen=True, slots=True)
class TableView:
    """What somebody may see of a table.

    Attributes:
        sights: by column, in the table's order.
        row_filter: a condition in ClickHouse's SQL that a row must meet to be seen; None lets all be seen.
    """

    table: str
    sights: Mapping[str, Sight]
    row_filter: str | None = None


class Permissions(Protocol):
    """What decides. It knows policies, roles and grants; it reads nothing else, and writes nothing."""

    def decide(self, caller: Caller, action: str, resource: Resource) -> Decision:
        """Whether this caller may do this; where no policy says so, not.

        Args:
            action: as the audit trail has it: `room.verb`.
        """

    def view(self, caller: Caller, table: str, columns: Sequence[Column]) -> TableView | None:
        """What this caller may see of a table (`database.table`); None if nothing."""

    def state(self, *, waiting: bool) -> object | None:
        """What all answers follow from: another object when some may be others.

        Args:
            waiting: it may wait for the ledger, and for files; otherwise it is None if it would have to.
        """

"""Access: asks, on behalf of the current caller, and lets a refusal leave its evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

from rowkeeper.access.decision import Permissions, TableView
from rowkeeper.access.resource import Column, Resource, ResourceKind, pipeline_of
from rowkeeper.caller import CallerKind, current_caller
from rowkeeper.errors import AccessDenied
from rowkeeper.ledger.audit import Event, Outcome, Trail

Item = TypeVar("Item")
NAMED_LENGTH = 200


class Access:
    """What the functions behind commands and routes ask, when they are carried out.

    Args:
        audit: gets each refusal.
    """

    def __init__(self, permissions: Permissions, audit: Trail) -> None:
        self.permissions = permissions
        self._audit = audit

    def require(self, action: str, resource: Resource, **on: Any) -> None:
        """Passes if the caller may. A refusal is in the audit trail before it is told.

        Args:
            action: as the audit trail has it: `run.rollback`.
            on: what the entry says of the thing, besides its kind and id.

        Raises AccessDenied.
        """
        if not self.may(action, resource):
            self.refuse(action, resource, **on)

    def refuse(self, action: str, resource: Resource, **on: Any) -> NoReturn:
        """Refuses, for whoever has found out otherwise that the caller may not; as `require` does."""
        about = {resource.kind.value: self._named(resource), **on}
        self._audit.record(Event(action, about, outcome=Outcome.REFUSED))
        raise AccessDenied(
            f"{current_caller()} may not {action} {resource}",
            hint=f"rowkeeper access why {current_caller().name} {action} {resource.kind}:{resource.id}",
        )

    def _named(self, resource: Resource) -> str:
        """A thing in an entry: a person by an id; cut, as whoever is refused may have typed anything."""
        if resource.kind is ResourceKind.USER:
            return self._audit.person(f"{CallerKind.USER}:{resource.id}")
        return resource.id[:NAMED_LENGTH]

    def may(self, action: str, resource: Resource) -> bool:
        """Whether the caller may; with a token not beyond its scope, whatever its account may."""
        scope = current_caller().scope
        if scope is not None and not scope.allows(action, pipeline_of(resource)):
            return False
        return self.permissions.decide(current_caller(), action, resource).allowed

    def only(self, action: str, items: Iterable[Item], resource_of: Callable[[Item], Resource]) -> list[Item]:
        """Of a list, what the caller may do this to: a list shows no more than its items would one by one."""
        return [item for item in items if self.may(action, resource_of(item))]

    def view(self, table: str, columns: Sequence[Column]) -> TableView | None:
        """What the caller may see of a table; None if nothing."""
        scope = current_caller().scope
        if scope is not None and not scope.allows("data.query", None):
            return None
        return self.permissions.view(current_caller(), table, columns)

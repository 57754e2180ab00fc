"""Why somebody may do something, or may not: the policies that decide, and the roles and grants that lead there."""

from __future__ import annotations

import dataclasses
from typing import Any

from rowkeeper.access.actions import ACTIONS
from rowkeeper.access.builtin import BUILT_IN_ROLES
from rowkeeper.access.permissions import CedarPermissions
from rowkeeper.access.policy import Policy
from rowkeeper.access.resource import Resource
from rowkeeper.access.rules import OF_A_COLUMN, READING, Rules
from rowkeeper.caller import Caller
from rowkeeper.ledger.grants import Grant


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """What was decided, and by what.

    Attributes:
        policies: those that decided; none where nothing allows it.
        roles: those that counted, also by grants.
        grants: by which the account has roles for this thing.
        also: what else there is to know, in sentences.
    """

    caller: Caller
    action: str
    resource: Resource
    allowed: bool
    policies: tuple[Policy, ...]
    roles: frozenset[str]
    grants: tuple[Grant, ...]
    also: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "who": str(self.caller),
            "action": self.action,
            "resource": {"kind": self.resource.kind.value, "id": self.resource.id},
            "purpose": self.caller.purpose,
            "allowed": self.allowed,
            "policies": [
                {"id": each.id, "place": each.place, "effect": each.cedar["effect"]} for each in self.policies
            ],
            "roles": sorted(self.roles),
            "grants_of_roles": [each.id for each in self.grants],
            "also": list(self.also),
        }


def why(permissions: CedarPermissions, caller: Caller, action: str, resource: Resource) -> Explanation:
    """Asks as everybody does, and tells what led to the answer. Raises as `CedarPermissions.decide`."""
    rules = permissions.rules()
    decision = rules.decide(caller, action, resource)
    return Explanation(
        caller,
        action,
        resource,
        decision.allowed,
        tuple(rules.policies[each] for each in decision.policies),
        rules.roles_for(caller, resource),
        tuple(rules.role_grants_of(caller, resource)),
        () if decision.allowed else tuple(_also(rules, caller, action, resource, bool(decision.policies))),
    )


def _also(rules: Rules, caller: Caller, action: str, resource: Resource, decided: bool) -> list[str]:
    if caller.name in rules.state.disabled:
        return ["the account is disabled"]
    known = ACTIONS[action]
    if known.on is not resource.kind:
        return [f"{action} is done to a {known.on}, not to a {resource.kind}"]
    told = []
    table = resource.within
    if action in OF_A_COLUMN and table is not None and not rules.decide(caller, READING, table).allowed:
        told.append(f"{table} may not be read, and so none of its columns")
    if decided:
        return [*told, "a policy that forbids wins over all that allow"]
    able = [role for role in _all_roles(rules) if _with(rules, caller, role, action, resource)]
    told.append("no policy allows it" + (f"; the roles that would: {', '.join(able)}" if able else ""))
    ended = [each.id for each in rules.state.grants if each.to == caller.name and each.gives == action]
    return [*told, *(f"grant {each} does not count here: see its purpose, thing and end" for each in ended)]


def _all_roles(rules: Rules) -> list[str]:
    return [*BUILT_IN_ROLES, *(each.name for each in rules.state.roles)]


def _with(rules: Rules, caller: Caller, role: str, action: str, resource: Resource) -> bool:
    return rules.decide(dataclasses.replace(caller, roles=caller.roles | {role}), action, resource).allowed
